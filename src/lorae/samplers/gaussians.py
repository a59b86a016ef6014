"""Gaussians along the principal directions of latents: one, a mixture by scikit-learn, and the standard normal."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae.errors import NotApplicableError
from lorae.samplers.density import Density, Subspace

# Iterations of expectation maximization: on latents of MNIST it converges in 20 to 60.
ITERATIONS = 200


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


def fit_mixture(latents: NDArray[Any], components: int, seed: int = 0) -> Density:
    """Fit a mixture of `components` Gaussians with full covariances in float64, started by k-means from `seed`."""
    # Here, so that `lorae --help` does not wait for scikit-learn.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    if components > len(latents):
        raise NotApplicableError(
            f"components: got {components}, expected at most the {len(latents)} latents that are fitted",
        )
    subspace = Subspace.of(latents)
    coordinates = subspace.project(latents)
    # Far below the smallest direction that is kept: it only prevents the collapse of a component of few points.
    floor = 1e-2 * float(coordinates.var(axis=0).min())
    mixture = GaussianMixture(components, reg_covar=floor, max_iter=ITERATIONS, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # reported in the notes
        mixture.fit(coordinates)
    notes = {"converged": bool(mixture.converged_), "iterations": int(mixture.n_iter_), "mixture seed": seed}
    factors = np.linalg.cholesky(mixture.covariances_)
    return Density("mixture", subspace, mixture.weights_ / mixture.weights_.sum(), mixture.means_, factors, notes)
