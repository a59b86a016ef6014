"""Weights of items: copies of rows, also where networks are trained."""

import numpy as np
import pytest

from lorae import LoRAE
from lorae.estimator.inputs import WeightedItems, weighted_quantile


@pytest.mark.parametrize("n", [19, 120])  # a PCA, and candidates of networks
def test_whole_weights_are_copies_of_rows(plane, n):
    points, weights = plane[:n], np.random.default_rng(0).integers(0, 4, n)
    parameters = {"rank": 2, "epochs": 4, "random_state": 0}
    weighted = LoRAE(**parameters).fit(points, sample_weight=weights)
    copies = np.repeat(points, weights, axis=0)
    repeated = LoRAE(**parameters).fit(np.random.default_rng(1).permutation(copies))
    np.testing.assert_array_equal(weighted.transform(plane), repeated.transform(plane))
    codes = repeated.transform(copies)
    np.testing.assert_allclose(codes.mean(0), 0, atol=1e-4 * codes.std())
    for model in (weighted, repeated):
        np.testing.assert_allclose(model.explained_variance_, codes.var(axis=0, ddof=1), rtol=1e-9)
        assert model.explained_variance_ratio_.sum() == pytest.approx(model.score(copies), rel=1e-9)
        assert model.threshold_ == weighted.threshold_


def test_equal_weights_change_nothing(plane):
    parameters = {"rank": 2, "epochs": 1, "random_state": 0}
    usual = LoRAE(**parameters).fit(plane[:100]).transform(plane)
    for weights in (np.ones(100), np.full(100, 0.25), [3] * 100):
        np.testing.assert_array_equal(
            LoRAE(**parameters).fit(plane[:100], sample_weight=weights).transform(plane), usual
        )


def test_items_of_much_weight_are_reconstructed_better(plane):
    weights = np.where(np.arange(400) < 60, 50.0, 0.02)
    parameters = {"rank": 2, "epochs": 3, "random_state": 0}
    usual, weighted = LoRAE(**parameters).fit(plane), LoRAE(**parameters).fit(plane, sample_weight=weights)
    error = [np.square(m.inverse_transform(m.transform(plane)) - plane)[:60].mean() for m in (usual, weighted)]
    assert error[1] < error[0]


def test_copies_are_never_on_both_sides_of_a_split(plane):
    found = WeightedItems.of(np.repeat(plane, 3, axis=0), None)
    assert found.weights is None
    assert found.count == 1200
    np.testing.assert_array_equal(found.items, plane)
    pictures = np.arange(2 * 8 * 8, dtype=np.uint8).reshape(2, 1, 8, 8)
    assert len(WeightedItems.of(np.concatenate([pictures, pictures]), None).items) == 4  # two of which none is held out


def test_weights_that_do_not_fit_are_refused(plane):
    for weights, message in (
        (np.zeros(400), "zero"),
        (-np.ones(400), "Negative values"),
        (np.ones(3), r"sample_weight.shape == \(3,\), expected \(400,\)"),
        (np.full(400, np.nan), "NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            LoRAE(epochs=1).fit(plane, sample_weight=weights)


@pytest.mark.parametrize("share", [0.5, 0.9, 1.0])
def test_a_weighted_quantile_is_that_of_copies(share):
    values, weights = np.random.default_rng(0).normal(size=20), np.random.default_rng(1).integers(1, 5, 20)
    copies = np.sort(np.repeat(values, weights))
    expected = copies[int(np.ceil(share * len(copies))) - 1]
    assert weighted_quantile(values, share, weights.astype(float)) == weighted_quantile(copies, share, None) == expected
