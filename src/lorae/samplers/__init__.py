"""Table of densities that are fitted to latents, without images or models."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from lorae.errors import unknown_name
from lorae.samplers.density import Density as Density
from lorae.samplers.density import Subspace as Subspace
from lorae.samplers.gaussian import fit_gaussian, fit_prior
from lorae.samplers.gaussian import standard_normal as standard_normal
from lorae.samplers.mixture import fit_mixture


@dataclass(frozen=True)
class Sampler:
    """A row of the table: `fit(latents, components, seed)` gives a `Density`."""

    name: str
    summary: str
    fit: Callable[[NDArray[Any], int, int], Density]
    takes_components: bool = False


SAMPLERS = {
    sampler.name: sampler
    for sampler in (
        Sampler("gaussian", "one Gaussian with a full covariance (the paper's MVG)", fit_gaussian),
        Sampler("mixture", "a mixture of Gaussians with full covariances (the paper's GMM)", fit_mixture, True),
        Sampler("prior", "the standard normal, for methods that train towards it, such as a VAE", fit_prior),
    )
}


def fit_density(sampler: str, latents: NDArray[Any], *, components: int = 10, seed: int = 0) -> Density:
    """Fit a sampler of the table to latents (n, l); components: of a mixture; LoraeError for an unknown name.

    >>> import numpy as np
    >>> fit_density("gaussian", np.eye(4)).sample(3, np.random.default_rng(0)).shape
    (3, 4)
    """
    if sampler not in SAMPLERS:
        raise unknown_name("sampler", sampler, SAMPLERS)
    return SAMPLERS[sampler].fit(latents, components, seed)
