"""PCA of some items measured on others, at every rank: the errors that a network has to beat."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae.linalg import leading_components

# Linear directions whose deviation is below this share of the largest are no coordinates of a latent: divided by their
# deviations they would multiply what is unusual in a new item.
NEGLIGIBLE = 0.01


@dataclass
class LinearFloor:
    """PCA of some items, and its squared errors (m, ranks + 1) on others, with weights of these (m,) or None."""

    mean: NDArray[np.float64]
    axes: NDArray[np.float64]
    variances: NDArray[np.float64]
    errors: NDArray[np.float64] = field(repr=False)
    weights: NDArray[np.float64] | None = field(default=None, repr=False)

    @classmethod
    def fit(
        cls,
        kept: NDArray[Any],
        held: NDArray[Any],
        most: int,
        weights: NDArray[np.float64] | None = None,
        held_weights: NDArray[np.float64] | None = None,
        targets: NDArray[Any] | None = None,
    ) -> "LinearFloor":
        """Return the PCA of at most `most` components of items (n, ...) with weights (n,), and errors on held ones.

        targets: the held items with NaN for entries of which no error is counted; None for none
        """
        rows = as_vectors(kept)
        mean, axes, variances = leading_components(rows, most, weights)
        rounding = np.finfo(np.float64).eps * max(rows.shape)
        real = variances > rounding**2 * variances.max(initial=0.0)
        axes, variances = axes[real], variances[real]
        centered = as_vectors(held) - mean
        if targets is not None:
            errors = _observed_errors(centered, axes, as_vectors(targets))
            return cls(mean, axes, variances, errors, held_weights)
        kept_squares = np.cumsum(np.square(centered @ axes.T), axis=1)
        total = np.square(centered).sum(axis=1, keepdims=True)
        left = total - np.hstack([np.zeros_like(total), kept_squares])
        return cls(mean, axes, variances, left.clip(min=0) / centered.shape[1], held_weights)

    @property
    def directions(self) -> int:
        """Number of components whose deviation is not negligible, at least 1."""
        return max(1, int((self.variances > NEGLIGIBLE**2 * self.variances[:1]).sum()))

    def at(self, rank: int) -> NDArray[np.float64]:
        """Return the errors (m,) with `rank` components, or all that there are."""
        errors: NDArray[np.float64] = self.errors[:, min(rank, len(self.axes))]
        return errors

    def error(self, rank: int) -> float:
        """Return the mean error with `rank` components, or all that there are."""
        return float(np.average(self.at(rank), weights=self.weights))

    def smallest_rank(self, bound: float) -> int:
        """Return the smallest number of components whose error is within a bound, all of them if none is."""
        within = np.flatnonzero(np.average(self.errors, axis=0, weights=self.weights) <= bound)
        return max(1, int(within[0]) if len(within) else len(self.axes))


def _observed_errors(
    centered: NDArray[np.float64], axes: NDArray[np.float64], targets: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the errors (m, ranks + 1) of centered rows over the entries that targets have, with ever more axes."""
    left = centered.copy()
    errors = [mean_squares(left, targets)]
    for axis in axes:
        left -= np.outer(centered @ axis, axis)
        errors.append(mean_squares(left, targets))
    return np.stack(errors, axis=1)


def mean_squares(differences: NDArray[np.float64], targets: NDArray[Any] | None) -> NDArray[np.float64]:
    """Return the mean square of each row of differences (n, d) over the entries that its targets have, zero for none.

    >>> mean_squares(np.array([[1.0, 3.0], [2.0, 5.0]]), np.array([[0.0, 0.0], [0.0, np.nan]]))
    array([5., 4.])
    """
    squares = np.square(differences)
    if targets is None:
        means: NDArray[np.float64] = squares.mean(axis=1)
    else:
        seen = ~np.isnan(targets).reshape(squares.shape)
        means = np.where(seen, squares, 0.0).sum(axis=1) / seen.sum(axis=1).clip(min=1)
    return means


def as_vectors(items: NDArray[Any]) -> NDArray[np.float64]:
    """Return items as float64 rows (n, d): images divided by 255 where they are uint8."""
    rows = items.reshape(len(items), -1).astype(np.float64)
    return rows / 255 if items.dtype == np.uint8 else rows
