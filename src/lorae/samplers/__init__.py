"""Table of densities that are fitted to latents, without images or models."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from lorae.errors import unknown_name
from lorae.isolation import isolated
from lorae.samplers.density import Density as Density
from lorae.samplers.density import Subspace as Subspace
from lorae.samplers.gaussians import fit_gaussian, fit_mixture, fit_prior
from lorae.samplers.gaussians import standard_normal as standard_normal


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


@isolated()
def fit_density(sampler: str, latents: NDArray[Any], *, components: int = 10, seed: int = 0) -> Density:
    """Fit a sampler of the table to latents (n, l)."""
    if sampler not in SAMPLERS:
        raise unknown_name("sampler", sampler, SAMPLERS)
    return SAMPLERS[sampler].fit(latents, components, seed)
