"""The spectrum of the latent covariance, and its ranks."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae.errors import DivergedError, NotApplicableError
from lorae.metrics.frechet import Moments, canonical_order
from lorae.metrics.ranks import energy_rank, entropy_rank, rank_at, stable_rank, visible

# The paper counts "non-zero singular values" without a threshold: here, eigenvalues above tolerance * largest.
TOLERANCE = 1e-3
NOT_FINITE = "latents: got values that are not finite, expected finite ones; the model has diverged"
TOLERANCES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues of the covariance of latents, descending, float64 (latent_dim,), with number and split of items."""

    eigenvalues: NDArray[np.float64]
    n: int
    split: str
    tolerance: float = TOLERANCE

    @property
    def rank(self) -> int:
        """Number of eigenvalues above `tolerance` times the largest (the paper's rank of the latent space)."""
        return rank_at(self.eigenvalues, self.tolerance)

    @property
    def limited(self) -> bool:
        """Whether the rank is all that the items can show, so that the latents may have a larger one."""
        seen = len(visible(self.eigenvalues, self.n))
        return self.rank >= seen and seen < len(self.eigenvalues)

    def ranks(self) -> dict[str, float]:
        """Return the rank by every definition."""
        values = self.eigenvalues
        return {
            "rank": self.rank,
            "energy_99": energy_rank(values),
            "entropy_rank": entropy_rank(values),
            "stable_rank": stable_rank(values),
        }

    def to_json(self) -> dict[str, Any]:
        """Return ranks by every definition with the eigenvalues and the protocol, as plain JSON values."""
        return self.ranks() | {
            "tolerance": self.tolerance,
            "ranks": {f"{tolerance:g}": rank_at(self.eigenvalues, tolerance) for tolerance in TOLERANCES},
            "eigenvalues": self.eigenvalues.tolist(),
            "split": self.split,
            "n": self.n,
            "protocol": {
                "matrix": "covariance of the latents",
                "centred": True,
                "rank": "eigenvalues above tolerance times the largest",
            },
        }


def latent_spectrum(latents: NDArray[Any], split: str, tolerance: float = TOLERANCE) -> Spectrum:
    """Return the spectrum of latents (n, latent_dim); computed in float64, rounding below zero clipped to zero."""
    latents = np.asarray(latents, dtype=np.float64)
    if len(latents) < 2:
        raise NotApplicableError(f"latents: got {len(latents)} items, expected at least 2 for a covariance")
    if not np.isfinite(latents).all():
        raise DivergedError(NOT_FINITE)
    covariance = np.cov(latents, rowvar=False).reshape(latents.shape[1], latents.shape[1])
    eigenvalues = np.linalg.eigvalsh(covariance)[::-1].clip(min=0)
    return Spectrum(np.ascontiguousarray(eigenvalues), len(latents), split, tolerance)


def streamed_spectrum(latents: Iterable[NDArray[Any]], split: str, tolerance: float = TOLERANCE) -> Spectrum:
    """Return the spectrum of latents that come in batches (n_i, latent_dim), as `latent_spectrum` but for rounding."""

    def finite() -> Iterator[NDArray[Any]]:
        for batch in latents:
            if not np.isfinite(batch).all():
                raise DivergedError(NOT_FINITE)
            yield batch

    moments = Moments.streamed(finite())
    eigenvalues = np.linalg.eigvalsh(moments.covariance)[::-1].clip(min=0)
    return Spectrum(np.ascontiguousarray(eigenvalues), moments.n, split, tolerance)


def bootstrap_ranks(
    latents: NDArray[Any], *, resamples: int = 200, seed: int = 0, tolerance: float = TOLERANCE
) -> dict[str, Any]:
    """Return 95% intervals of the ranks of latents (n, l) over resamples of the items: percentiles, inclusive.

    The resamples do not depend on the order of the items. Source: Efron, Annals of Statistics 1979.
    """
    latents = np.asarray(latents, dtype=np.float64)
    ordered = latents[canonical_order(latents)]
    generator = np.random.default_rng(seed)
    draws = (ordered[generator.integers(0, len(ordered), len(ordered))] for _ in range(resamples))
    found = [latent_spectrum(draw, "resampled", tolerance).ranks() for draw in draws]
    intervals = {
        name: [float(edge) for edge in np.percentile([ranks[name] for ranks in found], [2.5, 97.5])]
        for name in found[0]
    }
    return intervals | {"protocol": {"resamples": resamples, "share": 0.95, "tolerance": tolerance, "seed": seed}}
