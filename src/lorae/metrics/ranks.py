"""Ranks of a spectrum, by several definitions."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Values = TypeVar("Values", NDArray[np.float64], list[float])


def visible(eigenvalues: Values, n: int | None) -> Values:
    """Return the leading eigenvalues of a covariance of n items, which span at most n - 1 directions; None for all.

    >>> visible([4.0, 2.0, 0.0, 0.0], 3)
    [4.0, 2.0]
    """
    return eigenvalues if n is None else eigenvalues[: max(1, n - 1)]


def rank_at(values: NDArray[np.float64], tolerance: float) -> int:
    """Count the values above `tolerance` times the largest; 0 where all are zero."""
    values = np.asarray(values, dtype=np.float64)
    largest = values.max(initial=0.0)
    return int((values > tolerance * largest).sum()) if largest > 0 else 0


def energy_rank(values: NDArray[np.float64], share: float = 0.99) -> int:
    """Return the smallest number of largest values whose sum reaches `share` of the total; 0 where all are zero."""
    values = np.sort(np.clip(np.asarray(values, dtype=np.float64), 0, None))[::-1]
    total = values.sum()
    return int(np.searchsorted(np.cumsum(values), share * total * (1 - 1e-12)) + 1) if total > 0 else 0


def entropy_rank(values: NDArray[np.float64]) -> float:
    """Return the exponential of the entropy of values as shares (Roy and Vetterli, 2007); 0 where all are zero."""
    values = np.clip(np.asarray(values, dtype=np.float64), 0, None)
    if values.sum() == 0:
        return 0.0
    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def stable_rank(values: NDArray[np.float64]) -> float:
    """Return the sum of the values over the largest; 0 where all are zero.

    For eigenvalues of a covariance this is the squared Frobenius over the squared spectral norm of the data matrix.
    """
    values = np.clip(np.asarray(values, dtype=np.float64), 0, None)
    return float(values.sum() / values.max()) if values.max(initial=0.0) > 0 else 0.0
