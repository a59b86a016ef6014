"""A scikit-learn transformer with PCA's interface that finds the number of curved directions in data."""

import contextlib
import dataclasses
import math
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from lorae import validation as rules
from lorae.config.resolution import resolve
from lorae.config.settings import ARRAY, Settings
from lorae.data import subsample_evenly
from lorae.errors import LoraeError, LoraeWarning
from lorae.isolation import isolated
from lorae.metrics.ranks import rank_at
from lorae.models.autoencoder import CHUNK
from lorae.models.scaling import Units, as_images, channels_last
from lorae.plain_arrays import plain_array
from lorae.samplers import fit_density
from lorae.system.hardware import choose_device, choose_precision
from lorae.system.signals import Interrupted
from lorae.training.builders import PRINCIPAL
from lorae.training.model_selection import HELD_OUT, NOISES, ModelSelection
from lorae.training.schedule_factory import unmet_target

# Steps of a fit by default: enough for the error of some thousand vectors to settle, some seconds on a CPU.
STEPS = 3000

BATCH_SIZE = 128
# Few items are trained on in at least this many batches, of at least this size: smaller batches are cheaper, and their
# noise keeps a network from memorizing the items.
BATCHES, SMALLEST_BATCH = 4, 16
# Learning rate by kind of item, for that batch size: three times the paper's for vectors, whose networks are shallow.
LEARNING_RATES = {"vectors": 3e-3, "images": 1e-3}

# Linear directions of vectors below this share of the largest are rounding.
NULL_DIRECTIONS = 1e-4
# The paper's width of the latent.
WIDEST = 128

# Codes kept for fitting a density: more would change it by less than the noise of a sample.
MOST_CODES = 10_000
# Components of a mixture.
COMPONENTS = 10


class LoRAE(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Low-rank autoencoder as a scikit-learn transformer: PCA's interface with a nonlinear encoder and decoder.

    Networks add curvature to principal components, for vectors and for images. A fifth of the items is held out:
    weights and noise are those with the smallest error on these items, and if no network is better than PCA there by
    more than chance, the model is the PCA of all items. Codes are centered, uncorrelated over the training items, and
    ordered by variance.

    Parameters
    ----------
    rank : int, float or "auto", default="auto"
        Width of the codes; a share of the variance below 1 means the smallest rank that keeps it, `auto` the number of
        linear directions beside noise, or the smaller rank, before errors rise steeply, of a curved model (see
        docs/numerics.md).
    penalty : float, default=1e-3
        Weight of the nuclear norm while the rank is found.
    latent_dim : int, default=None
        Width in which the rank is found; None: the number of linear directions of vectors, at most 128; 128 for images.
    epochs : int, default=None
        Passes over the data at most; None: as many as make 3,000 steps.
    batch_size : int, default=128
    lr : float, default=None
        Learning rate; None: 3e-3 for vectors, 1e-3 for images.
    noise : float, default=None
        Standard deviation of noise on latents in training, at most 1, against overfitting; None chooses among 0.3, 0.1
        and 0 by the error on held-out items.
    standardize : bool, default=True
        Divide each column of vectors by its deviation (undone by `inverse_transform`); otherwise all by the same.
    random_state : int, RandomState or None, default=None
        An int makes two fits alike.
    verbose : bool, default=False
        Show a progress bar.
    device : {"auto", "cpu", "cuda"}, default="auto"

    Attributes
    ----------
    rank_ : int
        Width of the codes.
    singular_values_, explained_variance_ : array of shape (rank_,)
        Of the codes of the training items, as in PCA.
    explained_variance_ratio_ : array of shape (rank_,)
        Share of the training variance that reconstructions keep, divided in proportion to the variances of the codes.
    curved_ : bool
        Whether networks add to the linear model; False for the PCA of all items, also with fewer than 20 of them.
    score_, pca_score_ : float
        Shares of the variance of held-out items that the model and PCA of the same rank explain, both trained without
        these items.
    n_features_in_ : int
        Entries of an item.
    history_ : list of dict
        For each epoch of the best network its number, `mse` on the held-out items, and `rank`.
    model_ : Autoencoder
        The truncated model.
    search_ : dict or None
        Ranks tried and their errors; None for a given rank.

    References
    ----------
    Mazumder et al., WACV 2024 (arXiv:2310.16194), here with proximal steps.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> LoRAE(rank=2, epochs=2, random_state=0).fit_transform(load_iris().data).shape
    (150, 2)
    """

    def __init__(
        self,
        rank: int | float | str = "auto",
        *,
        penalty: float = 1e-3,
        latent_dim: int | None = None,
        epochs: int | None = None,
        batch_size: int = BATCH_SIZE,
        lr: float | None = None,
        noise: float | None = None,
        standardize: bool = True,
        random_state: Any = None,
        verbose: bool = False,
        device: str = "auto",
    ) -> None:
        self.rank = rank
        self.penalty = penalty
        self.latent_dim = latent_dim
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.noise = noise
        self.standardize = standardize
        self.random_state = random_state
        self.verbose = verbose
        self.device = device

    @isolated()
    def fit(self, X: Any, y: Any = None) -> "LoRAE":  # noqa: ARG002
        """Learn rank, encoder and decoder.

        X: vectors (n, d), or images (n, h, w), (n, c, h, w) or (n, h, w, c), uint8 or floats in [0, 1], with sides
        that are multiples of 8; at least 3 items. Raises ValueError for other data and for parameters that do not fit.
        """
        items = self._validated(_plain(X), fitting=True)
        if (items == items[:1]).all():
            raise ValueError("X: all items are the same, expected different ones")
        units = None if self._images else Units.of(items, by_columns=bool(self.standardize))
        with _value_errors():
            settings = self._settings(items.shape)
            scaled = items if units is None else units.scaled(items)
            settings = self._with_width(settings, scaled)
            noises = NOISES if self.noise is None else (float(self.noise),)
            chosen = ModelSelection(settings, scaled, noises, quiet=not self.verbose).select()
            model = chosen.model
        missed = unmet_target(settings, chosen.search)
        if missed is not None:
            warnings.warn(f"{missed}; raise epochs or latent_dim, or ask for less", LoraeWarning, stacklevel=3)
        if units is not None:
            units.fold_into(model.double().scaling)
        self.model_ = model
        self.curved_ = chosen.curved
        self.score_, self.pca_score_ = chosen.score, chosen.pca_score
        self.search_ = chosen.search
        self.history_ = chosen.history
        self._remember(items, settings.seed)
        return self

    @isolated()
    def transform(self, X: Any) -> NDArray[Any]:
        """Return codes (n, rank_) of items, in the floating dtype of X, float64 for others."""
        check_is_fitted(self)
        X = _plain(X)
        items = self._validated(X, fitting=False)
        codes: NDArray[Any] = self._encode(items).astype(_floating(np.asarray(X).dtype), copy=False)
        return codes

    @isolated()
    def inverse_transform(self, X: Any) -> NDArray[Any]:
        """Return items in their own units and shape, of codes (n, rank_); images float, clipped to [0, 1]."""
        check_is_fitted(self)
        codes = check_array(_plain(X), dtype=[np.float64, np.float32])
        if codes.shape[1] != self.rank_:
            raise ValueError(f"codes: got {codes.shape[1]} columns, expected {self.rank_}, the rank of this model")
        with _value_errors():
            decoded: NDArray[Any] = self.model_.decode(codes.astype(self._dtype)).astype(codes.dtype, copy=False)
        if self._images:
            decoded = decoded.clip(0, 1)
        if channels_last(self._item_shape):
            decoded = np.moveaxis(decoded, 1, 3)
        return decoded.reshape(len(codes), *self._item_shape)

    @isolated()
    def score(self, X: Any, y: Any = None) -> float:  # noqa: ARG002
        """Return the share of the variance of X, about the training mean, that reconstructions keep; 1 is perfect."""
        check_is_fitted(self)
        items = self._validated(_plain(X), fitting=False)
        return float(1 - self._error(items) / self._spread(items))

    @isolated()
    def sample(self, n_samples: int = 1, *, sampler: str = "gaussian", random_state: Any = None) -> NDArray[Any]:
        """Return new items, in their own units and shape, decoded from a density on the codes of the training items.

        sampler: `gaussian`, or `mixture` of ten. Raises ValueError for another.
        """
        check_is_fitted(self)
        with _value_errors():
            count = rules.whole(1).check("n_samples", n_samples, "argument of sample")
            rules.choice("gaussian", "mixture").check("sampler", sampler, "argument of sample")
            density = fit_density(sampler, self._codes, components=min(COMPONENTS, len(self._codes)), seed=0)
        codes = density.sample(count, np.random.default_rng(_seed(random_state)))
        return self.inverse_transform(codes.astype(self._dtype))

    @property
    def _n_features_out(self) -> int:
        return int(self.rank_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _settings(self, shape: tuple[int, ...]) -> Settings:
        """Return settings for items of a shape (n, ...), checked as on the command line."""

        def origin(name: str) -> str:
            return f"parameter {name} of LoRAE"

        rules.optional(rules.real(0.0, 1.0)).check("noise", self.noise, origin("noise"))
        asked = {
            "data": ARRAY,
            "method": "lorae+",
            "rank": rules.wanted_rank().check("rank", self.rank, origin("rank")),
            "penalty": self.penalty,
            "normalize": "coordinates",  # the unit of the noise
            "latent_dim": self.latent_dim,
            "network": "residual",
            "vector_scale": "none",  # items are in units of their deviations already
            "batch_size": self.batch_size,
            "epochs": self.epochs,
            "lr": LEARNING_RATES["images" if self._images else "vectors"] if self.lr is None else self.lr,
            "device": self.device,
            "seed": _seed(self.random_state),
        }
        settings = Settings.from_values(asked, origin)
        batch_size = min(settings.batch_size, max(SMALLEST_BATCH, shape[0] // BATCHES))
        epochs = (
            settings.epochs
            if isinstance(settings.epochs, int)
            else math.ceil(STEPS / math.ceil((1 - HELD_OUT) * shape[0] / batch_size))
        )
        return dataclasses.replace(settings, batch_size=batch_size, epochs=epochs)

    def _with_width(self, settings: Settings, items: NDArray[Any]) -> Settings:
        """Return resolved settings for items as networks take them.

        For vectors the width is a given rank or the number of linear directions, which no code needs to exceed.
        """
        if not self._images:
            most = items.shape[1]
            values = np.linalg.svd(subsample_evenly(items, PRINCIPAL), compute_uv=False)
            wanted = settings.rank if isinstance(settings.rank, int) else 1
            width = max(min(rank_at(values, NULL_DIRECTIONS), WIDEST), min(wanted, most))
            width = settings.latent_dim or width
            if width > most:
                raise LoraeError(f"latent_dim: got {width}, expected at most {most}, the number of features")
            settings = dataclasses.replace(settings, latent_dim=width)
        resolved = resolve(settings, "images" if self._images else "vectors", items.shape[1:])
        assert resolved.network is not None
        device = choose_device(resolved.device, "parameter device of LoRAE")
        return resolved.with_machine(device, choose_precision("auto", device, resolved.network))

    def _remember(self, items: NDArray[Any], seed: int) -> None:
        """Set the fitted attributes; codes of vectors are computed in float64."""
        codes = self._encode(items).astype(np.float64)
        kept = np.random.default_rng(seed).permutation(len(codes))[:MOST_CODES]
        self._codes = codes[np.sort(kept)].astype(np.float32)
        self._centre = sum(part.sum(axis=0) for part in self._scaled(items)) / len(items)
        self.rank_ = codes.shape[1]
        self.explained_variance_ = codes.var(axis=0, ddof=1)
        self.singular_values_ = np.sqrt(self.explained_variance_ * (len(codes) - 1))
        share = 1 - self._error(items) / self._spread(items)
        self.explained_variance_ratio_ = share * self.explained_variance_ / self.explained_variance_.sum()

    def _encode(self, items: NDArray[Any]) -> NDArray[Any]:
        with _value_errors():
            codes: NDArray[Any] = self.model_.encode(items)
        return codes

    def _error(self, items: NDArray[Any]) -> float:
        return self.model_.squared_error(items)

    def _spread(self, items: NDArray[Any]) -> float:
        """Return the mean squared distance of scaled items from the training mean, the error of that mean."""
        squares = sum(float(np.square(part - self._centre).sum()) for part in self._scaled(items))
        return max(squares / items.size, float(np.finfo(np.float64).tiny))

    def _scaled(self, items: NDArray[Any]) -> Iterator[NDArray[np.float64]]:
        """Yield scaled items, a few at once."""
        for start in range(0, len(items), CHUNK):
            part = torch.as_tensor(np.array(items[start : start + CHUNK]))
            yield self.model_.scaling(part).double().numpy()

    @property
    def _dtype(self) -> type:
        return np.float32 if self._images else np.float64

    def _validated(self, X: Any, *, fitting: bool) -> NDArray[Any]:
        """Return items as training takes them: float vectors (n, d), or images (n, c, h, w)."""
        items: NDArray[Any]
        least = 3 if fitting else 1
        if np.asarray(X).ndim <= 2:  # from the array: not every input of scikit-learn has `ndim`
            items = validate_data(self, X, reset=fitting, dtype=np.float64, order="C", ensure_min_samples=least)
        else:
            items = check_array(X, dtype=None, allow_nd=True, ensure_min_samples=least)
        shape = items.shape[1:]
        if fitting:
            self._item_shape, self._images = shape, len(shape) > 1
            self.n_features_in_ = math.prod(shape)
        elif shape != self._item_shape:
            raise ValueError(f"X: got items of shape {shape}, expected {self._item_shape}, as in fit")
        return as_images(items) if self._images else items


@contextlib.contextmanager
def _value_errors() -> Iterator[None]:
    """Raise LoraeError as ValueError, and Interrupted as KeyboardInterrupt, because no run can be resumed."""
    try:
        yield
    except LoraeError as error:
        raise ValueError(str(error)) from None
    except Interrupted:
        raise KeyboardInterrupt from None


def _plain(X: Any) -> Any:
    """Return a tensor or a subclass of arrays as an array; scikit-learn would drop a mask, and units of others."""
    if type(X) is np.ndarray or isinstance(X, np.matrix) or not isinstance(X, np.ndarray | torch.Tensor):
        return X
    with _value_errors():
        return plain_array(X, "X")


def _seed(random_state: Any) -> int:
    """Return a seed for a `random_state`; None draws one from the system, not from NumPy's global state."""
    random_state = np.random.RandomState() if random_state is None else check_random_state(random_state)
    return int(random_state.randint(2**31 - 1))


def _floating(dtype: Any) -> Any:
    return dtype if dtype in (np.float32, np.float64) else np.float64
