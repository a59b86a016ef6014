"""Principal axes and deviations of points, in float64."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

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
    return mean, _without_rounding(deviation, mean, tolerance, by_columns)


def streamed_deviations(
    passes: Callable[[], Iterable[NDArray[Any]]], *, by_columns: bool = True
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what `column_deviations` does of vectors that come in batches (n_i, d), in two passes over them.

    >>> streamed_deviations(lambda: [np.array([[0.1, 0.0]]), np.array([[0.1, 2.0], [0.1, 4.0]])])[1].round(3)
    array([0.   , 1.633])
    """
    count, total, low, high = 0, np.zeros(1), np.full(1, np.inf), np.full(1, -np.inf)
    for batch in passes():
        count, total = count + len(batch), total + batch.sum(axis=0, dtype=np.float64)
        low, high = np.minimum(low, batch.min(axis=0)), np.maximum(high, batch.max(axis=0))
    mean = total / count
    largest = np.maximum(high - mean, mean - low)
    unit = np.where(largest > 0, largest, 1.0)  # so that squares neither overflow nor vanish
    squares = np.zeros_like(mean)
    for batch in passes():
        squares += np.square((batch - mean) / unit).sum(axis=0)
    tolerance = count * float(np.finfo(np.float64).eps)
    return mean, _without_rounding(unit * np.sqrt(squares / count), mean, tolerance, by_columns)


def _without_rounding(
    deviation: NDArray[np.float64], mean: NDArray[np.float64], tolerance: float, by_columns: bool
) -> NDArray[np.float64]:
    """Return deviations with zero for constants, and unless `by_columns` with the root of their mean square for all."""
    deviation[deviation <= tolerance * np.abs(mean)] = 0.0
    if not by_columns and deviation.any():
        unit = deviation.max()
        deviation[:] = unit * np.sqrt(np.square(deviation / unit).mean())
    return deviation
