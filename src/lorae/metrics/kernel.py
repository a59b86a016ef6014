"""The kernel distance between two sets of features: unbiased, so that small sets can be compared."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae.errors import LoraeError
from lorae.metrics.frechet import canonical_order

# The values of Binkowski et al. and of clean-fid: many small subsets, whose spread is the uncertainty of the mean.
SUBSETS, SUBSET_SIZE = 100, 1000


@dataclass(frozen=True)
class KernelDistance:
    """Mean and standard deviation of the squared maximum mean discrepancy over subsets."""

    mean: float
    sd: float
    subsets: int
    subset_size: int


def kernel_distance(
    first: NDArray[Any],
    second: NDArray[Any],
    *,
    subsets: int = SUBSETS,
    subset_size: int = SUBSET_SIZE,
    seed: int = 0,
) -> KernelDistance:
    """Return the kernel inception distance of features (n, d) and (m, d), kernel (x.y / d + 1)^3.

    Subsets are drawn from the sorted features, so their order does not matter. Where a set has fewer items than
    `subset_size`, subsets have as many as the smaller set. Raises LoraeError for different widths and for fewer than
    two items. Source: Binkowski et al., ICLR 2018 (arXiv:1801.01401).

    >>> x = np.random.default_rng(0).normal(size=(50, 4))
    >>> kernel_distance(x, x + 5).mean > 100
    True
    """
    if first.shape[1:] != second.shape[1:]:
        raise LoraeError(f"features: got widths {first.shape[1]} and {second.shape[1]}, expected one")
    size = min(len(first), len(second), subset_size)
    if size < 2:
        raise LoraeError(f"features: got {len(first)} and {len(second)} items, expected at least 2 in each")
    generator = np.random.default_rng(seed)
    x, y = (features[canonical_order(features)].astype(np.float64) for features in (first, second))
    values = [
        unbiased_discrepancy(
            x[generator.choice(len(x), size, replace=False)], y[generator.choice(len(y), size, replace=False)]
        )
        for _ in range(subsets)
    ]
    spread = float(np.std(values, ddof=1)) if subsets > 1 else 0.0
    return KernelDistance(float(np.mean(values)), spread, subsets, size)


def unbiased_discrepancy(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Return the unbiased estimate of the squared maximum mean discrepancy of two samples (n, d) and (m, d)."""
    n, m = len(x), len(y)
    xx, yy = _kernel(x, x), _kernel(y, y)
    within_x = (xx.sum() - np.trace(xx)) / (n * (n - 1))
    within_y = (yy.sum() - np.trace(yy)) / (m * (m - 1))
    return float(within_x + within_y - 2 * _kernel(x, y).mean())


def _kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    kernel: NDArray[np.float64] = (x @ y.T / x.shape[1] + 1) ** 3
    return kernel
