"""New items from a fitted estimator: samples, and paths between two items."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from lorae import validation as rules
from lorae.estimator.inputs import seed_of, value_errors
from lorae.isolation import isolated
from lorae.samplers import fit_density
from lorae.samplers.interpolation import linear_path, spherical_path

# Components of a mixture.
COMPONENTS = 10

PATHS = {"linear": linear_path, "spherical": spherical_path}


class GenerationMixin(BaseEstimator):  # type: ignore[misc]
    """Items decoded from codes that are drawn or interpolated."""

    @isolated()
    def sample(self, n_samples: int = 1, *, sampler: str = "gaussian", random_state: Any = None) -> NDArray[Any]:
        """Return new items, decoded from a density on the codes of the training items.

        Parameters
        ----------
        n_samples : int, default=1
            Number of items.
        sampler : {"gaussian", "mixture"}, default="gaussian"
            One Gaussian, or a mixture of ten.
        random_state : int | RandomState | None, default=None
            An int gives the same items each time.

        Returns
        -------
        items : array of shape (n_samples, n_features), or images
            In their own units and shape.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from lorae import LoRAE
        >>> LoRAE(rank=2, epochs=1, random_state=0).fit(load_iris().data).sample(3, random_state=0).shape
        (3, 4)
        """
        check_is_fitted(self)
        with value_errors():
            count = rules.whole(1).check("n_samples", n_samples, "argument of sample")
            rules.choice("gaussian", "mixture").check("sampler", sampler, "argument of sample")
            density = fit_density(sampler, self._codes, components=min(COMPONENTS, len(self._codes)), seed=0)
        codes = density.sample(count, np.random.default_rng(seed_of(random_state)))
        items: NDArray[Any] = self.inverse_transform(codes.astype(self._dtype))
        return items

    def interpolate(self, a: Any, b: Any, steps: int = 10, *, path: str = "linear") -> NDArray[Any]:
        """Return items between a and b, decoded from a path between their codes.

        Parameters
        ----------
        a, b : array of shape (n_features,) or (n_samples, n_features), or one or several images
            Ends of the path, or of as many paths.
        steps : int, default=10
            Items on a path, both ends included, at least 2.
        path : {"linear", "spherical"}, default="linear"
            A straight line, or a great circle about the mean of the codes (Shoemake, SIGGRAPH 1985), which keeps the
            distance from the mean that items have.

        Returns
        -------
        items : array of shape (steps, n_features) or (steps, n_samples, n_features), or images
            The first and the last ones are the reconstructions of a and b.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from lorae import LoRAE
        >>> X = load_iris().data
        >>> LoRAE(rank=2, epochs=1, random_state=0).fit(X).interpolate(X[0], X[-1], 5).shape
        (5, 4)
        """
        check_is_fitted(self)
        with value_errors():
            steps = rules.whole(2).check("steps", steps, "argument of interpolate")
            rules.choice(*PATHS).check("path", path, "argument of interpolate")
        if np.shape(a) != np.shape(b):
            raise ValueError(f"b: got items of shape {np.shape(b)}, expected {np.shape(a)}, that of a")
        alone = np.shape(a) == self._item_shape
        first, second = (np.asarray(self.transform(_one_row(end) if alone else end)) for end in (a, b))
        codes = PATHS[path](first, second, steps)
        items: NDArray[Any] = self.inverse_transform(codes.reshape(-1, codes.shape[-1]))
        return items if alone else items.reshape(*codes.shape[:2], *items.shape[1:])


def _one_row(item: Any) -> Any:
    """Return an array or a frame of one item; a row of a frame of pandas keeps the names of its columns."""
    return item.to_frame().T if hasattr(item, "to_frame") else np.asarray(item)[None]
