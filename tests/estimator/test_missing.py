"""Vectors with missing entries: filled in for the encoder, left out of all errors."""

import pickle

import numpy as np
import pandas
import pytest
from sklearn.datasets import load_digits
from sklearn.impute import SimpleImputer
from sklearn.utils.estimator_checks import parametrize_with_checks

from lorae import LoRAE
from lorae.data import Split
from lorae.estimator.imputation import LinearImputation
from lorae.estimator.missing import units_of
from lorae.metrics.linear_floor import LinearFloor, mean_squares
from lorae.models.autoencoder import Autoencoder, ModelSpec
from lorae.models.linear_path import refit_linear_path
from lorae.models.observed import squared_errors
from lorae.models.scaling import Units
from lorae.objectives.objective import Objective

MASK = {"handle_missing": "mask", "random_state": 0}


def with_missing(items, share=0.2, seed=1):
    return np.where(np.random.default_rng(seed).random(items.shape) < share, np.nan, items)


@pytest.fixture(scope="module")
def holed(plane):
    return with_missing(plane)


@pytest.fixture(scope="module")
def masked(holed):
    return LoRAE(rank=2, epochs=60, **MASK).fit(holed)


@parametrize_with_checks([LoRAE(epochs=1, **MASK)])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_complete_items_give_the_fit_without_the_option(plane):
    usual, masking = (LoRAE(rank=2, epochs=5, random_state=0, handle_missing=each) for each in ("error", "mask"))
    codes = usual.fit_transform(plane)
    np.testing.assert_array_equal(masking.fit_transform(plane), codes)
    np.testing.assert_array_equal(masking.inverse_transform(codes), usual.inverse_transform(codes))
    for name in ("score_", "pca_score_", "threshold_", "explained_variance_", "explained_variance_ratio_"):
        np.testing.assert_array_equal(getattr(masking, name), getattr(usual, name))
    assert masking.score(plane) == usual.score(plane)
    assert np.isfinite(masking.transform(with_missing(plane))).all()  # though none was missing in the fit


def test_missing_entries_are_refused_unless_asked_for(fitted, plane, holed, images):
    for method in (LoRAE().fit, fitted.transform, fitted.impute, fitted.score):
        with pytest.raises(ValueError, match="contains NaN"):
            method(holed)
    assert not LoRAE().__sklearn_tags__().input_tags.allow_nan
    assert LoRAE(**MASK).__sklearn_tags__().input_tags.allow_nan
    later = pickle.loads(pickle.dumps(fitted)).set_params(handle_missing="mask")
    with pytest.raises(ValueError, match="fitted with handle_missing='error'; fit it with 'mask'"):
        later.transform(holed)
    with pytest.raises(ValueError, match="handle_missing: got 'drop', expected one of error, mask"):
        LoRAE(handle_missing="drop").fit(plane)
    with pytest.raises(ValueError, match="infinity"):
        LoRAE(**MASK).fit(np.where(np.isnan(holed), np.inf, holed))
    with pytest.raises(ValueError, match="contains NaN"):
        LoRAE(**MASK).fit(np.full(images.shape, np.nan, np.float32))


def test_curvature_fills_in_more_than_pca_and_the_mean(masked, plane, holed):
    assert masked.curved_
    assert masked.score_ > masked.pca_score_
    missing = np.isnan(holed)
    imputed = masked.impute(holed)
    np.testing.assert_array_equal(imputed[~missing], holed[~missing])
    straight = LoRAE(rank=2, epochs=1, noise=0.0, lr=1e-9, **MASK).fit(holed)
    assert not straight.curved_
    others = {"PCA": straight.impute(holed), "mean": SimpleImputer().fit_transform(holed)}
    error, *larger = (
        np.square((items - plane) / plane.std(0))[missing].mean() for items in (imputed, *others.values())
    )
    assert error < 0.7 * larger[0] < 0.7 * larger[1]


def test_missing_entries_of_reconstructions_are_the_imputed_ones(masked, holed):
    restored = masked.inverse_transform(masked.transform(holed))
    missing = np.isnan(holed)
    np.testing.assert_allclose(masked.impute(holed)[missing], restored[missing], rtol=1e-9)
    assert masked.impute(holed.astype(np.float32)).dtype == np.float32
    frame = pandas.DataFrame(holed, columns=[f"c{number}" for number in range(12)])
    named = LoRAE(rank=2, epochs=1, **MASK).fit(frame)
    np.testing.assert_array_equal(named.impute(frame), LoRAE(rank=2, epochs=1, **MASK).fit(holed).impute(holed))


def test_errors_are_those_of_observed_entries(masked, plane, holed):
    means, deviations = np.nanmean(holed, axis=0), np.nanstd(holed, axis=0)
    error = np.square((masked.inverse_transform(masked.transform(holed)) - holed) / deviations)
    np.testing.assert_allclose(masked.score_samples(holed), -np.nanmean(error, axis=1), rtol=1e-9, atol=1e-15)
    lost = np.nansum(error) / np.nansum(np.square((holed - means) / deviations))
    assert masked.score(holed) == pytest.approx(1 - lost, rel=1e-9)
    assert masked.explained_variance_ratio_.sum() == pytest.approx(1 - lost, rel=1e-9)
    assert (masked.predict(holed) == -1).mean() == pytest.approx(0.1, abs=1 / 400)
    # Wild values in place of missing entries would be the same, as nothing reads them.
    np.testing.assert_allclose(masked.score_samples(plane), masked.model_.squared_errors(plane) * -1)


def test_rows_without_an_entry_are_the_mean_and_change_no_fit(plane, holed):
    model = LoRAE(rank=2, epochs=3, **MASK)
    codes = model.fit_transform(holed)
    empty = np.full((1, 12), np.nan)
    np.testing.assert_array_equal(model.fit(np.concatenate([holed, empty])).transform(holed), codes)
    assert model.score_samples(empty) == 0
    np.testing.assert_allclose(model.transform(empty), model.transform(model._imputation.mean[None]), atol=1e-12)
    both = np.concatenate([holed, empty])
    assert model.score(both) == pytest.approx(model.score(holed), rel=1e-12)
    with pytest.raises(ValueError, match="got NaN alone, expected observed entries"):
        model.score(empty)


@pytest.mark.parametrize("columns", [[3], [0, 11], range(12)])
def test_columns_without_an_entry_are_refused(holed, columns):
    items = holed.copy()
    items[:, columns] = np.nan
    with pytest.raises(ValueError, match=rf"NaN alone in columns {columns[0]}.*leave them out") as caught:
        LoRAE(**MASK).fit(items)
    assert "\n" not in str(caught.value)


def test_few_items_and_items_that_are_equal_where_observed(plane):
    assert np.isfinite(LoRAE(rank=1, epochs=1, **MASK).fit(with_missing(plane[:10], 0.1)).impute(plane[:10])).all()
    same = with_missing(np.ones((30, 4)))
    with pytest.raises(ValueError, match="all items are the same"):
        LoRAE(**MASK).fit(same)
    one = LoRAE(epochs=1, **MASK).fit(with_missing(plane[:, :1]))
    assert one.rank_ == 1


@pytest.mark.parametrize("n", [19, 100])  # a PCA, and candidates of networks
def test_whole_weights_are_copies_of_rows(holed, n):
    points, weights = holed[:n], np.random.default_rng(0).integers(0, 4, n)
    model = LoRAE(rank=2, epochs=2, **MASK)
    codes = model.fit(points, sample_weight=weights).transform(holed)
    np.testing.assert_array_equal(model.fit(np.repeat(points, weights, axis=0)).transform(holed), codes)


@pytest.mark.parametrize("kind", ["curved", "linear"])
def test_files_and_pickles_keep_the_imputation(masked, holed, tmp_path, kind):
    model = masked if kind == "curved" else LoRAE(rank=1, epochs=1, **MASK).fit(holed[:19])
    for again in (LoRAE.load(model.save(tmp_path / "model")), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(again.impute(holed), model.impute(holed))
        assert again.score(holed) == model.score(holed)


def test_rank_of_linear_items_is_found_and_a_share_kept():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(200, 3)) @ rng.normal(size=(3, 10)) + 0.05 * rng.normal(size=(200, 10))
    assert LoRAE(epochs=2, **MASK).fit(with_missing(points)).rank_ == 3
    assert LoRAE(0.5, epochs=2, **MASK).fit(with_missing(points)).rank_ < 3


# What the option is made of.


@pytest.mark.parametrize("seed", [0, 1])
def test_entries_of_a_linear_model_are_filled_exactly(seed):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 8))
    points /= points.std(axis=0)
    items = with_missing(points, 0.3, seed)
    filled = LinearImputation.fit(items).fill(items)
    enough = (~np.isnan(items)).sum(axis=1) >= 3
    assert np.square(filled - points)[enough].mean() < 1e-3
    np.testing.assert_array_equal(filled[~np.isnan(items)], items[~np.isnan(items)])


def test_missing_entries_are_filled_by_their_conditional_means():
    rng = np.random.default_rng(0)
    loadings, mean, scale = rng.normal(size=(6, 2)), rng.normal(size=6), rng.uniform(1, 2, 6)
    model = LinearImputation(mean, scale, loadings, np.array(0.3))
    items = with_missing(rng.normal(size=(20, 6)), 0.4)
    covariance = scale[:, None] * (loadings @ loadings.T + 0.3 * np.eye(6)) * scale
    for row, filled in zip(items, model.fill(items), strict=True):
        gone, seen = np.isnan(row), ~np.isnan(row)
        slope = covariance[np.ix_(gone, seen)] @ np.linalg.inv(covariance[np.ix_(seen, seen)])
        np.testing.assert_allclose(filled[gone], mean[gone] + slope @ (row - mean)[seen], rtol=1e-8)
    np.testing.assert_allclose(
        model.in_units(Units(np.ones(6), 2 * np.ones(6))).fill(2 * items + 1), 2 * model.fill(items) + 1
    )


@pytest.mark.parametrize("by_columns", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_units_are_those_of_observed_entries(holed, by_columns, weighted):
    weights = np.random.default_rng(0).uniform(0.5, 2, 400) if weighted else None
    units = units_of(holed, by_columns=by_columns, weights=weights)
    columns = np.ma.masked_invalid(holed)
    mean = np.ma.average(columns, axis=0, weights=weights)
    variance = np.ma.average(np.square(columns - mean), axis=0, weights=weights)
    np.testing.assert_allclose(units.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(units.scale, np.sqrt(variance if by_columns else np.full(12, variance.mean())))


def test_the_floor_counts_observed_entries(plane):
    kept, held = plane[:300], plane[300:]
    targets = with_missing(held)
    weights = Split(held, targets=targets).error_weights
    floor = LinearFloor.fit(kept, held, 4, None, weights, targets)
    for rank in range(5):
        restored = floor.mean + (held - floor.mean) @ floor.axes[:rank].T @ floor.axes[:rank]
        np.testing.assert_allclose(floor.at(rank), np.nanmean(np.square(restored - targets), axis=1), atol=1e-9)
        assert floor.error(rank) == pytest.approx(np.nanmean(np.square(restored - targets)), abs=1e-9)
    complete = LinearFloor.fit(kept, held, 4)
    np.testing.assert_allclose(LinearFloor.fit(kept, held, 4, targets=held).errors, complete.errors, atol=1e-9)


def test_losses_and_errors_of_a_model_count_observed_entries(plane):
    items = ((plane - plane.mean(0)) / plane.std(0)).astype(np.float32)
    targets = with_missing(items)
    model = Autoencoder.initialized(ModelSpec("residual", (12,), 3, bottleneck="linear")).eval()
    squares = np.square(model.reconstruct(items) - targets)
    np.testing.assert_allclose(squared_errors(model, items, targets), np.nanmean(squares, axis=1), rtol=1e-5)
    np.testing.assert_array_equal(squared_errors(model, items, None), model.squared_errors(items))
    np.testing.assert_allclose(mean_squares(items - 1, targets), np.nanmean(np.square(targets - 1), axis=1), rtol=1e-5)
    tensors = (model.scaling.shift.new_tensor(part).float() for part in (items, targets))
    loss = Objective(model, {}).compute_loss(*tensors).loss.detach()
    assert float(loss) == pytest.approx(np.nanmean(squares), rel=1e-5)


def test_least_squares_of_the_linear_path_leave_missing_entries_out(plane):
    items = ((plane - plane.mean(0)) / plane.std(0)).astype(np.float32)
    targets = with_missing(items)
    wild = np.where(np.isnan(targets), 0, items)
    model = Autoencoder.initialized(ModelSpec("residual", (12,), 3))
    refit_linear_path(model, wild, targets=targets)
    smallest = np.average(squared_errors(model, wild, targets), weights=(~np.isnan(targets)).sum(1))
    refit_linear_path(model, wild)
    other = np.average(squared_errors(model, wild, targets), weights=(~np.isnan(targets)).sum(1))
    assert smallest < 0.99 * other


def test_digits_are_imputed_better_than_by_the_mean():
    digits = load_digits().data[:600]
    items = with_missing(digits)
    imputed = LoRAE(8, epochs=3, **MASK).fit(items).impute(items)
    mean = SimpleImputer(keep_empty_features=True).fit_transform(items)
    assert np.square(imputed - digits).mean() < 0.6 * np.square(mean - digits).mean()
