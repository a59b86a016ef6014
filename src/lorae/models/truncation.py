"""Principal axes of a low-rank latent, from which `Autoencoder.truncate` builds a smaller model."""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lorae.errors import CollapsedError, DivergedError, LoraeError
from lorae.isolation import isolated
from lorae.linalg import principal_axes
from lorae.metrics.ranks import rank_at
from lorae.models.bottlenecks import Bottleneck
from lorae.models.layers import Linear, linear_layer

# Below this share of the largest, a singular value of M is the rounding of its float32 entries: leaving it out changes
# no output by more than that rounding does.
ROUNDING = 1e-6


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

    def fold_into_encoder(self, layer: Linear) -> Linear:
        """Return one layer for the encoder's last layer followed by the step from h to the code."""
        weight, bias = (part.detach().double().cpu() for part in (layer.weight, layer.bias))
        return linear_layer(self.projection @ weight, self.projection @ bias + self.offset, layer)

    def fold_into_decoder(self, layer: Linear) -> Linear:
        """Return one layer for the step from the code to z followed by the decoder's first layer."""
        weight, bias = (part.detach().double().cpu() for part in (layer.weight, layer.bias))
        return linear_layer(weight @ self.axes, weight @ self.mean + bias, layer)


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
        U, _, _ = torch.linalg.svd(matrix.double())
        # Directions beyond the numerical rank come last: their code is zero for every h.
        directions = U[:, : max(rank, numerical_rank(matrix))]
        center = h.mean(0) if weights is None else torch.from_numpy(np.average(h.numpy(), axis=0, weights=weights))
        latents = (h - center) @ (directions.mT @ A).mT
        _, turn, variances = (torch.from_numpy(part) for part in principal_axes(latents.numpy(), weights))
        axes = (directions @ turn)[:, :rank]
        largest = axes.gather(0, axes.abs().argmax(0, keepdim=True))
        axes *= torch.where(largest < 0, -1.0, 1.0)
        projection = axes.mT @ A
        return PrincipalTruncation(projection, -projection @ center, axes, A @ center + b, variances.sqrt())


def numerical_rank(matrix: Tensor) -> int:
    """Count the singular values of M above `ROUNDING` times the largest.

    Raises CollapsedError if all are zero, DivergedError if one is not finite.
    """
    if not matrix.isfinite().all():
        raise DivergedError("truncate: M has entries that are not finite, expected finite ones; the model has diverged")
    rank = rank_at(torch.linalg.svdvals(matrix.double()).cpu().numpy(), ROUNDING)
    if rank == 0:
        raise CollapsedError(
            "truncate: M is zero, expected at least one direction: the model has collapsed and decodes one item only; "
            "train it with a smaller penalty"
        )
    return rank
