"""Fits that go on from the fitted network: `warm_start`."""

import copy
import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from lorae import validation as rules
from lorae.config.settings import Settings
from lorae.estimator.inputs import digests, value_errors
from lorae.models.scaling import Units
from lorae.training.continuation import Continuation
from lorae.training.judging import FEWEST, FOLDS

# With fewer items that a network was not trained on, none could be chosen and judged by them.
FEWEST_UNSEEN = 2 * (FEWEST // FOLDS)


class ContinuingMixin(BaseEstimator):  # type: ignore[misc]
    """A further fit of a fitted estimator, where `warm_start` is true."""

    # Short hashes of the items that the network was trained on; None in files and pickles of earlier versions.
    _seen: NDArray[np.int64] | None = None

    def _continues(self, share: float | None) -> bool:
        with value_errors():
            asked = rules.switch().check("warm_start", self.warm_start, "parameter of LoRAE")
        return bool((asked or share is not None) and hasattr(self, "model_"))

    def _continued(self, settings: Settings, share: float | None) -> Settings:
        """Return settings with the rank of the fitted model, for a share of the epochs in a further batch.

        ValueError where another number is asked for.
        """
        if not self._continues(share):
            return settings
        if isinstance(settings.rank, int) and settings.rank != self.rank_:
            raise ValueError(
                f"rank: got {settings.rank}, but this fit goes on from a model of rank {self.rank_}; ask for that or "
                "'auto', or set warm_start=False"
            )
        assert isinstance(settings.epochs, int)
        epochs = max(1, round((share or 1.0) * settings.epochs))
        return dataclasses.replace(settings, rank=self.rank_, epochs=epochs)

    def _continuation(self, items: NDArray[Any], units: Units | None, share: float | None) -> Continuation | None:
        """Return what a fit of items goes on from; None for a first fit, and for PCA, from which every fit starts."""
        if not self._continues(share) or not self.curved_:
            return None
        if self._seen is None:
            raise ValueError(
                "warm_start: the model is of an earlier version, which did not keep what it was trained on; set "
                "warm_start=False"
            )
        seen = np.isin(_hashes(items), self._seen)
        if not _are_enough(seen):
            return None
        model = copy.deepcopy(self.model_)
        if units is not None:
            units.inverse().fold_into(model.scaling)
        return Continuation(model, seen)

    def _has_enough(self, items: NDArray[Any]) -> bool:
        """Return whether there are items to judge by whether the network goes on, or to replace a PCA."""
        if not self.curved_ or self._seen is None:
            return len(items) >= FEWEST
        return _are_enough(np.isin(_hashes(items), self._seen))

    def _remember_seen(self, items: NDArray[Any], rows: NDArray[np.int64], start: Continuation | None) -> None:
        """Keep the hashes of the items in rows, on which the network was trained, and of those before."""
        earlier = self._seen if start is not None and self._seen is not None else np.zeros(0, np.int64)
        self._seen = np.union1d(_hashes(items[rows]), earlier)


def _are_enough(seen: NDArray[np.bool_]) -> bool:
    return int((~seen).sum()) >= FEWEST_UNSEEN


def _hashes(items: NDArray[Any]) -> NDArray[np.int64]:
    return np.frombuffer(b"".join(digests(items, 8)), np.int64)
