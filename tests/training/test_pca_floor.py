"""Trainings on vectors that choose their end: their network, or the PCA of all items unless that is behind."""

import dataclasses
import signal

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

import lorae
from lorae.api.loading import as_run
from lorae.api.training import _plan
from lorae.config.resolution import has_pca_floor
from lorae.models.linear_path import refit_linear_path
from lorae.runs.store import InMemoryRun
from lorae.system.signals import Interrupted
from lorae.training import pca_floor
from lorae.training.builders import build_model
from lorae.training.candidates import Judgment
from lorae.training.judging import FEWEST, Folds
from lorae.training.pca_floor import pca_of, with_pca_floor
from lorae.training.schedule_context import split_training_items
from lorae.training.trainer import Trainer

# A small network, and a rate at which it fits noise and curves in few steps.
FAST = {"epochs": "auto", "patience": 40, "lr": 1e-2, "width": 0.1}


def planned(items, **options):
    settings, dataset, _ = _plan(items, None, {"epochs": "auto", "method": "lorae+"} | options)
    return settings, dataset


def trainer_of(items, **options):
    settings, dataset = planned(items, **options)
    return Trainer(InMemoryRun(settings, 1), dataset, quiet=True)


@pytest.fixture
def fifty_epochs(monkeypatch):
    """Trainings that choose their end within 50 epochs, for runs of seconds."""
    monkeypatch.setattr("lorae.config.datasets.LEAST_STEPS", 1)
    monkeypatch.setattr("lorae.training.until_stalled.LONGEST", 1)


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).normal(size=(60, 6)) * [3, 2, 1, 1, 1, 1]


@pytest.fixture(scope="module")
def parabola():
    t = np.random.default_rng(0).uniform(-1, 1, 150)
    return np.stack([t, t**2, t - t**2], axis=1)


@pytest.mark.parametrize("normalize", ["none", "scale", "coordinates"])
@pytest.mark.parametrize("rank", [1, 3, 6])
@pytest.mark.parametrize("init", ["identity", "orthogonal"])
def test_the_floor_is_the_pca_of_all_training_items(noise, rank, normalize, init):
    settings, dataset = planned(noise, normalize=normalize, rank=rank, vector_scale="none", matrix_init=init)
    model = pca_of(settings, dataset, rank)
    train, test = dataset.train.inputs, dataset.test.inputs
    expected = PCA(rank).fit(train)
    np.testing.assert_allclose(model.reconstruct(test), expected.inverse_transform(expected.transform(test)), atol=2e-4)
    assert model.matrix_rank() == model.spectrum(train).rank == rank


@pytest.mark.parametrize("items", [FEWEST, 60])
def test_the_start_has_not_seen_the_held_out_items(noise, items):
    settings, dataset = planned(noise[:items], vector_scale="none", test_fraction=0.2)
    _, aside = split_training_items(settings, dataset)
    assert len(aside) == -(-len(dataset.train) // 5)
    held = Folds(len(dataset.train), settings.split_seed).held(0)
    np.testing.assert_array_equal(dataset.train.inputs[held], aside)
    changed = dataset.train.inputs.copy()
    changed[held] *= 100
    other = dataclasses.replace(dataset, train=dataclasses.replace(dataset.train, inputs=changed))
    for one, two in zip(*(build_model(settings, each).parameters() for each in (dataset, other)), strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.usefixtures("fifty_epochs")
def test_a_network_that_fits_noise_ends_as_pca(noise, tmp_path, run_cli):
    np.save(tmp_path / "x.npy", noise)
    options = {"latent_dim": 2, "rank": 2, **FAST}
    words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    code, printed, _ = run_cli("train", tmp_path / "x.npy", "--out", tmp_path / "run", *words)
    assert code == 0
    assert "PCA of all training items (error" in " ".join(printed.split())
    evaluation = as_run(tmp_path / "run").evaluation()
    assert evaluation["stopping"]["floor"]["kept"] == "pca"
    assert evaluation["explained"]["mse"] == pytest.approx(evaluation["explained"]["pca_mse"], rel=1e-4)
    assert evaluation["rank"]["rank"] == 2


@pytest.mark.usefixtures("fifty_epochs")
def test_a_network_that_is_better_is_kept_with_a_fitted_linear_path(parabola):
    trainer = trainer_of(parabola, rank=1, latent_dim=1, **FAST)
    model, stopping = with_pca_floor(trainer, trainer.fit(), quiet=True)
    floor = stopping["floor"]
    assert floor["kept"] == "network"
    assert floor["error"] < floor["pca_error"]
    assert floor["items"] == 108  # four fifths of nine tenths of 150
    train = trainer.dataset.train.inputs
    before = model.reconstruct(train)
    refit_linear_path(model, train)  # already the least squares of all training items
    np.testing.assert_allclose(model.reconstruct(train), before, atol=1e-4)


@pytest.fixture
def heeds_interrupts():
    """Python's own handler of SIGINT, which a shell lets its background jobs ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("fifty_epochs", "heeds_interrupts")
def test_an_interruption_of_the_comparison_costs_nothing(parabola, tmp_path, monkeypatch):
    options = {"rank": 1, "latent_dim": 1, **FAST}
    better = Judgment(np.zeros(9), np.ones(9), np.ones(9))  # in place of networks that are trained anew
    with monkeypatch.context() as patch:
        patch.setattr(pca_floor, "_judged", lambda *_: signal.raise_signal(signal.SIGINT))
        with pytest.raises(Interrupted, match="compare it with PCA by `lorae resume"):
            lorae.train(parabola, out=tmp_path / "cut", quiet=True, **options)
    monkeypatch.setattr(pca_floor, "_judged", lambda *_: better)
    resumed = lorae.resume(tmp_path / "cut", data=parabola, quiet=True)
    trainer = trainer_of(parabola, **options)
    whole, stopping = with_pca_floor(trainer, trainer.fit(), quiet=True)
    assert resumed.evaluation()["stopping"] == stopping
    found = resumed.load_model().state_dict()
    for name, value in whole.state_dict().items():
        assert torch.equal(found[name], value)


@pytest.mark.usefixtures("fifty_epochs")
def test_too_few_items_to_judge_end_as_pca(noise):
    trainer = trainer_of(noise[: FEWEST - 1], rank=2, latent_dim=2, **FAST)
    model, stopping = with_pca_floor(trainer, trainer.fit(), quiet=True)
    assert stopping["floor"] == {"kept": "pca", "rank": 2}
    items = trainer.dataset.train.inputs
    np.testing.assert_allclose(
        model.reconstruct(items), pca_of(trainer.settings, trainer.dataset, 2).reconstruct(items)
    )


@pytest.mark.usefixtures("fifty_epochs")
def test_a_latent_that_a_penalty_empties_stays_empty(noise):
    trainer = trainer_of(noise, penalty=1e4, **FAST)
    model, stopping = with_pca_floor(trainer, trainer.fit(), quiet=True)
    assert model.matrix_rank() == 0
    assert "floor" not in stopping


@pytest.mark.parametrize(
    ("settings", "floor"),
    [
        ({}, True),
        ({"method": "lorae", "penalty": 1e-2}, True),
        ({"rank": 2, "normalize": "coordinates", "bottleneck": {"noise": 0.1}}, True),
        ({"epochs": 3}, False),
        ({"method": "ae"}, False),
        ({"method": "vae"}, False),
        ({"method": "irmae"}, False),
        ({"network": "mlp"}, False),
        ({"penalties": {"latent_l2": 1e-3}}, False),
    ],
)
def test_only_trainings_that_pca_is_a_model_of_have_the_floor(noise, settings, floor):
    assert has_pca_floor(planned(noise, **settings)[0], "vectors") == floor
    assert not has_pca_floor(planned(noise, **settings)[0], "images")
