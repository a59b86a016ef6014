"""The nuclear norm of the low-rank layers of a network, as a term of a loss."""

import functools
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from lorae.errors import LoraeError
from lorae.linalg import nuclear_norm
from lorae.models.low_rank import LowRankLinear
from lorae.objectives.linearized_penalty import LinearizedPenalty
from lorae.validation import whole

# Layer -> tangent of its penalty, and number of its uses; beside the layers, so that state dicts have no trace of it.
_tangents: "WeakKeyDictionary[LowRankLinear, tuple[LinearizedPenalty, int]]" = WeakKeyDictionary()


def nuclear_norm_penalty(module: nn.Module, method: str = "auto", every: int = 1) -> Tensor:
    """Return the sum of the nuclear norms of all `LowRankLinear` layers in a module, with its gradient.

    Add it to the loss with a weight, such as 1e-3, the default of `method="lorae"`. Adam then brings singular values
    near zero; for exact zeros use `ProximalAdam` or `proximal_step`, without this term.

    Parameters
    ----------
    module : nn.Module
        A network, also one that is wrapped by `torch.compile` or `DistributedDataParallel`, or a layer.
    method : {"auto", "svd", "eigh", "polar"}, default="auto"
        How the gradient U V^T is computed, see `lorae.linalg.nuclear_norm`. "auto" takes eigenvectors on a CPU, and
        matrix products on a GPU, which does not have to wait for them.
    every : int, default=1
        Steps between two factorizations of a layer. In between, the norm is replaced by its tangent, which hardly
        differs within ten steps and costs a sum. 1, the exact norm, is cheap up to a width of about 128. Calls without
        gradients always give the exact norm.

    Returns
    -------
    penalty : Tensor of shape ()
        float32 under autocast and for layers in half precision; float64 for layers in float64.

    Raises
    ------
    LoraeError
        For a module without such a layer, an unknown method, and a number of steps below 1.

    Notes
    -----
    Source: Mazumder et al., WACV 2024 (arXiv:2310.16194), equation 1. With `every` above 1, the function keeps state
    for each layer and cannot be part of a function that `torch.compile` compiles with `fullgraph=True`.

    Examples
    --------
    >>> import torch
    >>> network = torch.nn.Sequential(LowRankLinear(3), torch.nn.ReLU(), LowRankLinear(5))
    >>> nuclear_norm_penalty(network)
    tensor(8., grad_fn=<AddBackward0>)
    """
    layers = [part for part in module.modules() if isinstance(part, LowRankLinear)]
    if not layers:
        raise LoraeError(
            f"module: got {type(module).__name__} without a LowRankLinear, expected at least one in it; "
            "put one between encoder and decoder"
        )
    if every == 1 or not torch.is_grad_enabled():
        norms = [nuclear_norm(layer.weight, method) for layer in layers]
    else:
        every = whole(1).check("every", every, "argument every")
        norms = [_tangent(layer, method, every) for layer in layers]
    return functools.reduce(torch.add, norms)


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _tangent(layer: LowRankLinear, method: str, every: int) -> Tensor:
    """Return the tangent of a layer's norm at its matrix of up to `every` - 1 calls ago."""
    if layer not in _tangents:
        layer.register_load_state_dict_post_hook(_forget)  # type: ignore[no-untyped-call]
    tangent, calls = _tangents.get(layer, (None, 0))
    at = None if tangent is None else tangent.at
    matrix = layer.weight
    if tangent is None or at is None or (at.shape, at.dtype, at.device) != (matrix.shape, matrix.dtype, matrix.device):
        calls, tangent = 0, LinearizedPenalty(functools.partial(nuclear_norm, method=method), matrix)
    elif calls % every == 0:
        tangent.function = functools.partial(nuclear_norm, method=method)
        tangent.relinearize(matrix)
    _tangents[layer] = tangent, calls + 1
    with torch.autocast(matrix.device.type, enabled=False):
        value: Tensor = tangent(matrix)
    return value


def _forget(layer: nn.Module, _: Any) -> None:
    """Have the tangent computed anew after other weights were loaded."""
    assert isinstance(layer, LowRankLinear)
    if layer in _tangents:
        _tangents[layer] = _tangents[layer][0], 0
