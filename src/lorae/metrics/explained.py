"""The share of the variance of held-out items that a reconstruction explains, and the errors of PCA beside it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae.errors import LoraeError

# Products of a decomposition of n items with d entries, n d min(n, d): two seconds on one core, since every training
# ends with one. Of MNIST at 32 x 32 that takes 9,500 digits, ten for each entry.
PRODUCTS = 1e10
EPSILON = float(np.finfo(np.float64).eps)


def pca_error(train: NDArray[Any], held_out: NDArray[Any], ranks: Sequence[int]) -> NDArray[np.float64]:
    """Return the mean squared error per entry of held-out items (m, ...) by PCA of training items (n, ...), by rank.

    Rank 0 is the variance about the mean of the training items; ranks above that of these items keep all of it. Exact
    in float64 for any n and size, and without squares of small deviations beside large ones: by orthogonal factors, not
    by a covariance, and from the coordinates that PCA leaves out, not as a difference.
    """
    if train.shape[1:] != held_out.shape[1:] or not len(train) or not len(held_out):
        raise LoraeError(f"items: got shapes {train.shape} and {held_out.shape}, expected items of one shape in both")
    items, others = (np.asarray(part, dtype=np.float64).reshape(len(part), -1) for part in (train, held_out))
    if not (np.isfinite(items).all() and np.isfinite(others).all()):
        raise LoraeError("items: got values that are not finite, expected finite ones")
    mean = items.mean(axis=0)
    axes = _principal_axes(items - mean, rounding=EPSILON * np.linalg.norm(mean) * len(items) ** 0.5)
    centered = others - mean
    coordinates = centered @ axes
    outside = np.square(centered - coordinates @ axes.T).sum()
    # Errors of all ranks from the last one on: what lies outside of all axes, and the coordinates left out before.
    left_out = np.square(coordinates).sum(axis=0)[::-1]
    errors = (outside + np.concatenate([[0.0], np.cumsum(left_out)]))[::-1] / centered.size
    return np.asarray(errors[np.clip(np.asarray(ranks, dtype=np.int64), 0, axes.shape[1])], dtype=np.float64)


def _principal_axes(centered: NDArray[np.float64], rounding: float) -> NDArray[np.float64]:
    """Return the axes (d, r) in which centered items (n, d) vary by more than rounding, by descending variance."""
    wide = len(centered) < centered.shape[1]
    if wide:
        basis, triangle = np.linalg.qr(centered.T)
        _, deviations, rows = np.linalg.svd(triangle.T)
    else:
        _, deviations, rows = np.linalg.svd(np.linalg.qr(centered, mode="r"))
    kept = deviations > max(rounding, EPSILON * max(centered.shape) * deviations.max(initial=0.0))
    axes = rows[: len(deviations)][kept].T
    return np.asarray(basis @ axes if wide else axes)


def affordable_rows(n: int, width: int, products: float = PRODUCTS) -> int:
    """Return how many of n items of this width a decomposition of `PRODUCTS` products can take."""
    return min(n, max(int(products / width**2), min(width, int((products / width) ** 0.5))))
