"""Every row of the zoo, by the same tests."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

import lorae
from lorae.config.methods import METHODS, TERMS, weight_names
from lorae.config.resolution import resolve
from lorae.config.settings import Settings
from lorae.data import DataSettings, load_data
from lorae.optim.proximal_adam import ProximalAdam
from lorae.penalties import penalty_names
from lorae.training.builders import build_model, build_objective
from lorae.training.step import EagerStep, build_optimizers

pytestmark = pytest.mark.usefixtures("blank_figures")

WEIGHTED = [(method.name, name) for method in METHODS.values() for name in method.weights if name != "unused_codes"]


def settings(method, **values):
    base = Settings(method=method, latent_dim=8, width=0.125, epochs=1, precision="float32", device="cpu", **values)
    return resolve(base, "images", (1, 16, 16))


@pytest.fixture(scope="module")
def dataset(images):
    return load_data(DataSettings(), images)


def weights_after_a_step(resolved, dataset):
    torch.manual_seed(0)
    model = build_model(resolved, dataset)
    objective = build_objective(resolved, model)
    step = EagerStep(objective, build_optimizers(objective, 1e-3), torch.contiguous_format)
    # Plain gradients: Adam's first step would hide the size of a weight.
    # Proximal steps on M are its optimizer's own.
    optimizers: list[Any] = [
        built if isinstance(built, ProximalAdam) else torch.optim.SGD(target.parameters, lr=0.1)
        for target, built in zip(step.targets, step.optimizers, strict=True)
    ]
    step.optimizers = optimizers
    for each in step.optimizers:
        if isinstance(each, ProximalAdam):
            each.weight.fill_(resolved.penalties["nuclear"])
    step(torch.from_numpy(dataset.train.inputs[:16]))
    for each in step.optimizers:
        if isinstance(each, ProximalAdam):
            each.shrink()
    parts = [*model.parameters(), *objective.modules.parameters()]
    return torch.cat([parameter.detach().flatten() for parameter in parts])


@pytest.mark.parametrize(("method", "name"), WEIGHTED)
def test_changing_a_weight_changes_an_update(method, name, dataset):
    plain = settings(method)
    changed = settings(method, penalties={name: 3 * METHODS[method].weights[name] + 1e-3})
    assert not torch.equal(weights_after_a_step(plain, dataset), weights_after_a_step(changed, dataset))


@pytest.mark.parametrize("method", METHODS)
def test_a_seed_fixes_a_step(method, dataset):
    resolved = settings(method)
    assert torch.equal(weights_after_a_step(resolved, dataset), weights_after_a_step(resolved, dataset))


@pytest.mark.parametrize(
    "method", ["vae", "wae", "wae-gan", "ns-gan", "vq-vae", "rrae", "nested", "dae", "rae-sn", "lorae+"]
)
def test_an_interrupted_run_of_what_has_state_or_chance_resumes_to_the_same_weights(
    method, image_file, small, tmp_path, train_until
):
    options = small | {"penalty": None, "epochs": 3, "checkpoint_every": 4}
    whole = lorae.train(image_file, method=method, out=tmp_path / "whole", **options)
    train_until(11, image_file, method=method, out=tmp_path / "broken", **options)
    resumed = lorae.resume(tmp_path / "broken", quiet=True)
    ours, theirs = (lorae.load(run).state_dict() for run in (whole, resumed))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("method", METHODS)
def test_rows_say_what_they_are(method):
    row = METHODS[method]
    assert row.summary
    assert row.source
    assert row.objective
    assert row.main is None or row.main in row.weights
    assert set(row.weights) <= set(weight_names())


def test_terms_and_penalties_have_different_names():
    assert not set(TERMS) & set(penalty_names())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"method": "vae", "bottleneck": {"rank": 3}}, "bottleneck.rank: method 'vae' has no such option"),
        ({"method": "ae", "penalties": {"kl": 1.0}}, "penalties.kl: method 'ae' has no such term"),
        ({"method": "gan", "penalties": {"l1": 1.0}}, "penalties.l1: method 'gan' has no such term"),
        ({"method": "gan", "penalty": 1.0}, "method 'gan' has no penalty of its own"),
    ],
)
def test_settings_that_a_method_does_not_have(values, message):
    with pytest.raises(lorae.LoraeError, match=message):
        resolve(Settings(**values), "images", (1, 16, 16))


def test_sizes_of_a_bottleneck_reach_it(image_file, small, tmp_path):
    options = small | {"penalty": None, "bottleneck": {"rank": 3}}
    run = lorae.train(image_file, method="diabolo", out=tmp_path / "run", **options)
    assert np.linalg.matrix_rank(lorae.load(run).bottleneck.matrix().detach().numpy()) == 3
    assert run.summary()["rank"] <= 3
    assert dataclasses.asdict(lorae.load(run).spec)["bottleneck_options"] == {"rank": 3}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_sampled_measured_and_interpolated(method, image_file, small, tmp_path):
    run = lorae.train(image_file, method=method, out=tmp_path / "run", **small | {"penalty": None, "epochs": 1})
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(256, 2))
    found = lorae.evaluate(run, only="fid,prdc", features=module, n=50, draws=1, components=2, quiet=True)
    prior, encodes = METHODS[method].prior, METHODS[method].encodes
    expected = {"floor"} | ({"prior"} if prior else set())
    expected |= {"gaussian", "mixture", "reconstructions"} if encodes else set()
    assert set(found["fid"]) == set(found["prdc"]) - {"protocol"} == expected
    assert all(np.isfinite(found["fid"][part]["value"]) for part in expected)
    assert lorae.sample(run, 3).shape == (3, 1, 16, 16)
    if encodes:
        assert lorae.interpolate(run, pairs=2, steps=3)["linear"].shape == (2, 3, 1, 16, 16)
