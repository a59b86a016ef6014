"""Fits that go on from the fitted network."""

import copy
from typing import Any

import numpy as np
import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator

from lorae import LoRAE
from lorae.config.resolution import resolve
from lorae.config.settings import ARRAY, Settings
from lorae.estimator.continuing import _hashes
from lorae.models.linear_path import without_continuation
from lorae.training import model_selection
from lorae.training.continuation import Continuation
from lorae.training.model_selection import ModelSelection

WARM = {"epochs": 3, "warm_start": True, "random_state": 0}


def settings_for(items, rank):
    values = {
        "data": ARRAY, "method": "lorae+", "rank": rank, "network": "residual", "normalize": "coordinates",
        "latent_dim": rank, "batch_size": 32, "epochs": 3, "lr": 3e-3, "vector_scale": "none",
    }  # fmt: skip
    return resolve(Settings.from_values(values, str), "vectors", items.shape[1:]).with_machine("cpu", "float32")


def error_of(model, items):
    return np.square((model.inverse_transform(model.transform(items)) - items) / items.std(0)).mean()


@pytest.fixture
def warm(fitted):
    """A fitted network that a fit of one epoch goes on from."""
    return copy.deepcopy(fitted).set_params(warm_start=True, epochs=1)


def test_a_second_fit_goes_on_from_the_first_one(fitted, warm, plane):
    assert fitted.curved_
    warm.fit(plane)
    cold = LoRAE(rank=3, epochs=1, random_state=0).fit(plane)
    assert warm.curved_
    assert error_of(warm, plane) < 1.05 * error_of(fitted, plane) < 0.8 * error_of(cold, plane)
    np.testing.assert_allclose(warm.transform(plane).mean(0), 0, atol=1e-3)
    assert warm.score_ > warm.pca_score_
    more = copy.deepcopy(warm).set_params(epochs=150).fit(plane)
    assert error_of(more, plane) < 0.9 * error_of(warm, plane)


@pytest.mark.parametrize("rank", ["auto", 0.9])
def test_a_rank_that_was_found_is_kept_and_another_one_refused(plane, rank):
    model = LoRAE(rank=rank, **WARM).fit(plane)
    found = model.rank_
    assert model.fit(plane[:300]).rank_ == found
    assert model.search_ is None
    model.set_params(rank=found + 1)
    with pytest.raises(ValueError, match=rf"rank: got {found + 1}, but this fit goes on from a model of rank {found}"):
        model.fit(plane)
    assert model.set_params(warm_start=False).fit(plane).rank_ == found + 1


def test_other_features_are_refused_and_change_nothing(fitted, plane, images):
    model = LoRAE(rank=1, **WARM).fit(plane[:19])
    codes = model.transform(plane)
    for other in (plane[:, :5], images):
        with pytest.raises(ValueError, match=r"X has 5 features, but LoRAE is expecting 12|got items of shape"):
            model.fit(other)
    np.testing.assert_array_equal(model.transform(plane), codes)
    with pytest.raises(ValueError, match="warm_start: got 'maybe', expected true or false"):
        LoRAE(warm_start="maybe").fit(plane)


def test_a_model_that_is_pca_is_fitted_as_if_for_the_first_time(plane):
    model = LoRAE(rank=2, **WARM).fit(plane[:19])
    assert not model.curved_
    first = LoRAE(rank=2, epochs=3, random_state=0).fit(plane)
    np.testing.assert_array_equal(model.fit(plane).transform(plane), first.transform(plane))


def test_items_of_an_earlier_training_are_never_held_out(warm, plane):
    seen = np.arange(400) % 4 != 0
    start = Continuation(None, seen)
    order = np.random.default_rng(0).permutation(400)
    choosing, judging = start.set_aside(order, 80)
    assert len(choosing) == len(judging) == 40
    assert not seen[choosing].any()
    assert not seen[judging].any()
    assert not set(choosing) & set(judging)
    rng = np.random.default_rng(0)
    new = plane[:100] + 0.01 * rng.normal(size=(100, 12)) * plane.std(0)
    assert len(warm._seen) == 320
    warm.fit(np.concatenate([plane, new]))
    assert warm.curved_
    assert len(warm._seen) == 400
    assert np.isin(_hashes(plane), warm._seen).sum() > 320


def test_without_new_items_and_without_knowledge_of_old_ones(fitted, warm, plane):
    trained = plane[np.isin(_hashes(plane), warm._seen)]
    again = LoRAE(rank=3, epochs=1, random_state=0).fit(trained)
    np.testing.assert_array_equal(warm.fit(trained).transform(plane), again.transform(plane))
    earlier = LoRAE.__new__(LoRAE)
    earlier.__setstate__({name: value for name, value in fitted.__getstate__().items() if name != "_seen"})
    with pytest.raises(ValueError, match="warm_start: the model is of an earlier version"):
        earlier.set_params(warm_start=True).fit(plane)


def test_pca_is_taken_where_the_network_has_become_worse(warm, plane):
    rng = np.random.default_rng(0)
    straight = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 12)) * plane.std(0)
    warm.fit(straight)
    assert not warm.curved_
    assert warm.score(straight) == pytest.approx(1)


def test_units_of_new_items_are_their_own(warm, plane):
    # The network keeps the scaling that it was trained with; errors and PCA are in the units of the new items.
    moved = plane * 3 + 5
    warm.fit(moved)
    spread = np.square((moved - moved.mean(0)) / moved.std(0)).mean()
    assert warm.score(moved) == pytest.approx(1 - error_of(warm, moved) / spread, abs=0.01)
    assert warm.score_ >= warm.pca_score_


@pytest.mark.parametrize("form", ["images", "missing", "weights"])
def test_all_kinds_of_items_go_on(images, plane, form):
    weights = np.random.default_rng(0).integers(1, 4, 400) if form == "weights" else None
    options: dict[str, Any] = {"handle_missing": "mask"} if form == "missing" else {}
    items = images if form == "images" else plane.copy()
    if form == "missing":
        items[np.random.default_rng(0).random(items.shape) < 0.1] = np.nan
    if form == "images":
        options = {"latent_dim": 8, "batch_size": 16}
    model = LoRAE(rank=2, **WARM, **options).fit(items, sample_weight=weights)
    assert model.set_params(epochs=1).fit(items, sample_weight=weights).transform(items).shape == (len(items), 2)


def test_files_keep_what_a_fit_needs_to_go_on(warm, plane, tmp_path):
    again = LoRAE.load(warm.save(tmp_path / "model"))
    np.testing.assert_array_equal(again.fit(plane).transform(plane), warm.fit(plane).transform(plane))


# What a continued training starts from.


def test_a_restarted_network_computes_what_the_finished_one_does(fitted, plane):
    assert fitted.model_.spec.pca_beyond
    single = without_continuation(fitted.model_)
    assert not single.spec.pca_beyond
    codes = fitted.model_.encode(plane)
    np.testing.assert_allclose(single.encode(plane), codes, atol=1e-9 * codes.std())
    error = (single.reconstruct(plane) - fitted.model_.reconstruct(plane)) / plane.std(0)
    assert np.abs(error).max() < 1e-5  # limits are those of float32 codes
    start = Continuation(fitted.model_, np.zeros(400, bool))
    model = start.restarted(settings_for(plane, 3), plane).eval()
    assert model.matrix_rank() == 3
    error = (model.reconstruct(plane) - fitted.model_.reconstruct(plane)) / plane.std(0)
    assert np.abs(error).max() < 1e-3


def test_a_selection_goes_on_with_every_noise(fitted, plane, monkeypatch):
    monkeypatch.setattr(model_selection, "FEW", 10_000)
    start = Continuation(fitted.model_, np.arange(400) >= 80)
    selection = ModelSelection(settings_for(plane, 3), plane, (0.1, 0.0), start=start)
    assert len(selection.folds.choosing) == len(selection.folds.held(0)) == 40
    trials = selection._trials(3)
    assert [(trial.noise, trial.latent_dim) for trial in trials] == [(0.1, 3), (0.0, 3)]


def test_scikit_learn_checks():
    for estimator, check in estimator_checks_generator(LoRAE(warm_start=True, epochs=1, random_state=0)):
        check(estimator)
