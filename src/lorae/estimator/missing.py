"""Missing entries of vectors: NaN is filled in for the encoder, and no error of it is counted."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from lorae import validation as rules
from lorae.data import Split
from lorae.documentation import MISSING_ENTRIES, see
from lorae.estimator.imputation import LinearImputation, column_means
from lorae.estimator.inputs import floating, plain, value_errors
from lorae.isolation import isolated
from lorae.models.scaling import Units


class MissingMixin(BaseEstimator):  # type: ignore[misc]
    """Vectors with entries of NaN, where `handle_missing` is "mask"."""

    # None without the option; a class attribute for pickles of earlier versions.
    _imputation: LinearImputation | None = None

    @isolated()
    def impute(self, X: Any) -> NDArray[Any]:
        """Return items with each missing entry replaced by that of the item's reconstruction.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            NaN where missing.

        Returns
        -------
        X : array of shape (n_samples, n_features)
            A copy, in the floating dtype of the items, float64 for others; observed entries are unchanged.

        Raises
        ------
        ValueError
            If there are missing entries and the model was fitted without `handle_missing="mask"`.

        Examples
        --------
        >>> from lorae import LoRAE
        >>> X = np.c_[np.arange(30.0), 2 * np.arange(30.0)]
        >>> model = LoRAE(rank=1, handle_missing="mask", epochs=1, random_state=0).fit(X)
        >>> model.impute([[7.0, np.nan]]).round()
        array([[ 7., 14.]])
        """
        check_is_fitted(self)
        X = plain(X)
        items = self._validated(X, fitting=False)
        imputed = np.array(X, dtype=floating(np.asarray(X).dtype))
        if has_missing(items):  # images never have
            rows, missing = np.isnan(items).any(axis=1), np.isnan(items)
            restored = self.inverse_transform(self._encode(items[rows]))
            imputed[missing] = restored[missing[rows]]
        return imputed

    @property
    def _masks(self) -> bool:
        with value_errors():
            rules.choice("error", "mask").check("handle_missing", self.handle_missing, "parameter of LoRAE")
        return bool(self.handle_missing == "mask")

    def _completed(self, items: NDArray[Any]) -> Split:
        """Return validated items with missing entries filled, and targets without these."""
        return completed(items, None, self._imputation)


def completed(items: NDArray[Any], weights: NDArray[np.float64] | None, imputation: LinearImputation | None) -> Split:
    """Return items of some weights with missing entries filled, and targets without these, if any are missing."""
    if not has_missing(items):
        return Split(items, weights=weights)
    if imputation is None:
        raise ValueError(
            "X: contains NaN, and the model was fitted with handle_missing='error'; fit it with 'mask'"
            + see(MISSING_ENTRIES)
        )
    return Split(imputation.fill(items), weights=weights, targets=items)


def has_missing(items: NDArray[Any]) -> bool:
    """Return whether items, vectors or images, have missing entries."""
    return bool(items.dtype.kind == "f" and np.isnan(items).any())


def observed_weights(items: NDArray[Any], weights: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    """Return weights (n,) that are zero for items without an entry; ValueError for a column without one."""
    if not has_missing(items):
        return weights
    weights = np.where(np.isnan(items).all(axis=1), 0.0, 1.0 if weights is None else weights)
    empty = np.flatnonzero(np.isnan(items[weights > 0]).all(axis=0))
    if len(empty):
        found = ", ".join(map(str, empty[:5])) + (", ..." if len(empty) > 5 else "")
        raise ValueError(f"X: got NaN alone in columns {found}, expected an observed entry in each; leave them out")
    return weights


def are_equal(items: NDArray[Any]) -> bool:
    """Return whether all items are the same, as far as their entries were observed."""
    if not has_missing(items):
        return bool((items == items[:1]).all())
    return bool((np.nanmin(items, axis=0) == np.nanmax(items, axis=0)).all())


def units_of(items: NDArray[np.float64], *, by_columns: bool, weights: NDArray[np.float64] | None) -> Units:
    """Return the units of the observed entries of vectors (n, d) with weights (n,), see `Units.of`."""
    if has_missing(items):
        each = np.ones(len(items)) if weights is None else weights
        seen = ~np.isnan(items)
        means = column_means(items, each)
        # With means in place of missing entries, and the other deviations enlarged, columns have the same variance.
        larger = np.sqrt(each.sum() / (each[:, None] * seen).sum(axis=0))
        items = means + np.where(seen, items - means, 0.0) * larger
    return Units.of(items, by_columns=by_columns, weights=weights)
