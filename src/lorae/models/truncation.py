"""Principal axes of a low-rank latent, from which `Autoencoder.truncate` builds a smaller model."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lorae.errors import DivergedError, LoraeError
from lorae.isolation import isolated
from lorae.linalg import principal_axes
from lorae.models.bottlenecks import Bottleneck
from lorae.models.layers import AffineLayer, affine_after, affine_before
from lorae.models.low_rank import numerical_rank


@dataclass(frozen=True)
class PrincipalTruncation:
    """The r leading principal axes of latents z = A h + b, in float64.

    The code of an item is projection h + offset, and its latent is approximated by axes code + mean.
    """

    projection: Tensor  # (r, input_dim)
    offset: Tensor  # (r,)
    axes: Tensor  # (latent_dim, r), orthonormal columns
    mean: Tensor  # (latent_dim,)
    deviations: Tensor  # of z along every direction of M, descending; the first r are those of the code

    @property
    def rank(self) -> int:
        """The width r of the code."""
        return len(self.projection)

    @property
    def dropped_variance(self) -> float:
        """The share of the variance of z outside the kept axes; 0 if z does not vary."""
        variances = self.deviations.square()
        total = float(variances.sum())
        return float(variances[self.rank :].sum()) / total if total > 0 else 0.0

    def codes(self, encoder_outputs: NDArray[Any]) -> NDArray[Any]:
        """Return the codes (n, r) of encoder outputs h (n, input_dim), in the dtype of these."""
        codes: NDArray[Any] = encoder_outputs @ self.projection.mT.numpy() + self.offset.numpy()
        return codes.astype(encoder_outputs.dtype)

    def fold_into_encoder(self, layer: AffineLayer) -> AffineLayer:
        """Return one layer for the encoder's last layer followed by the step from h to the code."""
        return affine_after(layer, self.projection, self.offset)

    def fold_into_decoder(self, layer: AffineLayer) -> AffineLayer:
        """Return one layer for the step from the code to z followed by the decoder's first layer."""
        return affine_before(layer, self.axes, self.mean)


@isolated()
def find_truncation(
    encoder_outputs: Tensor, bottleneck: Bottleneck, rank: int, weights: NDArray[np.float64] | None = None
) -> PrincipalTruncation:
    """Find `rank` principal axes of the latents of encoder outputs, (n, input_dim), within the range of M.

    The axes are the eigenvectors of the covariance of z restricted to that range, by descending standard deviation,
    each with its entry of largest magnitude positive; directions that the items do not use come last. Singular values
    of M alone give no order, because they do not depend on how much of h lies along each direction. weights: of the
    items (n,), any scale.

    Raises LoraeError for fewer than two items, and for outputs that are not finite.

    >>> from lorae.models.bottlenecks import LinearBottleneck
    >>> find_truncation(torch.randn(10, 4), LinearBottleneck(4), rank=3).rank
    3
    """
    h = encoder_outputs.double()
    if len(h) < 2:
        raise LoraeError(f"items: got {len(h)}, expected at least 2 for a covariance")
    if not h.isfinite().all():
        raise DivergedError("truncate: the encoder gives values that are not finite; the model has diverged")
    with torch.no_grad():
        bottleneck = copy.deepcopy(bottleneck).cpu()
        matrix, affine = bottleneck.matrix(), bottleneck.affine()
        assert matrix is not None
        assert affine is not None
        A, b = (part.double() for part in affine)
        center = h.mean(0) if weights is None else torch.from_numpy(np.average(h.numpy(), axis=0, weights=weights))
        axes, variances = _axes_within(matrix, rank, lambda directions: (h - center) @ (directions.mT @ A).mT, weights)
        projection = axes.mT @ A
        return PrincipalTruncation(projection, -projection @ center, axes, A @ center + b, variances.sqrt())


@isolated()
def truncation_of_latents(latents: Tensor, matrix: Tensor, rank: int) -> PrincipalTruncation:
    """Find the same truncation of z = M h from latents z, (n, latent_dim), instead of h."""
    z = latents.detach().double().cpu()
    M = matrix.detach().double().cpu()
    mean = z.mean(0)
    axes, variances = _axes_within(matrix.detach().cpu(), rank, lambda directions: (z - mean) @ directions)
    return PrincipalTruncation(axes.mT @ M, -axes.mT @ mean, axes, mean, variances.sqrt())


def axes_of_latents(latents: NDArray[Any]) -> PrincipalTruncation:
    """Find all principal axes of latents, (n, latent_dim), those of no variance included."""
    width = latents.shape[1]
    # The range of an identity holds all directions: with M, those outside of its range come last.
    return truncation_of_latents(torch.from_numpy(latents), torch.eye(width), width)


def _axes_within(
    matrix: Tensor, rank: int, project: Callable[[Tensor], Tensor], weights: NDArray[np.float64] | None = None
) -> tuple[Tensor, Tensor]:
    """Return `rank` principal axes within the range of M as columns, and the variances along all of its directions.

    project: gives the centered latents, with these weights, in the coordinates of orthonormal columns.
    """
    U, _, _ = torch.linalg.svd(matrix.double())
    # Directions beyond the numerical rank come last: their code is zero for every h.
    directions = U[:, : max(rank, numerical_rank(matrix))]
    _, turn, variances = (torch.from_numpy(part) for part in principal_axes(project(directions).numpy(), weights))
    axes = (directions @ turn)[:, :rank]
    largest = axes.gather(0, axes.abs().argmax(0, keepdim=True))
    axes *= torch.where(largest < 0, -1.0, 1.0)
    return axes, variances
