"""A latent cut to its principal axes: the numbers that `Autoencoder.truncate` builds a smaller model from."""

import copy
import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import skip_init

from lorae.bottlenecks import BOTTLENECKS, Bottleneck, IdentityBottleneck
from lorae.errors import LoraeError
from lorae.layers import Linear
from lorae.linalg import rank_at
from lorae.methods import METHODS
from lorae.networks import Encoder
from lorae.rules import whole

if TYPE_CHECKING:
    from lorae.model import Array, Autoencoder

# Below this share of the largest, a singular value of M is the rounding of its float32 entries: leaving it out changes
# no output by more than that rounding does.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Cut:
    """The r leading principal axes of latents z = A h + b: code = down h + start and z = axes code + mean, float64.

    down (r, input_dim), start (r,), axes (latent_dim, r), orthonormal, mean (latent_dim,). deviations: standard
    deviations of z along every direction there is to keep, descending, of which the first r are those of the code.
    """

    down: Tensor
    start: Tensor
    axes: Tensor
    mean: Tensor
    deviations: Tensor

    @property
    def rank(self) -> int:
        """r, the width of the code."""
        return len(self.down)

    @property
    def dropped_variance(self) -> float:
        """The share of the variance of z that is left out; 0 where there is none."""
        variances = self.deviations.square()
        total = float(variances.sum())
        return float(variances[self.rank :].sum()) / total if total > 0 else 0.0

    def applied_to(self, model: "Autoencoder") -> "Autoencoder":
        """A copy of the model with the cut folded into the encoder's last layer and the decoder's first."""
        assert isinstance(model.encoder, Encoder)
        small = copy.deepcopy(model)
        small.spec = dataclasses.replace(model.spec, latent_dim=self.rank, bottleneck="identity", bottleneck_options={})
        small.bottleneck = IdentityBottleneck(self.rank)
        small.encoder.output = self._behind(model.encoder.output)
        small.decoder.input = self._before(model.decoder.input)
        return small.train(model.training)

    def _behind(self, layer: Linear) -> Linear:
        """One layer for the encoder's last and the step from h to the code."""
        weight, bias = (part.detach().double().cpu() for part in (layer.weight, layer.bias))
        return _linear(self.down @ weight, self.down @ bias + self.start, layer)

    def _before(self, layer: Linear) -> Linear:
        """One layer for the step from the code to z and the decoder's first."""
        weight, bias = (part.detach().double().cpu() for part in (layer.weight, layer.bias))
        return _linear(weight @ self.axes, weight @ self.mean + bias, layer)


def find_cut(model: "Autoencoder", items: "Array", rank: int | None = None) -> Cut:
    """The principal axes of a model's latents over raw items, within the directions that M has left.

    The axes are the eigenvectors of the covariance of z restricted to the range of M, by descending standard deviation,
    each with its entry of largest magnitude positive. Singular values of M alone would not do for an order: they do
    not know how much of h comes in along which direction.

    Parameters
    ----------
    rank: as in `chosen_rank`. Directions that M has but the items do not use count like any other, as the last.

    Raises LoraeError for what `chosen_rank` refuses, fewer than two items, and latents that are not finite.

    >>> from lorae.model import Autoencoder, ModelSpec
    >>> model = Autoencoder(ModelSpec("mlp", (6,), latent_dim=4, bottleneck="linear"))
    >>> find_cut(model, torch.randn(10, 6), rank=3).rank
    3
    """
    rank = chosen_rank(model, rank)
    h = torch.as_tensor(np.asarray(model.encoder_outputs(items))).double()
    if len(h) < 2:
        raise LoraeError(f"items: got {len(h)}, expected at least 2 for a covariance")
    if not h.isfinite().all():
        raise LoraeError("truncate: the encoder gives values that are not finite; the model has diverged")
    with torch.no_grad():
        bottleneck = copy.deepcopy(model.bottleneck).cpu()
        matrix, affine = bottleneck.matrix(), bottleneck.affine()
        assert matrix is not None
        assert affine is not None
        A, b = (part.double() for part in affine)
        U, _, _ = torch.linalg.svd(matrix.double())
        # Directions beyond the numerical rank, where somebody asks for them, come last: their code is zero, whatever h.
        directions = U[:, : max(rank, numerical_rank(matrix))]
        centre = h.mean(0)
        latents = (h - centre) @ (directions.mT @ A).mT
        variances, turn = torch.linalg.eigh(latents.mT @ latents / (len(h) - 1))
        axes = (directions @ turn.flip(1))[:, :rank]
        largest = axes.gather(0, axes.abs().argmax(0, keepdim=True))
        axes *= torch.where(largest < 0, -1.0, 1.0)
        down = axes.mT @ A
        return Cut(down, -down @ centre, axes, A @ centre + b, variances.flip(0).clamp_min(0).sqrt())


def chosen_rank(model: "Autoencoder", rank: int | None = None) -> int:
    """How many directions a cut keeps: `rank`, or as many as `numerical_rank` counts for None.

    Raises LoraeError for a model that cannot be cut, because its bottleneck is not linear or its decoder has spectral
    norms, which would see other weights; for a rank below 1 or above latent_dim; and for what `numerical_rank` refuses.
    """
    matrix = model.bottleneck.matrix()
    if matrix is None:
        raise LoraeError(
            f"truncate: {type(model.bottleneck).__name__} has no matrix M to cut, expected a model of one of the "
            f"methods {', '.join(methods_with_matrix())}"
        )
    if model.spec.spectral_norm:
        raise LoraeError("truncate: the decoder divides its weights by spectral norms, expected one that does not")
    kept = numerical_rank(matrix.detach())
    return kept if rank is None else int(whole(1, len(matrix)).check("rank", rank, "argument rank"))


def numerical_rank(matrix: Tensor) -> int:
    """How many singular values of M are more than rounding: above `ROUNDING` of the largest.

    Raises LoraeError for a matrix that is zero, because a model without directions is none, or not finite.

    >>> numerical_rank(torch.diag(torch.tensor([2.0, 1.0, 1e-8])))
    2
    """
    if not matrix.isfinite().all():
        raise LoraeError("truncate: M has entries that are not finite, expected finite ones; the model has diverged")
    rank = rank_at(torch.linalg.svdvals(matrix.double()).cpu().numpy(), ROUNDING)
    if rank == 0:
        raise LoraeError(
            "truncate: M is zero, expected at least one direction: the model has collapsed and decodes one item only; "
            "train it with a smaller penalty"
        )
    return rank


def methods_with_matrix() -> list[str]:
    """Names of the methods whose bottleneck has a matrix: those that can be truncated.

    >>> "lorae" in methods_with_matrix()
    True
    """
    return [name for name, method in METHODS.items() if BOTTLENECKS[method.bottleneck].matrix is not Bottleneck.matrix]


def _linear(weight: Tensor, bias: Tensor, like: Linear) -> Linear:
    """A layer with these numbers, and the dtype and device of another; made without drawing any at random."""
    outputs, inputs = weight.shape
    layer: Linear = skip_init(  # type: ignore[no-untyped-call]
        Linear, inputs, outputs, device=like.weight.device, dtype=like.weight.dtype
    )
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return layer
