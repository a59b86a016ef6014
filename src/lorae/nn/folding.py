"""Removal of a low-rank layer from a trained network, by multiplying its matrix into its neighbors."""

from typing import Any, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lorae.errors import LoraeError
from lorae.isolation import isolated
from lorae.models.layers import AffineLayer, affine_after
from lorae.models.low_rank import LowRankLinear, numerical_rank
from lorae.models.truncation import truncation_of_latents
from lorae.plain_arrays import plain_array
from lorae.validation import whole

DecoderLayer = TypeVar("DecoderLayer", bound=nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d)

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
# Share of the length of latents that may lie outside the range of M: that of values in bfloat16, with a margin.
OUTSIDE = 1e-2


@isolated()
def fold(low_rank: LowRankLinear, layer: AffineLayer) -> AffineLayer:
    """Return one layer that computes a layer followed by a low-rank one: the same outputs without M.

    Parameters
    ----------
    low_rank : LowRankLinear
        The layer to remove. Put `nn.Identity()` in its place.
    layer : nn.Linear, or nn.Conv2d (or Conv1d, Conv3d) of any kernel
        The layer right before it, without an activation in between. It is not changed.

    Returns
    -------
    folded : layer of the same kind, dtype and device
        A copy with the weight M W and the bias M b, computed in float64.

    Raises
    ------
    LoraeError
        For other layers, widths that differ, groups of channels, and parametrizations such as spectral norms.

    Examples
    --------
    >>> low_rank, layer, x = LowRankLinear(4, init="default"), nn.Linear(9, 4), torch.ones(2, 9)
    >>> torch.allclose(fold(low_rank, layer)(x), low_rank(layer(x)), atol=1e-6)
    True
    """
    _check_low_rank(low_rank)
    _check_layer("layer", layer, low_rank.latent_dim, inputs=False)
    return affine_after(layer, low_rank.weight.detach().double().cpu())


@isolated()
def truncate(
    encoder_last: AffineLayer,
    low_rank: LowRankLinear,
    decoder_first: DecoderLayer,
    codes: "Tensor | NDArray[Any]",
    rank: int | None = None,
) -> tuple[AffineLayer, DecoderLayer]:
    """Return an encoder's last layer and a decoder's first one with a latent of `rank` coordinates between them.

    The coordinates are the leading principal axes of the codes, within the range of M: over these codes they are
    centered, uncorrelated and ordered by descending standard deviation. Dropped directions are decoded at their means.

    Parameters
    ----------
    encoder_last : nn.Linear or nn.Conv2d
        The layer right before `low_rank`, without an activation in between.
    low_rank : LowRankLinear
        The layer to remove. Put `nn.Identity()` in its place.
    decoder_first : nn.Linear or nn.Conv2d without padding
        The layer right after it.
    codes : Tensor or ndarray
        Latents of training items, the outputs of `low_rank`: (n, latent_dim), or of any shape with the latent along
        its `dim`, as sequences (n, t, latent_dim) and maps (n, latent_dim, h, w). At least two, better a few times as
        many as latent_dim.
    rank : int, default=None
        Number of coordinates; None takes the rank of M, so that outputs stay the same up to rounding.

    Returns
    -------
    encoder_last : layer of the same kind, dtype and device
        A new layer with a bias; the given one is not changed.
    decoder_first : layer of the same kind, dtype and device
        A new layer with a bias; the given one is not changed.

    Raises
    ------
    LoraeError
        For other layers, widths that differ, groups of channels, padding of the decoder's layer, parametrizations, a
        rank below 1 or above latent_dim, codes of another width, fewer than two, not finite, or that are not outputs of
        this `low_rank`, and an M that is zero.

    Notes
    -----
    The same truncation as `Autoencoder.truncate` makes.

    Examples
    --------
    >>> encoder, low_rank, decoder, x = nn.Linear(9, 4), LowRankLinear(4), nn.Linear(4, 9), torch.randn(20, 9)
    >>> encoder, decoder = truncate(encoder, low_rank, decoder, low_rank(encoder(x)), rank=2)
    >>> encoder(x).shape
    torch.Size([20, 2])
    """
    _check_low_rank(low_rank)
    width = low_rank.latent_dim
    _check_layer("encoder_last", encoder_last, width, inputs=False)
    _check_layer("decoder_first", decoder_first, width, inputs=True)
    rank = None if rank is None else whole(1, width).check("rank", rank, "argument rank")
    matrix = low_rank.weight.detach()
    found = truncation_of_latents(_rows(codes, low_rank), matrix, numerical_rank(matrix) if rank is None else rank)
    return found.fold_into_encoder(encoder_last), found.fold_into_decoder(decoder_first)


def _check_low_rank(low_rank: object) -> None:
    if not isinstance(low_rank, LowRankLinear):
        raise LoraeError(f"low_rank: got {type(low_rank).__name__}, expected a lorae.nn.LowRankLinear")


def _check_layer(name: str, layer: nn.Module, width: int, *, inputs: bool) -> None:
    """Raise LoraeError unless a matrix can be multiplied into the inputs, or else the outputs, of a layer."""
    if not isinstance(layer, (nn.Linear, *CONVOLUTIONS)):
        raise LoraeError(f"{name}: got {type(layer).__name__}, expected an nn.Linear or nn.Conv2d next to low_rank")
    if "weight" not in layer._parameters:
        raise LoraeError(f"{name}: got a parametrized weight, expected a plain one; remove its norm or parametrization")
    if isinstance(layer, nn.Linear):
        found = layer.in_features if inputs else layer.out_features
    else:
        found = layer.in_channels if inputs else layer.out_channels
        if layer.groups != 1:
            raise LoraeError(f"{name}: got a convolution with groups={layer.groups}, expected groups=1")
        if inputs and layer.padding != "valid" and any(layer.padding):
            raise LoraeError(
                f"{name}: got a convolution with padding={layer.padding}, expected none, as zeros beside a latent "
                "would become its mean; put a 1x1 convolution before it"
            )
    if found != width:
        side = "inputs" if inputs else "outputs"
        raise LoraeError(f"{name}: got {found} {side}, expected {width}, the width of low_rank")


def _rows(codes: "Tensor | NDArray[Any]", low_rank: LowRankLinear) -> Tensor:
    """Return codes as float64 (n, latent_dim); LoraeError for those that are no outputs of the layer."""
    z = torch.as_tensor(plain_array(codes, "codes"))
    dim, width = low_rank.dim, low_rank.latent_dim
    if not -z.ndim <= dim < z.ndim or z.shape[dim] != width:
        shape = "x".join(map(str, z.shape))
        raise LoraeError(f"codes: got shape {shape}, expected {width} entries along dimension {dim}")
    rows = z.movedim(dim, -1).reshape(-1, width).double().cpu()
    if len(rows) < 2:
        raise LoraeError(f"codes: got {len(rows)}, expected at least 2 for a covariance")
    if not rows.isfinite().all():
        raise LoraeError("codes: got values that are not finite, expected finite ones")
    U, _, _ = torch.linalg.svd(low_rank.weight.detach().double().cpu())
    outside = rows @ U[:, numerical_rank(low_rank.weight.detach()) :]
    share = float(outside.norm() / rows.norm().clamp_min(torch.finfo(torch.float64).tiny))
    if share > OUTSIDE:
        raise LoraeError(
            f"codes: got vectors with {share:.0%} of their length outside the range of M, expected outputs of "
            "low_rank; encoder outputs h become those by low_rank(h)"
        )
    return rows
