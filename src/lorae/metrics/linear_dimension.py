"""The number of linear directions of data, with noise in all coordinates."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae.linalg import leading_components

FOLDS = 5
# Largest share of the held-out variance outside the directions: with more, the remainder is not noise beside them.
REMAINDER = 0.1
# Smallest ratio of the held-out variances along the last direction and the next one. Noise of one deviation gives 1.1,
# noise whose deviations differ by column up to 2; a direction of a fifth of the noise's deviation cannot be told apart.
GAP = 2.5
# A variance below this share of the largest is rounding.
ROUNDING = 1e-12


def linear_dimension(points: NDArray[Any], most: int = 128, weights: NDArray[np.float64] | None = None) -> int | None:
    """Return the number of linear directions of points, or None if no clear gap separates them from noise.

    Principal axes of four fifths of the points are measured on the others, so that directions that fit these points by
    chance have no more variance than noise has. The dimension is where the ratio of successive variances is largest
    (the eigenvalue ratio of Ahn and Horenstein, Econometrica 2013), provided that it is at least `GAP` and that at most
    a tenth of the variance is left.

    Parameters
    ----------
    points : array of shape (n, d)
        At least 10, finite.
    most : int, default=128
        Largest dimension.
    weights : array of shape (n,), default=None
        Weights of the points; None weighs them alike.

    Examples
    --------
    >>> generator = np.random.default_rng(0)
    >>> points = generator.normal(size=(60, 3)) @ generator.normal(size=(3, 20))
    >>> linear_dimension(points + 0.1 * generator.normal(size=points.shape))
    3
    """
    if len(points) < 2 * FOLDS:
        return None
    variances, total = _held_out_variances(points, most + 1, weights)  # the last one counts as noise
    if total <= 0:
        return None
    left = 1 - np.cumsum(variances) / total
    variances = np.maximum(variances, ROUNDING * variances.max())
    # With all coordinates, or as many directions as points allow, there is no next one.
    ratios = np.where(left[:-1] <= REMAINDER, variances[:-1] / variances[1:], 0.0)
    if not len(ratios) or ratios.max() < GAP:
        return None
    return int(ratios.argmax()) + 1


def _held_out_variances(
    points: NDArray[Any], most: int, weights: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], float]:
    """Return the mean squares of held-out points along principal axes of the others (k,), and their sum over all."""
    order = np.random.default_rng(0).permutation(len(points))
    weights = np.ones(len(points)) if weights is None else weights / weights.mean()
    squares, total, count = [], 0.0, most
    for fold in range(FOLDS):
        held = np.zeros(len(points), bool)
        held[order[fold::FOLDS]] = True
        mean, axes, _ = leading_components(points[~held], most, weights[~held])
        centered = (points[held] - mean) * np.sqrt(weights[held])[:, None]
        count = min(count, len(points) - int(held.sum()) - 1, points.shape[1])
        squares.append(np.square(centered @ axes[:count].T))
        total += float(np.square(centered).sum())
    along = np.concatenate([part[:, :count] for part in squares])
    return along.mean(axis=0), total / len(points)
