"""Weights with the smallest error on held-out items, so that a training may overfit and lose nothing."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lorae.models.autoencoder import Autoencoder
from lorae.models.observed import squared_errors

# Measurements in a training: often enough to find the smallest error of a curve that falls and rises.
MEASURED = 60

# A training has stalled if its smallest error is older than this share of all steps. The learning rate falls in the
# last third, which lowers the error of a training that does not overfit: it must be reached before stopping.
PATIENCE = 0.35


@dataclass
class BestWeights:
    """The weights of a model at its smallest error on held-out raw items (n, ...).

    item_weights: weights of these items' errors (n,); None weighs them alike
    targets: these items with NaN for entries of which no error is counted; None for none
    patience: share of all steps after which a smallest error is old
    """

    items: NDArray[Any]
    patience: float = PATIENCE
    item_weights: NDArray[np.float64] | None = None
    targets: NDArray[Any] | None = None
    error: float = math.inf
    reached_at: float = 0.0
    _measured_at: float = 0.0
    _weights: dict[str, Tensor] | None = None
    _start: tuple[float, dict[str, Tensor]] | None = None

    def start_from(self, model: Autoencoder) -> None:
        """Keep the weights that a training goes on from.

        They are the best ones if no others have a smaller error, but do not stop the training: its first steps, at the
        full learning rate, lose what only the last ones gain.
        """
        self._start = self._error_of(model), _weights_of(model)

    def update(self, progress: float, model: Autoencoder) -> None:
        """Measure a model if enough steps have passed; progress: share of all steps done."""
        if progress < 1 and progress - self._measured_at < 1 / MEASURED:
            return
        self._measured_at = progress
        error = self._error_of(model)
        if error < self.error:
            self.error, self.reached_at, self._weights = error, progress, _weights_of(model)

    def stalled(self, progress: float) -> bool:
        """Return whether the smallest error is old; progress: share of all steps done."""
        return self._weights is not None and progress - self.reached_at > self.patience

    def load_into(self, model: Autoencoder) -> None:
        """Load the best weights, if any were measured."""
        if self._start is not None and not self._start[0] > self.error:
            model.load_state_dict(self._start[1])
        elif self._weights is not None:
            model.load_state_dict(self._weights)

    def _error_of(self, model: Autoencoder) -> float:
        return float(np.average(squared_errors(model, self.items, self.targets), weights=self.item_weights))


def _weights_of(model: Autoencoder) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
