"""Reconstruction errors as scores of anomalies."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError

from lorae import LoRAE
from tests.estimator.conftest import QUICK


def test_scores_are_negative_errors_in_deviations_of_columns(fitted, plane):
    error = (fitted.inverse_transform(fitted.transform(plane)) - plane) / plane.std(0)
    scores = fitted.score_samples(plane)
    np.testing.assert_allclose(scores, -np.square(error).mean(1), rtol=1e-9, atol=1e-15)
    spread = np.square((plane - plane.mean(0)) / plane.std(0)).mean()
    assert fitted.score(plane) == pytest.approx(1 + scores.mean() / spread, rel=1e-9)


@pytest.mark.parametrize("contamination", [0.0, 0.05, 0.5])
def test_the_threshold_is_a_quantile_of_the_training_items(plane, contamination):
    model = LoRAE(rank=2, contamination=contamination, epochs=1, random_state=0).fit(plane)
    labels, scores = model.predict(plane), model.anomaly_score(plane)
    assert (labels == -1).mean() == pytest.approx(contamination, abs=1 / len(plane))
    np.testing.assert_array_equal(labels == -1, scores > 1)
    np.testing.assert_allclose(scores * model.threshold_, -model.score_samples(plane))


def test_items_off_the_surface_are_anomalies(fitted, plane):
    # Orthogonal to the principal components that hold all of the surface: the nearest reconstruction is far.
    scaled = (plane - plane.mean(0)) / plane.std(0)
    away = PCA(12).fit(scaled).components_[-1] * plane.std(0)
    assert (fitted.predict(plane[:50] + 3 * away) == -1).all()
    assert (fitted.anomaly_score(plane[:50] + 6 * away) > fitted.anomaly_score(plane[:50] + 3 * away)).all()


def test_rounding_makes_no_anomalies():
    # A plane: PCA restores every item, and a quantile of rounding errors would call a tenth of them anomalies.
    rng = np.random.default_rng(0)
    points = rng.normal(size=(60, 2)) @ rng.normal(size=(2, 5))
    model = LoRAE(rank=2, epochs=1, random_state=0).fit(points)
    assert (model.predict(points) == 1).all()


def test_contamination_outside_its_range_is_refused(plane):
    with pytest.raises(ValueError, match=r"contamination: got 0\.6, expected a number from 0 to 0\.5"):
        LoRAE(contamination=0.6, **QUICK).fit(plane)
    with pytest.raises(NotFittedError):
        LoRAE().anomaly_score(plane)
