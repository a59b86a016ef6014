"""A mixture of Gaussians, fitted by scikit-learn in float64 along the principal directions of the latents."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae.errors import LoraeError
from lorae.samplers.density import Density, Subspace

# Iterations of expectation maximization: on latents of MNIST it converges in 20 to 60.
ITERATIONS = 200


def fit_mixture(latents: NDArray[Any], components: int, seed: int = 0) -> Density:
    """Return a mixture of `components` Gaussians with full covariances, started by k-means from `seed`.

    Raises LoraeError for fewer latents than components.
    """
    # Here, so that `lorae --help` does not wait for scikit-learn.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    if components > len(latents):
        raise LoraeError(f"components: got {components}, expected at most the {len(latents)} latents that are fitted")
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
