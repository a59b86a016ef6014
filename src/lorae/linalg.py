"""Pure functions of matrices: principal axes, spectral functions with a finite gradient at any rank, Jacobians."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from lorae.errors import LoraeError
from lorae.randomness import randn_like

# Singular values below this share of the largest count as zero: their direction takes a gradient that shrinks to zero
# with their cube, instead of an arbitrary unit vector. Well above float64 noise in the Gram matrix (1e-8).
NULL_SPACE = 1e-6
# In a matrix of coarser entries rounding alone makes singular values of about its unit; cubed, a hundredth of the bound
# leaves a millionth of a gradient.
ROUNDINGS = 100

# In matrices of at least this width, thresholding first looks for a few directions that hold all values that can stay
# (8 ms instead of 24 ms at 512), and uses them if the rest changes the result by at most this share of the largest
# value.
SKETCHED_FROM, SKETCH_ERROR = 256, 1e-7
# Up to this width a CPU finds eigenvectors faster than a GPU: in 1.5 ms instead of 2.3 ms at 128, but in 20 ms instead
# of 10 ms at 512 (one core, an H100).
ON_CPU = 256

# Largest size of a matrix times its smaller side for an exact singular value decomposition: some seconds on one core.
EXACT_PRODUCTS = 2e10


def principal_axes(
    points: NDArray[Any], weights: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return mean, principal axes (columns, of arbitrary sign) and unbiased variances of at least two finite points.

    In float64, by descending variance, with negative rounding set to zero. weights: of the points (n,), any scale.

    >>> principal_axes(np.array([[0.0, 1.0], [4.0, 1.0]]))[2]
    array([8., 0.])
    """
    points = np.asarray(points, dtype=np.float64)
    covariance = np.cov(points, rowvar=False, aweights=weights).reshape(points.shape[1], points.shape[1])
    variances, axes = np.linalg.eigh(covariance)
    # Copies: torch takes no array with a negative stride.
    return np.average(points, axis=0, weights=weights), axes[:, ::-1].copy(), variances[::-1].clip(min=0).copy()


def leading_components(
    points: NDArray[Any], count: int, weights: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return mean, leading principal axes and variances of points, without a covariance of all coordinates.

    Parameters
    ----------
    points : array of shape (n, d)
        At least two, finite.
    count : int
        Number of axes; at most min(n, d) are returned.
    weights : array of shape (n,), default=None
        Weights of the points, of mean 1; None weighs them alike.

    Returns
    -------
    mean : array of shape (d,)
    axes : array of shape (k, d)
        Orthonormal rows, by descending variance. Their signs are arbitrary.
    variances : array of shape (k,)
        Variances along the axes, with divisor n - 1.

    Notes
    -----
    Exact by a singular value decomposition where that takes seconds at most, else by randomized subspace iteration
    (arXiv:0909.4061), whose axes of close variances may mix.

    Examples
    --------
    >>> leading_components(np.array([[0.0, 1.0], [4.0, 1.0]]), 1)[2]
    array([8.])
    """
    points = np.asarray(points, dtype=np.float64)
    mean = np.average(points, axis=0, weights=weights)
    centered = points - mean
    if weights is not None:
        centered *= np.sqrt(weights)[:, None]
    if centered.size * min(centered.shape) <= EXACT_PRODUCTS:
        # By torch: the results of seeds depend on its signs.
        _, values, rows = torch.linalg.svd(torch.from_numpy(centered), full_matrices=False)
        axes, deviations = rows.numpy(), values.numpy()
    else:
        from sklearn.utils.extmath import randomized_svd

        _, deviations, axes = randomized_svd(centered, min(count, *centered.shape), n_iter=7, random_state=0)
    return mean, axes[:count].copy(), np.square(deviations[:count]) / (len(points) - 1)


def column_deviations(
    vectors: NDArray[Any],
    *,
    by_columns: bool = True,
    tolerance: float | None = None,
    weights: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of each column of vectors (n, d), float64 (d,); zero for a constant column.

    Not `by_columns`: every column gets the root of the mean variance. Deviations up to `tolerance` (by default n times
    the unit of float64) times the column's mean are rounding of a constant. weights: of the vectors (n,), any scale.

    >>> column_deviations(np.array([[0.1, 0.0], [0.1, 2.0], [0.1, 4.0]]))[1].round(3)
    array([0.   , 1.633])
    """
    mean = vectors.mean(axis=0, dtype=np.float64) if weights is None else np.average(vectors, axis=0, weights=weights)
    tolerance = len(vectors) * float(np.finfo(np.float64).eps) if tolerance is None else tolerance
    centered = vectors - mean
    largest = np.maximum(centered.max(axis=0), -centered.min(axis=0))
    unit = np.where(largest > 0, largest, 1.0)  # so that squares neither overflow nor vanish
    centered /= unit
    deviation = unit * np.sqrt(np.average(np.square(centered, out=centered), axis=0, weights=weights))
    deviation[deviation <= tolerance * np.abs(mean)] = 0.0
    if not by_columns and deviation.any():
        unit = deviation.max()
        deviation[:] = unit * np.sqrt(np.square(deviation / unit).mean())
    return mean, deviation


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
        factor = _DUAL_FACTORS[method](matrix)
        ctx.save_for_backward(factor)
        return (matrix * factor).sum()


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


# Coefficients (a, b, c) of odd quintics whose composition maps [1e-4, 1] to 1 within 1e-7. Each minimizes the largest
# |1 - (a x + b x^3 + c x^5)| on the interval that those before leave (Amsel et al., Polar Express, arXiv:2505.16932).
POLAR = (
    (8.50988530258628, -25.264304190830913, 18.75356789973964),
    (4.2495734789228745, -3.1549764881142286, 0.5858847824913271),
    (4.225122190777838, -3.1380444350845695, 0.5839534551299155),
    (4.124838686994381, -3.0683324528059797, 0.5760029536456939),
    (3.7580103358028367, -2.809273892403242, 0.5464842065876799),
    (2.8561775412914967, -2.1340562331753916, 0.47011076918026407),
    (2.02060041577613, -1.4037211504666558, 0.3906738968520276),
    (1.875875100480897, -1.250971990481122, 0.3750972123419877),
    (1.875, -1.25, 0.375),
)


def _dual_factor_polar(matrix: Tensor) -> Tensor:
    """Return U V^T by composed odd quintics, each the best one on the interval that the last one leaves."""
    # In float64 the squares of small and large numbers neither vanish nor overflow.
    norm = torch.linalg.vector_norm(matrix, dtype=torch.float64)
    X: Tensor = matrix / norm.clamp_min(torch.finfo(matrix.dtype).tiny).to(matrix.dtype)
    wide = X.shape[0] < X.shape[1]
    X = X.mT if wide else X
    for a, b, c in POLAR:
        gram = X.mT @ X
        X = torch.addmm(X, X, torch.addmm(gram, gram, gram, beta=b, alpha=c), beta=a)  # three kernels on a GPU
    return X.mT if wide else X


# The nuclear norm's slope is one at every singular value.
_DUAL_FACTORS = {"eigh": lambda matrix: _eigh_factor(matrix, torch.ones_like)[1], "polar": _dual_factor_polar}


def threshold_singular_values(
    matrix: Tensor, threshold: Tensor | float, max_rank: int | None = None
) -> tuple[Tensor, Tensor]:
    """Lower every singular value by `threshold`, to at least zero; return the matrix and the remaining values.

    The proximal operator of threshold * |M|_*: argmin over X of |X - M|_F^2 / 2 + threshold * |X|_*, and with
    `max_rank` that of its sum with the constraint rank X <= max_rank (Cai, Candes and Shen, SIAM Journal on
    Optimization 2010, theorem 2.1). The rank of the result is exact, as it is a product of factors with that many
    columns; remainders below `NULL_SPACE` times the largest value count as zero. Computed in float64, without gradient;
    the values are ascending. A matrix that is not finite is returned as it is, with NaN for its values: the loss
    reports it, with its step.

    >>> threshold_singular_values(torch.diag(torch.tensor([3.0, 1.0])), 2.0)
    (tensor([[1., 0.],
            [0., 0.]]), tensor([1.], dtype=torch.float64))
    """
    if matrix.is_cuda and max(matrix.shape) <= ON_CPU:
        shrunk, left = threshold_singular_values(matrix.cpu(), float(threshold), max_rank)
        return shrunk.to(matrix.device), left.to(matrix.device)
    with torch.no_grad(), torch.autocast(matrix.device.type, enabled=False):
        wide = matrix.shape[0] < matrix.shape[1]
        tall = (matrix.mT if wide else matrix).double()
        gram = tall.mT @ tall
        if not gram.diagonal().sum().isfinite():
            return matrix.detach().clone(), gram.diagonal() * torch.nan
        leading = _leading_directions(gram, float(threshold), max_rank)
        _, V = torch.linalg.eigh(gram if leading is None else leading.mT @ gram @ leading)
        V = V if leading is None else leading @ V
        image = tall @ V  # its columns are singular values times left singular vectors, the largest last
        values = image.norm(dim=0)
        # In the other directions a float32 matrix of low rank holds rounding, even for a threshold of zero.
        kept = values - threshold > NULL_SPACE * values.max()
        if max_rank is not None:
            kept[values.argsort(descending=True)[max_rank:]] = False
        left = values[kept] - threshold
        shrunk = image[:, kept] * (left / values[kept]) @ V[:, kept].mT
        return (shrunk.mT if wide else shrunk).to(matrix.dtype), left


def _leading_directions(gram: Tensor, threshold: float, max_rank: int | None) -> Tensor | None:
    """Return orthonormal columns whose span has all eigenvectors of a Gram matrix that thresholding can leave.

    By two steps of subspace iteration (Halko, Martinsson and Tropp, SIAM Review 2011). None unless the rest provably
    has no eigenvalue that can stay, by its Frobenius norm, and hardly mixes with the kept directions.
    """
    width, scale = len(gram), float(gram.norm())
    if width < SKETCHED_FROM or scale == 0:
        return None
    # As many equal eigenvalues have this trace and norm: few for a low rank, too many for a flat spectrum.
    spread = round((float(gram.trace()) / scale) ** 2)
    if spread > width // 4:
        return None
    columns = min(width // 4, 64 + 2 * spread)
    Q = torch.linalg.qr(gram @ _random_columns(width, columns).to(gram.device)).Q
    Q = torch.linalg.qr(gram @ Q).Q
    image = gram @ Q
    values, turn = torch.linalg.eigh(Q.mT @ image)
    bound = threshold**2
    if max_rank is not None and 0 < max_rank <= columns:
        bound = max(bound, float(values[-max_rank]))
    count = max(1, int((values > bound / 4).sum()))
    values, Q, image = values[-count:], Q @ turn[:, -count:], image @ turn[:, -count:]
    rest, mixing = (gram - Q * values @ Q.mT).norm(), (image - Q * values).norm()
    largest = float(values[-1])
    proven = rest <= 0.9 * bound and mixing <= SKETCH_ERROR * (bound * largest) ** 0.5
    return Q if proven else None


@cache
def _random_columns(rows: int, columns: int) -> Tensor:
    """Return standard normal columns, float64, the same for every call."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(rows, columns, generator=generator, dtype=torch.float64)


def squared_jacobian_norm(function: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    """Return an estimate of the mean over `points` of |J|^2, the squared Frobenius norm of the Jacobian of `function`.

    |J^T v|^2 with a standard normal v, new for each point, has that mean (Hutchinson, Communications in Statistics
    1990): one backward pass instead of one for each output. `function` maps each point by itself. Differentiable in
    the parameters of `function`, not in the points. Runs outside autocast.
    """
    points = points.detach().requires_grad_()
    with torch.autocast(points.device.type, enabled=False):
        outputs = function(points)
        (pulled_back,) = torch.autograd.grad(outputs, points, randn_like(outputs), create_graph=True)
    return pulled_back.square().sum() / len(points)
