"""Canonical axes of a latent: the principal axes along which the explorer moves, as `lorae truncate` orders them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae.errors import DivergedError
from lorae.models.truncation import axes_of_latents
from lorae.samplers.density import TOLERANCE

Array = NDArray[np.float64]


@dataclass(frozen=True)
class CanonicalAxes:
    """Axes in use: a latent is near mean + axes code, with a code of width r.

    mean (l,), axes (l, r) with orthonormal columns; deviations: of the latents along all l directions, descending, of
    which the first r are those of the code.
    """

    mean: Array
    axes: Array
    deviations: Array

    @classmethod
    def of_latents(cls, latents: NDArray[Any]) -> "CanonicalAxes":
        """Return the axes whose variance exceeds the samplers' tolerance, of at least two latents (n, l)."""
        if not np.isfinite(latents).all():
            raise DivergedError("run: its latents have values that are not finite; the model has diverged")
        found = axes_of_latents(latents)
        deviations = found.deviations.numpy()
        used = int((np.square(deviations) > TOLERANCE * np.square(deviations[0])).sum())
        return cls(found.mean.numpy(), found.axes.numpy()[:, :used], deviations)

    @classmethod
    def of_prior(cls, width: int) -> "CanonicalAxes":
        """Return the latent coordinates themselves, for a generator that takes standard normal latents."""
        return cls(np.zeros(width), np.eye(width), np.ones(width))

    @property
    def count(self) -> int:
        """Number of axes in use, r; 0 if all latents are the same."""
        return int(self.axes.shape[1])

    def codes(self, latents: NDArray[Any]) -> Array:
        """Return the codes (n, r) of latents (n, l)."""
        found: Array = (np.asarray(latents, dtype=np.float64) - self.mean) @ self.axes
        return found

    def latents(self, codes: NDArray[Any]) -> NDArray[np.float32]:
        """Return the latents, float32 (n, l), of codes (n, s) on the first s axes; other axes are at their means."""
        found = self.mean + np.asarray(codes, dtype=np.float64) @ self.axes[:, : codes.shape[1]].T
        return found.astype(np.float32)

    def variance_kept(self, rank: int) -> float:
        """Return the share of the variance of the latents along the first `rank` axes."""
        variances = np.square(self.deviations)
        return float(variances[:rank].sum() / variances.sum()) if self.count else 0.0
