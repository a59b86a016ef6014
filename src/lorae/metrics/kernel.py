"""The kernel distance between two sets of features: unbiased, so that small sets can be compared."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae.errors import NotApplicableError
from lorae.metrics.frechet import canonical_order, check_widths

# The values of Binkowski et al. and of clean-fid: many small subsets, whose spread is the uncertainty of the mean.
SUBSETS, SUBSET_SIZE = 100, 1000


def kernel_distance(
    first: NDArray[Any],
    second: NDArray[Any],
    *,
    subsets: int = SUBSETS,
    subset_size: int = SUBSET_SIZE,
    seed: int = 0,
) -> dict[str, Any]:
    """Return the kernel inception distance of features (n, d) and (m, d), kernel (x.y / d + 1)^3.

    `mean` and `sd` are those of the squared maximum mean discrepancy over random subsets. These are drawn from the
    sorted features, so their order does not matter, and have at most as many items as the smaller set. Source:
    Binkowski et al., ICLR 2018 (arXiv:1801.01401).
    """
    check_widths(first, second)
    size = min(len(first), len(second), subset_size)
    if size < 2:
        raise NotApplicableError(f"features: got {len(first)} and {len(second)} items, expected at least 2 in each")
    generator = np.random.default_rng(seed)
    x, y = (features[canonical_order(features)].astype(np.float64) for features in (first, second))
    values = [
        unbiased_discrepancy(
            x[generator.choice(len(x), size, replace=False)], y[generator.choice(len(y), size, replace=False)]
        )
        for _ in range(subsets)
    ]
    spread = float(np.std(values, ddof=1)) if subsets > 1 else 0.0
    return {"mean": float(np.mean(values)), "sd": spread, "subsets": subsets, "subset_size": size}


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
