"""The quantities of a training step that a penalty may use."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from lorae.errors import LoraeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn


class HasMatrix(Protocol):
    """A bottleneck, as far as penalties use it; the bottlenecks themselves belong to a higher layer."""

    def matrix(self) -> "Tensor | None":
        """Return M, or None for a bottleneck without M."""

    def modules(self) -> "Iterator[nn.Module]":
        """Return the layers of the bottleneck."""


@dataclass(frozen=True)
class PenaltyContext:
    """Modules and tensors of one training step, as a penalty sees them.

    Attributes
    ----------
    encoder, decoder : nn.Module
        The networks, for penalties on weights or Jacobians.
    bottleneck : HasMatrix
        The map from encoder outputs to latents.
    inputs, reconstructions : Tensor of shape (n, channels, height, width) or (n, features)
        float32; images in [0, 1].
    encoder_outputs : Tensor of shape (n, input_dim)
        float32, before the bottleneck.
    latents : Tensor of shape (n, latent_dim)
        float32, after the bottleneck.
    """

    encoder: "nn.Module"
    decoder: "nn.Module"
    bottleneck: HasMatrix
    inputs: "Tensor"
    encoder_outputs: "Tensor"
    latents: "Tensor"
    reconstructions: "Tensor"

    @property
    def matrix(self) -> "Tensor":
        """M of a linear bottleneck, with its gradient; LoraeError for a method without M."""
        return penalized_matrix(self.bottleneck)


def penalized_matrix(bottleneck: HasMatrix) -> "Tensor":
    """Return M of a linear bottleneck, with its gradient; LoraeError for a bottleneck without M."""
    matrix = bottleneck.matrix()
    if matrix is None:
        raise LoraeError(
            "this penalty acts on the linear layer M, but the method has none; use method='lorae' or irmae",
            settings={"method": "lorae"},
        )
    return matrix
