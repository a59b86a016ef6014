"""The contract of a bottleneck."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class Latent:
    """What a bottleneck hands to the decoder: z, float32 (n, latent_dim), and its own loss terms, unweighted."""

    z: Tensor
    terms: dict[str, Tensor] = field(default_factory=dict)


class Bottleneck(nn.Module):
    """From the encoder's output to the latent that the decoder takes."""

    def __init__(self, latent_dim: int, **options: Any) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        if options:
            raise TypeError(f"{type(self).__name__} has no options {', '.join(options)}")

    def forward(self, h: Tensor) -> Latent:
        """h: float32 (n, latent_dim), the encoder's output."""
        raise NotImplementedError

    def matrix(self) -> Tensor | None:
        """The matrix M with z = M h, (latent_dim, latent_dim); None where the bottleneck is not linear in h."""
        return None
