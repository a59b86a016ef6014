"""One Gaussian: fitted to latents, or the standard normal."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae.samplers.density import Density, Subspace


def fit_gaussian(latents: NDArray[Any], components: int = 1, seed: int = 0) -> Density:  # noqa: ARG001
    """Fit a Gaussian to latents (n, l), in closed form; `components` and `seed` are ignored."""
    subspace = Subspace.of(latents)
    deviations = subspace.project(latents).std(axis=0, ddof=1)  # uncorrelated along principal directions
    rank = len(deviations)
    return Density("gaussian", subspace, np.ones(1), np.zeros((1, rank)), np.diag(deviations)[None])


def fit_prior(latents: NDArray[Any], components: int = 1, seed: int = 0) -> Density:  # noqa: ARG001
    """Return the standard normal of the latents' width; the arguments change nothing else."""
    return standard_normal(latents.shape[1])


def standard_normal(width: int) -> Density:
    """Return the prior itself, for latents of this width."""
    subspace = Subspace(np.zeros(width), np.eye(width), 1.0, 0.0)
    return Density("prior", subspace, np.ones(1), np.zeros((1, width)), np.eye(width)[None])
