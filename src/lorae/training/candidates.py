"""Trained models that are candidates of a choice, the errors that judge them, and the result."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae.models.autoencoder import Autoencoder

# A network must take 2% off PCA's error, and more than twice the standard error of the difference, to be chosen.
GAIN, SIGMAS = 0.02, 2.0


@dataclass(frozen=True)
class Candidate:
    """A trained model, the squared errors of its reconstructions of held-out items (m,), and its epochs.

    error: mean squared error of an entry of a held-out item
    share: of all steps, that were planned
    reached_at: share of all steps after which the error was smallest
    """

    model: Autoencoder
    errors: NDArray[np.float64]
    error: float
    noise: float
    latent_dim: int
    share: float
    reached_at: float
    history: list[dict[str, Any]]


@dataclass(frozen=True)
class Selection:
    """The chosen model with its rank and the errors that decided.

    model: with codes as wide as the rank
    curved: whether the model is a network; otherwise it is the PCA of all items
    error, pca_error, variance: mean squares of entries of held-out items, of models trained without these items
    search: ranks tried and their errors; None for a given rank
    """

    model: Autoencoder
    rank: int
    curved: bool
    error: float
    pca_error: float
    variance: float
    search: dict[str, Any] | None
    history: list[dict[str, Any]]

    @property
    def score(self) -> float:
        """Share of the variance of held-out items that the model explains."""
        return 1 - self.error / self.variance if self.variance > 0 else 1.0

    @property
    def pca_score(self) -> float:
        """Share of the variance of held-out items that PCA of this rank explains."""
        return 1 - self.pca_error / self.variance if self.variance > 0 else 1.0


@dataclass(frozen=True)
class Judgment:
    """Squared errors on held-out items (m,) of a network, of PCA of the same rank, and of the mean.

    weights: of these items (m,); None weighs them alike
    proven: whether the network goes on from one that other items have proven better than PCA
    """

    network: NDArray[np.float64]
    pca: NDArray[np.float64]
    mean: NDArray[np.float64]
    weights: NDArray[np.float64] | None = None
    proven: bool = False

    @property
    def errors(self) -> tuple[float, float, float]:
        """Mean errors of the network, of PCA, and of the mean."""
        network, pca, mean = (
            float(np.average(part, weights=self.weights)) for part in (self.network, self.pca, self.mean)
        )
        return network, pca, mean

    @property
    def gain(self) -> float:
        """PCA's mean error less the network's."""
        network, pca, _ = self.errors
        return pca - network

    @property
    def gain_error(self) -> float:
        """Standard error of the gain."""
        weights = np.ones(len(self.pca)) if self.weights is None else self.weights
        # Of a weighted mean: the root of the summed squares of its terms.
        deviations = weights * (self.pca - self.network - self.gain) / weights.sum()
        return float(np.linalg.norm(deviations))

    @property
    def pays(self) -> bool:
        """Whether the network's error is below PCA's, by more than chance unless that is proven."""
        return self.gain > 0 if self.proven else self.gain > max(GAIN * self.errors[1], SIGMAS * self.gain_error)
