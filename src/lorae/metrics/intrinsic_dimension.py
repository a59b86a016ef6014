"""Measures of a cloud of points that need no model: intrinsic dimension, and the contrast of its distances."""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lorae.errors import LoraeError, NotApplicableError
from lorae.metrics.neighbors import distance_rows, neighbor_distances

# TwoNN leaves out the tenth of the points with the largest ratios, as its authors do: they break the local uniformity.
KEPT = 0.9
# Levina and Bickel average over 10 to 20 neighbors: fewer are noisy, more reach around the curves.
NEIGHBORS = 20


# Distances of all pairs cost n^2 products of d entries: 10,000 items of 32 x 32 take half a minute on one core. TwoNN's
# standard error at 10,000 is a hundredth of the dimension.
MOST_ITEMS, PRODUCTS = 10_000, 1.1e11


def affordable_points(n: int, width: int) -> int:
    """Return how many of n points of this width all pairs are compared of."""
    return min(n, MOST_ITEMS, math.isqrt(int(PRODUCTS / width)))


def two_nn(points: NDArray[Any]) -> float:
    """Return the intrinsic dimension of points (n, d) from the ratio of the distances to the two nearest neighbors.

    Fits -log(1 - F(mu)) = d log(mu) through the origin on the lower 90% of the ratios; repeated points count once.
    Source: Facco et al., Scientific Reports 2017 (arXiv:1803.06992).
    """
    nearest = neighbor_distances(_different(points), 2).numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = nearest[:, 1] / nearest[:, 0]
    ratios = np.sort(ratios[np.isfinite(ratios)])  # points that differ by less than rounding have no ratio
    kept = int(len(ratios) * KEPT)
    x = np.log(ratios[:kept])
    y = -np.log1p(-np.arange(1, kept + 1) / len(ratios))
    return float((x @ y) / (x @ x)) if (x @ x) > 0 else float("nan")


def levina_bickel(points: NDArray[Any], neighbors: int = NEIGHBORS) -> float:
    """Return the intrinsic dimension of points (n, d), by maximum likelihood from distances to nearest neighbors.

    With T_j the distance of a point to its j-th neighbor, the inverse is the mean of log(T_k / T_j) over j < k and all
    points: averaging dimensions instead of inverses would be biased upwards. Among fewer than k + 1 points all others
    are neighbors; repeated points count once. Source: Levina and Bickel, NIPS 2004; the average of inverses after
    MacKay and Ghahramani's comment on it (2005).
    """
    if neighbors < 2:
        raise LoraeError(f"neighbors: got {neighbors}, expected at least 2")
    different = _different(points)
    nearest = neighbor_distances(different, min(neighbors, len(different) - 1)).numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(nearest[:, -1:] / nearest[:, :-1])
    logs = logs[np.isfinite(logs)]  # points that differ by less than rounding have no ratio
    return float(1 / logs.mean()) if logs.sum() > 0 else float("nan")


def _different(points: NDArray[Any]) -> NDArray[Any]:
    """Return every point once, as rows; LoraeError where they are too few for a dimension."""
    if not np.isfinite(points).all():
        raise NotApplicableError("points: got values that are not finite, expected finite ones")
    different: NDArray[Any] = np.unique(np.asarray(points).reshape(len(points), -1), axis=0)
    if len(different) < 10:
        raise NotApplicableError(f"points: got {len(different)} different ones, expected at least 10 for a dimension")
    return different


def distance_contrast(points: NDArray[Any]) -> dict[str, float]:
    """Return (d_max - d_min) / d_min over points (n, d), each to all others: median, smallest and 10% quantile.

    The paper bounds this ratio from below (theorem 2; its division by the rank cancels). If it is small, near and far
    points cannot be distinguished. Repeated points, at distance zero, are left out.
    """
    ratios = []
    for start, squared in distance_rows(points, points):
        rows = torch.arange(len(squared))
        largest = squared.max(1).values.sqrt()
        squared[rows, start + rows] = torch.inf
        nearest = squared.min(1).values.sqrt()
        ratios.append(((largest - nearest) / nearest)[(nearest > 0) & nearest.isfinite()])
    every = torch.cat(ratios).numpy()
    if len(every) == 0:
        raise NotApplicableError("points: all are the same, expected different ones for a ratio of distances")
    return {
        "median": float(np.median(every)),
        "quantile_10": float(np.quantile(every, 0.1)),
        "smallest": float(every.min()),
    }
