"""Trained models that are candidates of a choice, the errors that judge them, and the result."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae.models.autoencoder import Autoencoder

# A network must take 2% off PCA's error, and more than twice the standard error of the difference, to be chosen.
GAIN, SIGMAS = 0.02, 2.0
# Factors of a network's corrections to its linear path that are tried. Networks of few items correct too much: on three
# splits of wine at rank 6, half of the corrections has .959 to 1.050 of PCA's error on new items, all of them .987 to
# 1.082. The last one leaves the linear path, which no network may owe its gain to.
STRENGTHS = (1.0, 0.75, 0.5, 0.25, 0.0)


@dataclass(frozen=True)
class Candidate:
    """A trained model, its squared errors on held-out items for each of `STRENGTHS` (m, s), and its epochs.

    error: mean squared error of an entry of a held-out item, for the best strength but the last
    linear_error: the same for the last strength, without corrections
    share: of all steps, that were planned
    reached_at: share of all steps after which the error was smallest
    """

    model: Autoencoder
    errors: NDArray[np.float64]
    error: float
    linear_error: float
    noise: float
    latent_dim: int
    share: float
    reached_at: float
    history: list[dict[str, Any]]

    @property
    def is_curved(self) -> bool:
        """Whether its corrections lower the error; otherwise it is the PCA of fewer items, however others fare."""
        return self.error < (1 - GAIN) * self.linear_error


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
    linear: errors of the network without its corrections (m,); None if it has none
    strength: factor of the corrections that the errors belong to
    proven: whether the network goes on from one that other items have proven better than PCA
    """

    network: NDArray[np.float64]
    pca: NDArray[np.float64]
    mean: NDArray[np.float64]
    weights: NDArray[np.float64] | None = None
    linear: NDArray[np.float64] | None = None
    strength: float = 1.0
    proven: bool = False

    @classmethod
    def of(
        cls,
        network: NDArray[np.float64],
        pca: NDArray[np.float64],
        mean: NDArray[np.float64],
        weights: NDArray[np.float64] | None = None,
    ) -> "Judgment":
        """Judge a network with the best of `STRENGTHS` but the last, from its errors for each of them (m, s)."""
        best = int(np.argmin(np.average(network[:, :-1], axis=0, weights=weights)))
        return cls(network[:, best], pca, mean, weights, network[:, -1], STRENGTHS[best])

    @property
    def errors(self) -> tuple[float, float, float]:
        """Mean errors of the network, of PCA, and of the mean."""
        network, pca, mean = (
            float(np.average(part, weights=self.weights)) for part in (self.network, self.pca, self.mean)
        )
        return network, pca, mean

    def gain_over(self, other: NDArray[np.float64]) -> tuple[float, float]:
        """Return the mean of other errors (m,) less the network's, and the standard error of the difference."""
        gains = other - self.network
        gain = float(np.average(gains, weights=self.weights))
        weights = np.ones(len(gains)) if self.weights is None else self.weights
        # Of a weighted mean: the root of the summed squares of its terms.
        return gain, float(np.linalg.norm(weights * (gains - gain) / weights.sum()))

    @property
    def pays(self) -> bool:
        """Whether the network's error is below PCA's by more than chance, and because of its corrections.

        Training moves the linear path too, and a few items far from the mean can make another subspace look better than
        PCA's. A network that goes on from a proven one only needs a smaller error than PCA.
        """
        if self.proven:
            return self.gain_over(self.pca)[0] > 0
        return all(self._beats(other) for other in (self.pca, self.linear) if other is not None)

    def _beats(self, other: NDArray[np.float64]) -> bool:
        gain, error = self.gain_over(other)
        return gain > max(GAIN * float(np.average(other, weights=self.weights)), SIGMAS * error)
