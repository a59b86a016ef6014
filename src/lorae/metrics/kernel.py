"""Kernel distances between two sets of features: unbiased, so that small sets can be compared."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lorae.errors import NotApplicableError
from lorae.metrics.frechet import canonical_order, check_widths

# The values of Binkowski et al. and of clean-fid: many small subsets, whose spread is the uncertainty of the mean.
SUBSETS, SUBSET_SIZE = 100, 1000

# The kernel's width and the factor of Jayasumana et al., without which their numbers would begin with zeros.
WIDTH, SCALE = 10.0, 1000.0
# Rows of a block: its kernels, 32 MB, fit in memory several times, and the products of blocks are still fast.
BLOCK = 2048
UNIT_PROTOCOL = {
    "kernel": f"Gaussian of sigma {WIDTH:g} on features divided by their norm, times {SCALE:g}",
    "estimator": "unbiased, as in the paper; `biased` keeps each item's similarity to itself, as in its authors' code",
}


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
    _check(first, second)
    size = min(len(first), len(second), subset_size)
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


def unit_discrepancy(first: NDArray[Any], second: NDArray[Any]) -> dict[str, float]:
    """Return the squared maximum mean discrepancy of features (n, d) and (m, d) of unit norm, times 1000.

    The kernel is exp(-|x - y|^2 / (2 sigma^2)) with sigma 10. On embeddings of CLIP this is CMMD. Rows are divided by
    their norm first; a row of zeros stays zero. `value` is unbiased, `biased` is never negative. The pairs are summed
    in blocks, so that memory does not grow with their number. Source: Jayasumana et al., CVPR 2024 (arXiv:2401.09603),
    equation 4.
    """
    _check(first, second)
    n, m = len(first), len(second)
    within_first, within_second = _excess_within(first), _excess_within(second)
    across = sum(_excess(x, y) for x in _unit_blocks(first) for y in _unit_blocks(second)) / (n * m)
    # All kernels are near one, so sums of `kernel - 1` keep their digits; the ones cancel in both differences. The
    # similarity of an item to itself is one and adds nothing, so the two estimators differ in the divisor only.
    unbiased = within_first / (n * (n - 1)) + within_second / (m * (m - 1)) - 2 * across
    biased = within_first / n**2 + within_second / m**2 - 2 * across
    return {"value": SCALE * unbiased, "biased": SCALE * max(biased, 0.0)}


def _excess_within(features: NDArray[Any]) -> float:
    """Return the sum of `kernel - 1` over all ordered pairs of rows, by symmetry from each pair of blocks once."""
    total = 0.0
    for i, x in enumerate(_unit_blocks(features)):
        total += _excess(x, x) + 2 * sum(_excess(x, y) for y in _unit_blocks(features[: i * BLOCK]))
    return total


def _excess(x: torch.Tensor, y: torch.Tensor) -> float:
    """Return the sum of `kernel - 1` over all pairs of rows, float64 (a, d) and (b, d)."""
    squared = x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.mT
    return float(squared.clamp_(min=0).mul_(-1 / (2 * WIDTH**2)).expm1_().sum())


def _unit_blocks(features: NDArray[Any]) -> Iterator[torch.Tensor]:
    for start in range(0, len(features), BLOCK):
        block = torch.from_numpy(features[start : start + BLOCK].astype(np.float64))
        yield torch.nn.functional.normalize(block, eps=np.finfo(np.float64).tiny)


def _check(first: NDArray[Any], second: NDArray[Any]) -> None:
    check_widths(first, second)
    if min(len(first), len(second)) < 2:
        raise NotApplicableError(f"features: got {len(first)} and {len(second)} items, expected at least 2 in each")


def _kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    kernel: NDArray[np.float64] = (x @ y.T / x.shape[1] + 1) ** 3
    return kernel
