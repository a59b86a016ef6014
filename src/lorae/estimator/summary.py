"""Fitted attributes: spectra and shares of the variance of training items."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from lorae.data import Split
from lorae.estimator.display import SpectrumDisplay
from lorae.estimator.imputation import column_means
from lorae.metrics.linear_floor import mean_squares
from lorae.models.chunks import CHUNK

# Codes kept for fitting a density: more would change it by less than the noise of a sample.
MOST_CODES = 10_000


class SummaryMixin(BaseEstimator):  # type: ignore[misc]
    """Attributes of a fitted model that its training items decide."""

    def plot_spectrum(self, *, ax: Any = None, **style: Any) -> SpectrumDisplay:
        """Draw the shares of the variance that codes keep, as by `SpectrumDisplay.from_estimator`, and return it."""
        return SpectrumDisplay.from_estimator(self, ax=ax, **style)

    @property
    def n_components_(self) -> int:
        """Width of the codes, as in PCA."""
        return int(self.rank_)

    def _remember(self, items: Split, count: float, errors: NDArray[np.float64], seed: int) -> None:
        """Set the fitted attributes for items that stand for a number of them; codes of vectors are float64."""
        weights = items.weights
        codes = self.model_.encode(items.inputs).astype(np.float64)
        generator = np.random.default_rng(seed)
        if weights is None:
            kept = generator.permutation(len(codes))[:MOST_CODES]
        else:
            kept = generator.choice(len(codes), min(len(codes), MOST_CODES), p=weights / weights.sum())
        self._codes = codes[np.sort(kept)].astype(np.float32)
        self._centre = self._mean_of(items)
        self.rank_ = codes.shape[1]
        variances = np.average(np.square(codes - np.average(codes, axis=0, weights=weights)), axis=0, weights=weights)
        self.explained_variance_ = variances * count / (count - 1)
        self.singular_values_ = np.sqrt(variances * count)
        share = 1 - float(np.average(errors, weights=items.error_weights)) / self._spread(items)
        self.explained_variance_ratio_ = share * variances / variances.sum()

    def _mean_of(self, items: Split) -> NDArray[np.float64]:
        """Return the mean of scaled items, over the entries that were observed."""
        n = len(items)
        shares = np.full(n, 1 / n) if items.weights is None else items.weights / items.weights.sum()
        if items.targets is not None:
            return column_means(np.concatenate(list(self._scaled(items.targets))), shares)
        starts = range(0, n, CHUNK)
        parts = zip(starts, self._scaled(items.inputs), strict=True)
        means = [np.tensordot(shares[start : start + CHUNK], part, 1) for start, part in parts]
        return np.asarray(sum(means))

    def _spread(self, items: Split) -> float:
        """Return the mean squared distance of scaled items from the training mean, the error of that mean."""
        complete = items.targets is None
        parts = [
            mean_squares((part - self._centre).reshape(len(part), -1), None if complete else part)
            for part in self._scaled(items.inputs if complete else items.targets)
        ]
        mean = float(np.average(np.concatenate(parts), weights=items.error_weights))
        return max(mean, float(np.finfo(np.float64).tiny))

    def _scaled(self, items: Any) -> Iterator[NDArray[np.float64]]:
        """Yield scaled items, a few at once."""
        for start in range(0, len(items), CHUNK):
            part = torch.as_tensor(np.array(items[start : start + CHUNK]))
            yield self.model_.scaling(part).double().numpy()
