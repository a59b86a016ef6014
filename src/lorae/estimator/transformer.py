"""A scikit-learn transformer with PCA's interface that finds the number of curved directions in data."""

import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from lorae import validation as rules
from lorae.errors import LoraeWarning
from lorae.estimator.anomalies import AnomalyMixin
from lorae.estimator.continuing import ContinuingMixin
from lorae.estimator.generation import GenerationMixin
from lorae.estimator.imputation import LinearImputation
from lorae.estimator.inputs import WeightedItems, floating, plain, value_errors
from lorae.estimator.missing import MissingMixin, are_equal, completed, observed_weights, units_of
from lorae.estimator.parameters import BATCH_SIZE, folds_of, settings_of, with_width
from lorae.estimator.storage import StorageMixin
from lorae.estimator.streaming import StreamingMixin
from lorae.estimator.summary import SummaryMixin
from lorae.isolation import isolated
from lorae.models.observed import squared_errors
from lorae.models.scaling import as_images, channels_last
from lorae.training.best_weights import PATIENCE
from lorae.training.judging import HELD_OUT
from lorae.training.model_selection import NOISES, ModelSelection
from lorae.training.schedule_factory import unmet_target

# Share of the training items above the threshold of anomalies, as in scikit-learn's EllipticEnvelope.
CONTAMINATION = 0.1


class LoRAE(
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    AnomalyMixin,
    ContinuingMixin,
    GenerationMixin,
    MissingMixin,
    StorageMixin,
    StreamingMixin,
    SummaryMixin,
):
    """Low-rank autoencoder as a scikit-learn transformer: PCA's interface with a nonlinear encoder and decoder.

    Networks add curvature to principal components, for vectors and for images. A part of the items is held out:
    weights and noise are those with the smallest error on these items, and if no network is better than PCA there by
    more than chance, the model is the PCA of all items. Codes are centered, uncorrelated over the training items, and
    ordered by variance.

    Parameters
    ----------
    rank : int | float | str, default="auto"
        Width of the codes; a share of the variance below 1 means the smallest rank that keeps it, `auto` the number of
        linear directions beside noise, or the smaller rank, before errors rise steeply, of a curved model (see
        docs/numerics.md).
    n_components : int | float | str, default=None
        Another name of `rank`, as in PCA; at most one of them is given.
    penalty : float, default=1e-3
        Weight of the nuclear norm while the rank is found.
    latent_dim : int, default=None
        Width in which the rank is found; None: the number of linear directions of vectors, at most 128; 128 for images.
    epochs : int, default=None
        Passes over the data at most; None: as many as make 3,000 steps.
    batch_size : int, default=128
        Items in a step.
    lr : float, default=None
        Learning rate; None: 3e-3 for vectors, 1e-3 for images.
    noise : float, default=None
        Standard deviation of noise on latents in training, at most 1, against overfitting; None chooses among 0.3, 0.1
        and 0 by the error on held-out items.
    standardize : bool, default=True
        Divide each column of vectors by its deviation (undone by `inverse_transform`); otherwise all by the same.
    random_state : int | RandomState | None, default=None
        An int makes two fits alike.
    verbose : bool, default=False
        Show a progress bar.
    device : {"auto", "cpu", "cuda"}, default="auto"
        By default a GPU if there is one.
    contamination : float, default=0.1
        Share of the training items whose reconstruction errors are above `threshold_`, up to 0.5.
    validation_fraction : float, default=0.2
        Share of the items that is held out, at most 1/3, rounded to one over a whole number.
    early_stopping : bool, default=True
        Stop a training whose held-out error has not fallen for a third of the steps; False makes all of them. The
        weights with the smallest error are kept in both cases.
    handle_missing : {"error", "mask"}, default="error"
        Refuse vectors with NaN, which mostly is a mistake in the data, or take NaN as missing: filled in for the
        encoder, and left out of all errors (see `impute`).
    warm_start : bool, default=False
        Go on from the network of the previous `fit`, with its rank, instead of from PCA; features must be the same.

    Attributes
    ----------
    rank_, n_components_ : int
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
    threshold_ : float
        Reconstruction error above which an item is an anomaly, in the unit of `score_samples`.
    n_features_in_ : int
        Entries of an item.
    history_ : list of dict
        For some epochs of the best network (about every 50 steps) number, `mse` on the held-out items, and `rank`.
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
        n_components: int | float | str | None = None,
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
        contamination: float = CONTAMINATION,
        validation_fraction: float = HELD_OUT,
        early_stopping: bool = True,
        handle_missing: str = "error",
        warm_start: bool = False,
    ) -> None:
        self.rank = rank
        self.n_components = n_components
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
        self.contamination = contamination
        self.validation_fraction = validation_fraction
        self.early_stopping = early_stopping
        self.handle_missing = handle_missing
        self.warm_start = warm_start

    @isolated()
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> "LoRAE":  # noqa: ARG002
        """Learn rank, encoder and decoder.

        Parameters
        ----------
        X : array of shape (n_samples, n_features), or images
            At least 3 items. Images are (n, h, w), (n, c, h, w) or (n, h, w, c), uint8 or floats in [0, 1], with sides
            that are multiples of 8.
        y : None
            Ignored.
        sample_weight : array of shape (n_samples,), default=None
            How often each item counts in the PCA, in training and in held-out errors; a whole number is the same as so
            many copies of the item.

        Returns
        -------
        self : LoRAE

        Raises
        ------
        ValueError
            For other data, and for parameters that do not fit.
        """
        self._learn(self._validated(X, fitting=True), sample_weight)
        self.__dict__.pop("_sample", None)  # of batches before
        return self

    def _learn(self, items: NDArray[Any], sample_weight: Any, share: float | None = None) -> None:
        """Learn from validated items; go on from the fitted model, for a share of the epochs, if that is given."""
        items, weights, count = self._weighted(items, sample_weight)
        if are_equal(items):
            raise ValueError("X: all items are the same, expected different ones")
        units = None if self._images else units_of(items, by_columns=bool(self.standardize), weights=weights)
        with value_errors():
            contamination = rules.real(0.0, 0.5).check("contamination", self.contamination, "parameter of LoRAE")
            settings = self._continued(settings_of(self.get_params(), items.shape), share)
            scaled = items if units is None else units.scaled(items)
            imputation = LinearImputation.fit(scaled, weights) if self._masks and units is not None else None
            known = completed(scaled, weights, imputation)
            settings = with_width(settings, known.inputs)
            noises = NOISES if self.noise is None else (float(self.noise),)
            stopping = rules.switch().check("early_stopping", self.early_stopping, "parameter of LoRAE")
            start = self._continuation(items, units, share)
            selection = ModelSelection(
                settings,
                known.inputs,
                noises,
                targets=known.targets,
                weights=weights,
                start=start,
                folds=folds_of(self.validation_fraction),
                patience=PATIENCE if stopping else math.inf,
                quiet=not self.verbose,
            )
            chosen = selection.select()
            model = chosen.model
        missed = unmet_target(settings, chosen.search)
        if missed is not None:
            warnings.warn(f"{missed}; raise epochs or latent_dim, or ask for less", LoraeWarning, stacklevel=4)
        if units is not None:
            units.fold_into(model.double().scaling)
            imputation = imputation and imputation.in_units(units)
        self.model_, self._imputation = model, imputation
        self.curved_ = chosen.curved
        self.score_, self.pca_score_ = chosen.score, chosen.pca_score
        self._remember_seen(items, selection.trained_on, start)
        self.search_ = chosen.search
        self.history_ = chosen.history
        known = completed(items, weights, imputation)
        errors = squared_errors(model, known.inputs, known.targets)
        self._set_threshold(errors, weights, contamination)
        self._remember(known, count, errors, settings.seed)

    @isolated()
    def transform(self, X: Any) -> NDArray[Any]:
        """Return the codes of items.

        Parameters
        ----------
        X : array of shape (n_samples, n_features), or images
            As in `fit`.

        Returns
        -------
        codes : array of shape (n_samples, rank_)
            In the floating dtype of X, float64 for others.
        """
        check_is_fitted(self)
        X = plain(X)
        items = self._validated(X, fitting=False)
        codes: NDArray[Any] = self._encode(items).astype(floating(np.asarray(X).dtype), copy=False)
        return codes

    @isolated()
    def inverse_transform(self, X: Any) -> NDArray[Any]:
        """Return the items of codes.

        Parameters
        ----------
        X : array of shape (n_samples, rank_)
            Codes.

        Returns
        -------
        items : array
            In their own units and shape; images as floats, clipped to [0, 1].
        """
        check_is_fitted(self)
        codes = check_array(plain(X), dtype=[np.float64, np.float32])
        if codes.shape[1] != self.rank_:
            raise ValueError(f"codes: got {codes.shape[1]} columns, expected {self.rank_}, the rank of this model")
        with value_errors():
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
        items = self._completed(self._validated(X, fitting=False))
        if items.targets is not None and np.isnan(items.targets).all():
            raise ValueError("X: got NaN alone, expected observed entries")
        errors = squared_errors(self.model_, items.inputs, items.targets)
        return float(1 - np.average(errors, weights=items.error_weights) / self._spread(items))

    @property
    def _n_features_out(self) -> int:
        return int(self.rank_)

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A pickle of an earlier version lacks the parameters that came later.
        super().__setstate__(type(self)().get_params(deep=False) | state)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.allow_nan = self.handle_missing == "mask"
        return tags

    def _weighted(
        self, items: NDArray[Any], sample_weight: Any
    ) -> tuple[NDArray[Any], NDArray[np.float64] | None, float]:
        """Return different items, their weights, and the number of items that they stand for."""
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, items, dtype=np.float64, ensure_non_negative=True)
        merged = WeightedItems.of(items, observed_weights(items, sample_weight))
        return merged.items, merged.weights, merged.count

    def _encode(self, items: NDArray[Any]) -> NDArray[Any]:
        with value_errors():
            codes: NDArray[Any] = self.model_.encode(self._completed(items).inputs)
        return codes

    @property
    def _dtype(self) -> type:
        return np.float32 if self._images else np.float64

    def _validated(self, X: Any, *, fitting: bool) -> NDArray[Any]:
        """Return items as training takes them: float vectors (n, d), or images (n, c, h, w)."""
        items: NDArray[Any]
        X = plain(X)
        least, fitting = 3 if fitting else 1, fitting and not self._continues(None)
        if np.asarray(X).ndim <= 2:  # from the array: not every input of scikit-learn has `ndim`
            finite = "allow-nan" if self._masks else True
            rules_of_rows = {"ensure_min_samples": least, "ensure_all_finite": finite}
            items = validate_data(self, X, reset=fitting, dtype=np.float64, order="C", **rules_of_rows)
        else:
            items = check_array(X, dtype=None, allow_nd=True, ensure_min_samples=least)
        shape = items.shape[1:]
        if fitting:
            self._item_shape, self._images = shape, len(shape) > 1
            self.n_features_in_ = math.prod(shape)
        elif shape != self._item_shape:
            raise ValueError(f"X: got items of shape {shape}, expected {self._item_shape}, as in fit")
        return as_images(items) if self._images else items
