"""The Frechet distance between two sets of features: streaming moments, and the distance of two Gaussians."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lorae.errors import LoraeError, LoraeWarning, NotApplicableError

Matrix = NDArray[np.float64]

# Eigenvalues of a covariance below this share of the largest, times its size, are rounding: they count as zero.
ROUNDING = float(np.finfo(np.float64).eps)

# Rows that are multiplied at once.
CHUNK = 4096


@dataclass(frozen=True)
class Moments:
    """Mean (d,) and unbiased covariance (d, d) of n feature vectors, float64."""

    n: int
    mean: Matrix
    covariance: Matrix

    @cached_property
    def factor(self) -> Matrix:
        """Factor A with A A^T = covariance, cached because one set is often compared with many."""
        return _factor(self.covariance)

    @classmethod
    def of(cls, features: NDArray[Any]) -> "Moments":
        """Return the moments of features (n, d)."""
        return cls.streamed([features])

    @classmethod
    def streamed(cls, batches: Iterable[NDArray[Any]]) -> "Moments":
        """Return the moments of features that come in batches (n_i, d), by sums about the mean of the first rows.

        Without that origin, products of large values would cancel.
        """
        n, origin, total, products = 0, None, np.zeros(0), np.zeros((0, 0))
        for features in batches:
            if features.ndim != 2 or (origin is not None and features.shape[1] != len(origin)):
                width = "d" if origin is None else len(origin)
                raise LoraeError(f"features: got shape {features.shape}, expected (n, {width})")
            for start in range(0, len(features), CHUNK):
                rows = features[start : start + CHUNK].astype(np.float64)
                if not np.isfinite(rows).all():
                    raise LoraeError("features: got values that are not finite, expected finite ones")
                if origin is None:
                    origin = rows.mean(axis=0)
                    total, products = np.zeros_like(origin), np.zeros((len(origin), len(origin)))
                centered = rows - origin
                total += centered.sum(axis=0)
                products += centered.T @ centered
                n += len(rows)
        if origin is None or n < 2:
            raise NotApplicableError(f"features: got {n} items, expected at least 2 for a covariance")
        shift = total / n
        covariance = (products - n * np.outer(shift, shift)) / (n - 1)
        return cls(n, origin + shift, (covariance + covariance.T) / 2)


def frechet_distance(first: Moments, second: Moments) -> float:
    """Return |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), the squared 2-Wasserstein distance of Gaussians.

    Covariances may be singular, as with fewer items than dimensions; zero for equal moments. Source: Dowson and
    Landau, 1982; as an image metric Heusel et al., NeurIPS 2017 (arXiv:1706.08500).
    """
    check_widths(first.covariance, second.covariance)
    difference = first.mean - second.mean
    traces = np.trace(first.covariance) + np.trace(second.covariance)
    cross = _nuclear_product(first.factor, second.factor)
    return float(max(difference @ difference + traces - 2 * cross, 0.0))


def check_widths(first: NDArray[Any], second: NDArray[Any]) -> None:
    """Raise LoraeError for features (n, d) of different widths."""
    if first.shape[1:] != second.shape[1:]:
        raise LoraeError(f"features: got widths {first.shape[1]} and {second.shape[1]}, expected one")


def root_product_trace(first: Matrix, second: Matrix) -> float:
    """Return tr((C1 C2)^(1/2)) of two covariances, as the sum of the singular values of A1^T A2 where C = A A^T.

    Unlike square roots of the product's eigenvalues, it is precise for small ones and always real.
    """
    return _nuclear_product(_factor(first), _factor(second))


def _nuclear_product(first: Matrix, second: Matrix) -> float:
    product = torch.from_numpy(first).mT @ torch.from_numpy(second)
    return float(torch.linalg.svdvals(product).sum())


def _factor(covariance: Matrix) -> Matrix:
    """Return A with A A^T = C: by Cholesky's method if C is safely positive definite, else from its eigenvectors."""
    matrix = torch.from_numpy(np.ascontiguousarray(covariance))
    floor = len(covariance) * ROUNDING * float(matrix.diagonal().max().clamp_min(0))
    lower, failed = torch.linalg.cholesky_ex(matrix)
    if not int(failed) and bool((lower.diagonal().square() > floor).all()):
        return np.asarray(lower.numpy())
    eigenvalues, eigenvectors = torch.linalg.eigh(matrix)
    kept = eigenvalues > len(covariance) * ROUNDING * eigenvalues[-1].clamp_min(0)
    return np.asarray((eigenvectors[:, kept] * eigenvalues[kept].sqrt()).numpy())


def warn_of_few(n: int, width: int, what: str) -> None:
    """Warn if a covariance of `width` features is estimated from fewer items, which makes distances too high."""
    if n <= width:
        warnings.warn(
            f"frechet distance: {n} {what} for {width} features give a singular covariance and a distance that is "
            f"too high; use more than {width}, better ten times as many",
            LoraeWarning,
            stacklevel=3,
        )


def extrapolated_distance(
    features: NDArray[Any], reference: Moments, *, seed: int = 0, points: int = 15
) -> dict[str, Any]:
    """Return FID-infinity: distances of growing subsets of features (n, d) to the reference, extrapolated in 1/n.

    Removes the bias of the finite number of generated items. Subsets are random, from half of the items to all, but do
    not depend on their order. Source: Chong and Forsyth, CVPR 2020 (arXiv:1911.07023).
    """
    if len(features) < 2 * points:
        raise LoraeError(f"features: got {len(features)} items, expected at least {2 * points} to extrapolate from")
    ordered = features[canonical_order(features)]
    generator = np.random.default_rng(seed)
    sizes = np.unique(np.linspace(len(features) // 2, len(features), points).astype(int)).tolist()
    distances = []
    for size in sizes:
        chosen = generator.permutation(len(features))[:size]
        distances.append(frechet_distance(Moments.of(ordered[chosen]), reference))
    _, intercept = np.polyfit(1 / np.array(sizes), np.array(distances), 1)
    return {"value": float(intercept), "sizes": sizes, "distances": distances}


def canonical_order(features: NDArray[Any]) -> NDArray[np.int64]:
    """Return indices that sort the rows, so that subsets drawn in this order do not depend on that of the items."""
    return np.lexsort(features.T[::-1]).astype(np.int64)
