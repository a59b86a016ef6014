"""The choice between PCA and networks on held-out items."""

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from lorae.config.resolution import resolve
from lorae.config.settings import ARRAY, Settings
from lorae.errors import DivergedError
from lorae.metrics.linear_floor import LinearFloor, as_vectors
from lorae.models.autoencoder import Autoencoder, ModelSpec
from lorae.models.linear_path import continued_as_pca, refit_linear_path, set_linear_path
from lorae.training.best_weights import PATIENCE, BestWeights
from lorae.training.candidates import STRENGTHS, Judgment
from lorae.training.epoch_order import epoch_order
from lorae.training.judging import FEW, FEWEST
from lorae.training.model_selection import ModelSelection

NOISES = (0.1, 0.0)


def settings_for(items, rank, **changes):
    kind = "vectors" if items.ndim == 2 else "images"
    width = min(8, items[0].size)
    values = {
        "data": ARRAY, "method": "lorae+", "rank": rank, "network": "residual", "normalize": "coordinates",
        "latent_dim": width, "batch_size": 32, "epochs": 20, "lr": 3e-3, "vector_scale": "none",
    }  # fmt: skip
    settings = resolve(Settings.from_values(values | changes, str), kind, items.shape[1:])
    return settings.with_machine("cpu", "float32")


def select(items, rank, **changes):
    return ModelSelection(settings_for(items, rank, **changes), items, NOISES)


@pytest.fixture(scope="module")
def linear():
    generator = np.random.default_rng(0)
    points = generator.normal(size=(120, 3)) @ generator.normal(size=(3, 10)) + 0.3 * generator.normal(size=(120, 10))
    return (points - points.mean(axis=0)) / points.std(axis=0)


@pytest.fixture(scope="module")
def curved():
    """A parabola in three standardized columns."""
    t = np.random.default_rng(0).uniform(-1, 1, 400)
    points = np.stack([t, t**2, 2 * t - t**2], axis=1)
    return (points - points.mean(axis=0)) / points.std(axis=0)


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 256, (40, 3, 8, 8)).astype(np.uint8)


@pytest.mark.parametrize("kind", ["linear", "pictures"])
def test_floor_is_pca_of_every_rank(kind, request):
    items = request.getfixturevalue(kind)
    kept, held = items[:30], items[30:]
    floor = LinearFloor.fit(kept, held, most=50)
    for rank in range(1, min(29, items[0].size) + 1):
        pca = PCA(rank, svd_solver="full").fit(as_vectors(kept))
        rows = as_vectors(held)
        errors = np.square(pca.inverse_transform(pca.transform(rows)) - rows).mean(axis=1)
        np.testing.assert_allclose(floor.at(rank), errors, atol=1e-12)
        assert floor.smallest_rank(errors.mean() * 1.000001) <= rank


@pytest.mark.parametrize("kind", ["linear", "pictures"])
def test_linear_model_is_the_pca_of_all_items(kind, request):
    items = request.getfixturevalue(kind)
    model = select(items, 3).pca(3)
    pca = PCA(3, svd_solver="full").fit(as_vectors(items))
    codes = model.encode(items)
    signs = np.sign((codes * pca.transform(as_vectors(items))).sum(axis=0))
    tolerance = 1e-10 if kind == "linear" else 1e-4
    np.testing.assert_allclose(codes * signs, pca.transform(as_vectors(items)), atol=tolerance)
    restored = pca.inverse_transform(pca.transform(as_vectors(items)))
    np.testing.assert_allclose(as_vectors(model.reconstruct(items)), restored, atol=tolerance)


def test_linear_data_leave_pca(linear):
    chosen = select(linear, 3).select()
    assert not chosen.curved
    assert chosen.error == chosen.pca_error
    assert chosen.score == chosen.pca_score
    assert chosen.model.spec.network == "linear"


def test_curved_data_take_a_network_that_is_better_on_held_out_items(curved):
    selection = select(curved, 1, epochs=60)
    chosen = selection.select()
    assert chosen.curved
    assert chosen.error < 0.5 * chosen.pca_error
    measured = np.square(
        as_vectors(chosen.model.reconstruct(selection.held.inputs.astype(np.float32))) - selection.held.inputs
    )
    assert measured.mean() < 0.5 * selection.floor.at(1).mean()
    assert len(chosen.history) > 0


def test_auto_takes_the_linear_dimension_where_no_network_needs_fewer(linear):
    chosen = select(linear, "auto").select()
    assert chosen.rank == 3
    assert chosen.search["rank"] == 3
    assert chosen.search["mse"] == chosen.error


def test_auto_takes_fewer_directions_where_the_data_are_curved(curved):
    assert select(curved, "auto", epochs=40).select().rank == 1


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_share_takes_no_more_directions_than_pca(linear, share):
    selection = select(linear, share)
    chosen = selection.select()
    assert chosen.rank <= selection.floor.smallest_rank((1 - share) * selection.variance)
    assert chosen.error <= (1 - share) * selection.variance


def test_gains_by_chance_do_not_pay():
    generator = np.random.default_rng(0)
    pca, mean = np.ones(100), np.full(100, 4.0)
    assert Judgment(pca - 0.3 + generator.normal(size=100), pca, mean).pays
    assert not Judgment(pca - 0.1 + generator.normal(size=100), pca, mean).pays
    assert not Judgment(pca - 0.01, pca, mean).pays
    assert Judgment(pca - 0.03, pca, mean).pays


def test_many_items_are_judged_by_one_fold_and_few_by_the_others(curved, monkeypatch):
    trained = []
    original = ModelSelection._trainer

    def count(self, settings, kept, best):
        trained.append(len(kept) / len(self.items))
        return original(self, settings, kept, best)

    monkeypatch.setattr(ModelSelection, "_trainer", count)
    select(curved, 1).select()
    assert trained == pytest.approx([0.8, 0.8, 0.6, 0.6, 0.6, 0.6], abs=0.02)
    trained.clear()
    select(np.tile(curved, (3, 1))[:FEW], 1, epochs=3).select()
    assert set(trained) == {0.8}


def test_judging_ends_at_the_first_fold_without_a_gain(curved, monkeypatch):
    selection = select(curved, 1)
    (candidate, *_) = selection._trials(1)
    judged = []

    def no_better_than_the_mean(self, candidate, kept, held, rank):
        judged.append(len(held))
        return np.full((len(held), len(STRENGTHS)), np.square(curved).mean())

    monkeypatch.setattr(ModelSelection, "_again", no_better_than_the_mean)
    assert not selection._judged(candidate, 1).pays
    assert judged == [len(curved) // 5]


def test_a_network_without_corrections_is_not_judged(curved, monkeypatch):
    selection = select(curved, 1)
    (candidate, *_) = selection._trials(1)
    monkeypatch.setattr(ModelSelection, "_again", lambda *_: pytest.fail("trained anew"))
    assert candidate.is_curved
    linear = dataclasses.replace(candidate, error=1.0, linear_error=1.01)
    assert selection._judged(linear, 1) is None


def test_few_items_are_not_judged(linear):
    chosen = select(linear[: FEWEST - 1], 2).select()
    assert not chosen.curved
    assert chosen.history == []


def test_divergence_of_all_candidates_is_an_error(linear):
    with pytest.raises(DivergedError):
        select(linear, 3, lr=1e9).select()


def test_more_components_than_items_give_codes_of_zero(linear):
    model = select(linear[:5], 8).pca(8)
    codes = model.encode(linear)
    assert codes.shape == (120, 8)
    assert np.abs(codes[:, 4:]).max() == 0


def test_best_weights_are_kept_and_restored(linear):
    model = Autoencoder(ModelSpec("linear", (10,), 3)).double()
    best = BestWeights(linear)
    mean, axes = linear.mean(axis=0), np.eye(10)[:3]
    set_linear_path(model, mean, axes)
    best.update(0.1, model)
    error = model.squared_error(linear)
    set_linear_path(model, mean + 1, axes[:1])
    best.update(0.2, model)
    assert best.error == error < model.squared_error(linear)
    assert not best.stalled(0.1 + PATIENCE)
    assert best.stalled(0.11 + PATIENCE)
    best.load_into(model)
    assert model.squared_error(linear) == error


def test_the_seed_decides(linear):
    errors = [select(linear, 2, seed=seed).select().error for seed in (0, 0, 1)]
    assert errors[0] == errors[1] != errors[2]


def test_settings_are_not_changed(linear):
    settings = settings_for(linear, 2)
    before = dataclasses.replace(settings)
    ModelSelection(settings, linear, NOISES).select()
    assert settings == before


@pytest.mark.parametrize("folds", [3, 10])
def test_folds_are_disjoint_and_nothing_is_trained_on_the_first(linear, folds):
    selection = ModelSelection(settings_for(linear, 2), linear, NOISES, folds=folds)
    assert len(selection.held) == 120 // folds
    parts = [selection.folds.held(number) for number in range(folds)]
    assert sorted(np.concatenate(parts)) == list(range(120))
    kept, held = selection.folds.kept(1), selection.folds.held(1)
    assert sorted(np.concatenate([kept, held, selection.folds.held(0)])) == list(range(120))


def test_too_few_held_out_items_judge_nothing(linear):
    assert ModelSelection(settings_for(linear, 2), linear, NOISES, folds=30)._can_judge
    assert not ModelSelection(settings_for(linear, 2), linear, NOISES, folds=40)._can_judge


def test_weights_of_the_floor_are_copies_of_rows(linear):
    weights = np.random.default_rng(0).integers(0, 4, 120).astype(float)
    kept, held = slice(0, 80), slice(80, 120)
    part = weights[kept] / weights[kept].mean()
    weighted = LinearFloor.fit(linear[kept], linear[held], 10, part, weights[held])
    copies = [np.repeat(linear[rows], weights[rows].astype(int), axis=0) for rows in (kept, held)]
    repeated = LinearFloor.fit(copies[0], copies[1], 10)
    np.testing.assert_allclose(weighted.mean, repeated.mean, atol=1e-12)
    np.testing.assert_allclose(weighted.axes.T @ weighted.axes, repeated.axes.T @ repeated.axes, atol=1e-10)
    projections = [floor.axes[:3].T @ floor.axes[:3] for floor in (weighted, repeated)]
    np.testing.assert_allclose(projections[0], projections[1], atol=1e-10)
    for rank in range(11):
        assert weighted.error(rank) == pytest.approx(repeated.error(rank), rel=1e-10, abs=1e-14)
    assert weighted.smallest_rank(0.5) == repeated.smallest_rank(0.5)


def test_weights_of_a_judgment_are_copies_of_errors():
    generator = np.random.default_rng(0)
    weights = generator.integers(1, 4, 50)
    errors = [generator.uniform(0.5, 1, 50), generator.uniform(0.5, 1, 50), np.ones(50)]
    weighted = Judgment(errors[0], errors[1], errors[2], weights / weights.mean())
    copies = [np.repeat(part, weights) for part in errors]
    repeated = Judgment(copies[0], copies[1], copies[2])
    np.testing.assert_allclose(weighted.errors, repeated.errors)
    # Independent errors have a larger chance than copies, by which it takes more to be sure.
    gain = np.full(50, 0.03)
    assert Judgment(errors[1] - gain, errors[1], errors[2], weights / weights.mean()).pays


def test_an_epoch_has_each_item_as_often_as_its_weight():
    weights = np.array([0.5, 2.0, 0.0, 1.5, 1.0])
    generator = torch.Generator().manual_seed(0)
    counts = np.array([np.bincount(epoch_order(5, weights, generator), minlength=5) for _ in range(2000)])
    assert (counts.sum(axis=1) == 5).all()
    assert (np.abs(counts - weights) < 1).all()
    np.testing.assert_allclose(counts.mean(axis=0), weights, atol=0.05)
    whole = np.bincount(epoch_order(4, np.array([1.0, 2.0, 0.0, 1.0]), generator), minlength=4)
    assert list(whole) == [1, 2, 0, 1]
    assert sorted(epoch_order(5, None, generator).tolist()) == list(range(5))


def test_weights_of_a_truncation_and_of_the_linear_path_are_copies_of_items(linear):
    weights = np.random.default_rng(0).integers(1, 4, 120)
    copies = np.repeat(linear, weights, axis=0).astype(np.float32)
    spec = ModelSpec("residual", (10,), 4, bottleneck="linear")
    model = Autoencoder.initialized(spec)
    rows, shares = linear.astype(np.float32), weights / weights.mean()
    results = []
    for items, given in ((rows, shares), (copies, None)):
        small = model.truncate(items, 2, given)
        refit_linear_path(small, items, given)
        results.append(continued_as_pca(small, items, given).reconstruct(rows))
    np.testing.assert_allclose(results[0], results[1], atol=1e-4)
