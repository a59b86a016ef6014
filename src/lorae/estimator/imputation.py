"""Linear imputation: missing entries of vectors from the observed ones, by PCA that is fitted with entries missing."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lorae.data import even_rows
from lorae.models.chunks import CHUNK
from lorae.models.scaling import Units

Array = NDArray[np.float64]

# Items that the components are fitted to: more hardly change them.
FITTED = 2000
# Share of the observed entries that are hidden to choose the number of components.
HIDDEN = 0.1
# Seed of the entries that are hidden; 0 would hide those that a user removed by the same seed.
SEED = 5_280_911
# Numbers that are tried.
NUMBERS = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
# The choice ends after this many numbers in a row without a smaller error.
WORSE = 2
# Iterations at most, in all and while the number is chosen; they end earlier once predictions change by less than this,
# a root mean square in deviations.
ITERATIONS, CHOOSING, TOLERANCE = 100, 20, 1e-4
# The noise is at least this variance, in squared deviations, so that few observed entries determine the components.
LEAST_NOISE = 1e-6


@dataclass(frozen=True)
class LinearImputation:
    """Probabilistic PCA of vectors, x = mean + scale (loadings z + noise) with z of deviation one.

    Missing entries are filled with their means given the observed ones of the same row.

    mean, scale: (d,)
    loadings: (d, k)
    noise: variance of the noise, ()

    Source: Tipping and Bishop, JRSS B 1999. The components are fitted by alternating between filling and PCA, as EM for
    PCA does (Roweis, NIPS 1998), with values shrunk by the noise (regularized iterative PCA: Josse and Husson, Journal
    of Statistical Software 2016); their number is the one that predicts hidden entries best.
    """

    mean: Array
    scale: Array
    loadings: Array
    noise: Array

    @classmethod
    def fit(cls, items: Array, weights: Array | None = None) -> "LinearImputation":
        """Fit to vectors (n, d) in deviations, NaN where missing, with weights (n,); every column has an entry."""
        rows = even_rows(len(items), FITTED)
        items = items[rows]
        weights = np.ones(len(items)) if weights is None else weights[rows]
        hidden = ~np.isnan(items) & (np.random.default_rng(SEED).random(items.shape) < HIDDEN)
        shown, entry_weights = np.where(hidden, np.nan, items), np.broadcast_to(weights[:, None], items.shape)[hidden]
        best, smallest, worse, found = 0, np.inf, 0, None
        for number in NUMBERS:
            if number >= min(items.shape) or worse == WORSE or not entry_weights.sum() > 0:
                break
            found = _components(shown, weights, number, CHOOSING, found)
            error = float(np.average(np.square(found.filled - items)[hidden], weights=entry_weights))
            best, smallest, worse = (number, error, 0) if error < smallest else (best, smallest, worse + 1)
        final = _components(items, weights, best, ITERATIONS)
        return cls(final.mean, np.ones_like(final.mean), final.loadings, np.array(final.noise))

    def in_units(self, units: Units) -> "LinearImputation":
        """Return the same for unscaled vectors, whose scaled ones were those of the fit."""
        return LinearImputation(
            units.mean + units.scale * self.mean, units.scale * self.scale, self.loadings, self.noise
        )

    def fill(self, items: Array) -> Array:
        """Return vectors (n, d) with their missing entries filled; a row without an entry is the mean."""
        broken = np.flatnonzero(np.isnan(items).any(axis=1))
        if len(broken) == 0:
            return items
        filled = items.copy()
        for start in range(0, len(broken), CHUNK):
            rows = broken[start : start + CHUNK]
            filled[rows] = self._filled(items[rows])
        return filled

    def _filled(self, items: Array) -> Array:
        """Fill by the means of z given the observed entries, which solve (L'L + noise) z = L' x over these."""
        missing = np.isnan(items)
        centered = np.where(missing, 0.0, (items - self.mean) / self.scale)
        count = self.loadings.shape[1]
        products = (self.loadings[:, :, None] * self.loadings[:, None, :]).reshape(len(self.mean), count**2)
        gram = ((~missing).astype(float) @ products).reshape(len(items), count, count) + self.noise * np.eye(count)
        codes = np.linalg.solve(gram, (centered @ self.loadings)[:, :, None])[:, :, 0]
        return np.where(missing, self.mean + self.scale * (codes @ self.loadings.T), items)


@dataclass(frozen=True)
class _Components:
    """Mean, loadings and noise of components with orthonormal `axes`, and the items filled by them."""

    mean: Array
    loadings: Array
    noise: float
    axes: Array
    filled: Array


def _components(
    items: Array, weights: Array, number: int, iterations: int, start: _Components | None = None
) -> _Components:
    """Fit a number of components by at most so many iterations, each with one step of the power method.

    start: a fit of fewer components to go on from; None fills with the means of the columns
    """
    missing, (n, d) = np.isnan(items), items.shape
    observed = n * d - int(missing.sum())
    weights = weights / weights.sum()
    axes = np.random.default_rng(0).normal(size=(d, number))
    if start is None:
        filled = np.where(missing, column_means(items, weights), items)
    else:
        filled, axes[:, : start.axes.shape[1]] = start.filled.copy(), start.axes
    axes = np.linalg.qr(axes)[0]
    predicted = filled
    for _ in range(iterations):
        mean = weights @ filled
        centered = filled - mean
        axes = np.linalg.qr(centered.T @ (weights[:, None] * (centered @ axes)))[0]
        scores = centered @ axes
        values, turn = np.linalg.eigh(scores.T @ (weights[:, None] * scores))
        axes, scores = axes @ turn, scores @ turn
        residual = np.square(centered - scores @ axes.T)
        residual[missing] = 0
        # Less the degrees of freedom of the components.
        freedom = max(observed - number * (n + d - number), observed / 4)
        noise = max(float(weights @ residual.sum(axis=1)) * n / freedom, LEAST_NOISE)
        kept = (values - noise).clip(min=0)
        predicted, before = mean + (scores * (kept / values.clip(min=LEAST_NOISE))) @ axes.T, predicted
        filled = np.where(missing, predicted, items)
        if np.square(predicted - before).mean() < TOLERANCE**2:
            break
    return _Components(mean, axes * np.sqrt(kept), noise, axes, filled)


def column_means(items: Array, weights: Array) -> Array:
    """Return the weighted means of the observed entries of columns; zero for a column without one."""
    seen = ~np.isnan(items)
    totals = (weights[:, None] * seen).sum(axis=0)
    sums = (weights[:, None] * np.where(seen, items, 0.0)).sum(axis=0)
    means: Array = sums / np.where(totals > 0, totals, 1.0)
    return means
