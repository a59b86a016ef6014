"""Base class of bottlenecks."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from lorae.errors import LoraeError


@dataclass(frozen=True)
class Latent:
    """Output of a bottleneck: z, float32 (n, latent_dim), for the decoder, and its own loss terms, unweighted."""

    z: Tensor
    terms: dict[str, Tensor] = field(default_factory=dict)


class Bottleneck(nn.Module):
    """Map from the encoder's output to the latent. Nothing is random in evaluation mode."""

    TERMS: tuple[str, ...] = ()  # names of the loss terms that it gives in every pass in training mode
    READS_BACK = False  # whether such a pass waits for values from the GPU, which a CUDA graph cannot record

    def __init__(self, latent_dim: int, **options: Any) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.input_dim = self.input_width(latent_dim)
        if options:
            raise TypeError(f"{type(self).__name__} has no options {', '.join(options)}")

    @classmethod
    def input_width(cls, latent_dim: int) -> int:
        """Return the width of the encoder's output h."""
        return latent_dim

    def __call__(self, h: Tensor) -> Latent:
        """Return the latent of h, computed outside autocast: divergences, codes and projections need full precision."""
        with torch.autocast(h.device.type, enabled=False):
            latent: Latent = super().__call__(h)
            return latent

    def forward(self, h: Tensor) -> Latent:
        """Return the latent of the encoder's output h, float32 (n, input_dim)."""
        raise NotImplementedError

    def matrix(self) -> Tensor | None:
        """Return the matrix M that penalties act on, (latent_dim, latent_dim); None where the bottleneck has none."""
        return None

    def single_matrix(self) -> nn.Parameter:
        """Return M as one parameter, for proximal steps; LoraeError where it is not one."""
        raise LoraeError(f"matrix_update: got 'prox', which needs one matrix M, but {type(self).__name__} has none")

    def affine(self) -> tuple[Tensor, Tensor] | None:
        """Return A, b of z = A h + b in evaluation, float64 (latent_dim, latent_dim), (latent_dim,), or None."""
        matrix = self.matrix()
        if matrix is None:
            return None
        return matrix.double(), torch.zeros(self.latent_dim, dtype=torch.float64, device=matrix.device)


def check_option(fits: bool, name: str, got: float, expected: str) -> None:
    """Raise LoraeError with one line about an option of a bottleneck, unless it fits."""
    if not fits:
        raise LoraeError(f"bottleneck.{name}: got {got:g}, expected {expected}")
