"""Anomalies: items that a fitted estimator reconstructs badly."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from lorae.estimator.inputs import weighted_quantile
from lorae.isolation import isolated
from lorae.models.observed import squared_errors
from lorae.models.scaling import ROUNDING


class AnomalyMixin(BaseEstimator):  # type: ignore[misc]
    """Scores of items by their reconstruction errors, in the conventions of scikit-learn's outlier detectors."""

    threshold_: float

    @isolated()
    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """Return the negative reconstruction error of each item; the lower, the more abnormal.

        Parameters
        ----------
        X : array of shape (n_samples, n_features), or images
            As in `fit`.

        Returns
        -------
        scores : array of shape (n_samples,)
            Minus the mean over its observed entries of the squared error of an item, 0 if all are missing. Entries of
            vectors are in deviations of their columns in the training items (with `standardize=False`, in the root of
            the mean variance), so that -1 is about the error of the mean; entries of images are in [0, 1].

        Notes
        -----
        The sign is that of scikit-learn, such as of `sklearn.ensemble.IsolationForest.score_samples`.

        Examples
        --------
        >>> from lorae import LoRAE
        >>> X = np.c_[np.arange(30.0), 2 * np.arange(30.0)]
        >>> scores = LoRAE(rank=1, epochs=1, random_state=0).fit(X).score_samples([[10, 20], [10, 40]])
        >>> bool(scores[0] > scores[1])
        True
        """
        check_is_fitted(self)
        items = self._completed(self._validated(X, fitting=False))
        return -squared_errors(self.model_, items.inputs, items.targets)

    def anomaly_score(self, X: Any) -> NDArray[np.float64]:
        """Return the reconstruction error of each item relative to the threshold; above 1 an item is an anomaly.

        Parameters
        ----------
        X : array of shape (n_samples, n_features), or images
            As in `fit`.

        Returns
        -------
        scores : array of shape (n_samples,)
            Minus `score_samples`, divided by `threshold_`; the higher, the more abnormal.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from lorae import LoRAE
        >>> X = load_iris().data
        >>> model = LoRAE(rank=2, epochs=1, contamination=0.1, random_state=0).fit(X)
        >>> float((model.anomaly_score(X) > 1).mean())
        0.1
        """
        check_is_fitted(self, "threshold_")
        scores: NDArray[np.float64] = -self.score_samples(X) / self.threshold_
        return scores

    def predict(self, X: Any) -> NDArray[np.int64]:
        """Return -1 for anomalies, whose `anomaly_score` is above 1, and 1 for other items.

        Parameters
        ----------
        X : array of shape (n_samples, n_features), or images
            As in `fit`.

        Returns
        -------
        labels : array of shape (n_samples,)
            As of scikit-learn's outlier detectors.
        """
        return np.where(self.anomaly_score(X) > 1, -1, 1)

    def _set_threshold(
        self, errors: NDArray[np.float64], weights: NDArray[np.float64] | None, contamination: float
    ) -> None:
        """Set the threshold to the quantile of training items' errors, or to rounding where that is larger."""
        self.threshold_ = max(weighted_quantile(errors, 1 - contamination, weights), ROUNDING**2)
