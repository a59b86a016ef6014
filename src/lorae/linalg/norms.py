"""Sums over the singular values of a matrix, with a gradient that is finite at any rank."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lorae.errors import LoraeError
from lorae.linalg.polar import polar_factor

# Singular values below this share of the largest count as zero: their direction takes a gradient that shrinks to zero
# with their cube, instead of an arbitrary unit vector. Well above float64 noise in the Gram matrix (1e-8).
NULL_SPACE = 1e-6
# In a matrix of coarser entries rounding alone makes singular values of about its unit; cubed, a hundredth of the bound
# leaves a millionth of a gradient.
ROUNDINGS = 100


def nuclear_norm(matrix: Tensor, method: str = "auto") -> Tensor:
    """Return the sum of the singular values of a matrix, differentiable at any rank.

    The gradient is U V^T over the singular values above `NULL_SPACE` times the largest, 1e-5 times in float32; below,
    it fades to zero. Runs outside autocast, in float32 or better. Source: LoRAE (arXiv:2310.16194), equation 1.

    method: `svd` (torch's own, as the paper's authors do; arbitrary in the null space), `eigh` (eigenvectors of the
    Gram matrix in float64), `polar` (matrix products only: no wait for the GPU, fit for CUDA graphs; directions below
    1e-4 of the Frobenius norm count less), `auto`: eigh on a CPU, polar on a GPU.

    >>> nuclear_norm(torch.diag(torch.tensor([3.0, 4.0])))
    tensor(7.)
    """
    if method == "auto":
        method = "polar" if matrix.is_cuda else "eigh"
    with torch.autocast(matrix.device.type, enabled=False):
        matrix = matrix if matrix.dtype == torch.float64 else matrix.float()
        if method == "svd":
            norm: Tensor = torch.linalg.matrix_norm(matrix, "nuc")
            return norm
        if method not in _DUAL_FACTORS:
            raise LoraeError(f"method: got {method!r}, expected auto, svd, eigh or polar")
        result: Tensor = _NuclearNorm.apply(matrix, method)  # type: ignore[no-untyped-call]
        return result


class _KnownGradient(torch.autograd.Function):
    """A scalar function of a matrix and an option, whose forward pass saves the gradient with respect to the matrix."""

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (factor,) = ctx.saved_tensors
        return gradients[0] * factor, None


class _NuclearNorm(_KnownGradient):
    """<M, W> with gradient W, where W = U V^T maximizes <M, W> over the unit spectral ball."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, method: str) -> Tensor:
        value, factor = _DUAL_FACTORS[method](matrix)
        ctx.save_for_backward(factor)
        return value


def spectral_penalty(matrix: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the sum of f over the singular values of a matrix, all at once, differentiable once, at any rank.

    The gradient is U diag(f'(sigma)) V^T, without a derivative of the singular vectors, which repeated values do not
    have; where f'(0) is not zero, it fades to zero below `NULL_SPACE` times the largest, as for the nuclear norm.
    Runs outside autocast, through float64. It waits for the result, so a GPU cannot record it as a CUDA graph.

    >>> spectral_penalty(torch.diag(torch.tensor([3.0, 4.0])), torch.square)
    tensor(25.)
    """
    with torch.autocast(matrix.device.type, enabled=False):
        result: Tensor = _SpectralPenalty.apply(matrix, function)  # type: ignore[no-untyped-call]
        return result


class _SpectralPenalty(_KnownGradient):
    """sum f(sigma) with the gradient U diag(f'(sigma)) V^T."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        values, factor = _eigh_factor(matrix, lambda values: _slopes(function, values))
        ctx.save_for_backward(factor)
        return function(values).sum().to(matrix.dtype)


def _slopes(function: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """Return f' at each of the values."""
    with torch.enable_grad():
        values = values.detach().requires_grad_()
        (slopes,) = torch.autograd.grad(function(values).sum(), values)
    return slopes


def _eigh_factor(matrix: Tensor, slope: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Return singular values, ascending in float64, and U diag(slope) V^T, from eigenvectors of M^T M without roots."""
    wide = matrix.shape[0] < matrix.shape[1]
    tall = (matrix.mT if wide else matrix).double()
    gram = tall.mT @ tall
    # eigh would raise for values that are not finite; the loss reports them, with its step. Without a branch, which
    # torch.compile could not take.
    finite = gram.diagonal().sum().isfinite()
    _, V = torch.linalg.eigh(torch.where(finite, gram, 0.0))
    image = tall @ V
    lengths = image.norm(dim=0)
    null_space = max(NULL_SPACE, ROUNDINGS * torch.finfo(matrix.dtype).eps)
    floor = (null_space * lengths.max()).clamp_min(torch.finfo(torch.float64).tiny)
    fading = (lengths / floor).clamp_max(1).square()
    factor: Tensor = (image * (fading / lengths.clamp_min(floor) * slope(lengths))) @ V.mT
    lengths, factor = torch.where(finite, lengths, torch.nan), torch.where(finite, factor, torch.nan)
    return lengths, (factor.mT if wide else factor).to(matrix.dtype)


def _dual_factor(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return <M, W> and W = U V^T from eigenvectors: the nuclear norm's slope is one at every singular value."""
    _, factor = _eigh_factor(matrix, torch.ones_like)
    return (matrix * factor).sum(), factor


_DUAL_FACTORS = {"eigh": _dual_factor, "polar": polar_factor}
