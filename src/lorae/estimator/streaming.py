"""Fits to batches that arrive one after the other: `partial_fit`."""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import _check_sample_weight

from lorae.estimator.inputs import seed_of
from lorae.isolation import isolated

# Items that are kept of all batches: a PCA of so many is that of all to about a percent of its error.
KEPT = 10_000


@dataclass
class Sample:
    """Uniform random sample of all items of a stream so far, in slots that a later item may take over.

    items: (m, ...)
    weights: (m,)
    most: largest m
    seen: number of items so far
    fitted_at: this number after the last batch that was fitted at full length

    Source: algorithm R of Vitter, ACM Transactions on Mathematical Software 1985.
    """

    items: NDArray[Any]
    weights: NDArray[np.float64]
    most: int
    seen: int = 0
    fitted_at: int = 0

    def add(self, items: NDArray[Any], weights: NDArray[np.float64], generator: np.random.Generator) -> None:
        """Add items (n, ...) with weights (n,); arrays from before are left as they are."""
        room = max(0, self.most - len(self.items))
        self.items = np.concatenate([self.items, items[:room]])
        self.weights = np.concatenate([self.weights, weights[:room]])
        later = np.arange(len(items[:room]), len(items))
        slots = generator.integers(self.seen + later + 1)
        taken = slots < self.most
        # Where two items fall into one slot, the later one stays, as if they came one by one.
        self.items[slots[taken]], self.weights[slots[taken]] = items[later[taken]], weights[later[taken]]
        self.seen += len(items)


class StreamingMixin(BaseEstimator):  # type: ignore[misc]
    """Fits of an estimator to batches, one after the other."""

    _sample: Sample | None = None

    @isolated()
    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:  # noqa: ARG002
        """Go on with another batch of items.

        The first batch is fitted as by `fit`, and decides features and rank. Of all batches together, 10,000 items at
        most are kept, a uniform sample of them. Each further batch trains the network on the sample: for as many steps
        as make `epochs` passes over a batch of this size, or over the whole sample whenever the number of items has
        doubled. The result is the PCA of the sample unless the network is better on items of it that it was never
        trained on. With fewer than 8 of these, or 20 items for a model that is PCA, it stays as it is until more come.

        After `fit` and `load`, whose items are not kept, the sample begins with this batch, and the network goes on.

        Parameters
        ----------
        X : array of shape (n, d), (n, h, w), (n, c, h, w) or (n, h, w, c)
            The batch, as for `fit`: at least 3 items in the first one, 1 in others.
        y : None
            Ignored.
        sample_weight : array of shape (n,), default=None
            How often each item counts.

        Returns
        -------
        self : LoRAE

        Raises
        ------
        ValueError
            For other features than before, and as `fit` does; the estimator is then as it was.

        Examples
        --------
        >>> from lorae import LoRAE
        >>> model = LoRAE(2, epochs=2, random_state=0)
        >>> for batch in np.random.default_rng(0).normal(size=(3, 100, 5)):
        ...     model = model.partial_fit(batch)
        >>> model.n_samples_seen_
        300
        """
        first = not hasattr(self, "model_")
        items = self._validated(X, fitting=first)
        weights = _check_sample_weight(sample_weight, items, dtype=np.float64, ensure_non_negative=True)
        sample = Sample(items[:0], weights[:0], KEPT) if self._sample is None else copy.copy(self._sample)
        sample.add(items, weights, np.random.default_rng([seed_of(self.random_state), sample.seen]))
        share = len(items) / len(sample.items)
        if first or self._has_enough(sample.items):
            if sample.seen >= 2 * sample.fitted_at:
                sample.fitted_at, share = sample.seen, 1.0
            self._learn(sample.items, sample.weights, share=None if first else share)
        self._sample = sample  # a batch that cannot be fitted is none
        return self

    @property
    def n_samples_seen_(self) -> int:
        """Number of items that `partial_fit` has had, as in IncrementalPCA."""
        if self._sample is None:
            raise AttributeError("n_samples_seen_: only partial_fit counts items")
        return self._sample.seen

    def _has_enough(self, items: NDArray[Any]) -> bool:
        """Return whether a fitted model can go on with these items; `LoRAE` has it."""
        raise NotImplementedError

    def _learn(self, items: NDArray[Any], sample_weight: Any, share: float | None = None) -> None:
        """Fit to items, or go on for a share of the epochs; `LoRAE` has it."""
        raise NotImplementedError

    def _validated(self, X: Any, *, fitting: bool) -> NDArray[Any]:
        """Return items; `LoRAE` has it."""
        raise NotImplementedError
