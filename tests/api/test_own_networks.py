"""Runs with networks of the user: every command, and the files of a run folder."""

import json
import shutil

import numpy as np
import pytest
import torch
from torch import nn

import lorae
from lorae.cli import main
from lorae.config.methods import METHODS
from lorae.errors import LoraeError
from lorae.runs import Run
from lorae.training.builders import build
from tests.edited_records import read_edited

pytestmark = [
    pytest.mark.filterwarnings("ignore::lorae.errors.ExplainedVarianceWarning"),
    pytest.mark.usefixtures("blank_figures"),
]

SOURCE = '''
from dataclasses import dataclass
from math import prod
from pathlib import Path

from torch import nn

Path("imported").touch()


@dataclass
class Shape:
    sides: "tuple[int, ...]"


def build(shape, latent_dim):
    """Return an encoder and a decoder of two linear layers."""
    size = prod(Shape(shape).sides)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(size, 8), nn.ReLU(), nn.Linear(8, latent_dim))
    decoder = nn.Sequential(nn.Linear(latent_dim, 8), nn.ReLU(), nn.Linear(8, size), nn.Unflatten(1, shape))
    return encoder, decoder
'''
FAST = {"epochs": 1, "batch_size": 16, "latent_dim": 4, "quiet": True}


def pair(shape, latent_dim=4):
    namespace: dict = {}
    exec(SOURCE.replace('Path("imported").touch()', "").replace('"tuple[int, ...]"', "tuple"), namespace)
    return namespace["build"](shape, latent_dim)


def numbers(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of a file's networks on signals, its data, and the folder of both."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "nets.py").write_text(SOURCE)
    np.save(folder / "signals.npy", numbers(60, 2, 10))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        lorae.train("signals.npy", network="nets.py:build", method="lorae+", penalty=1e-3, out="run", **FAST)
    return folder


@pytest.fixture
def folder(trained, tmp_path, monkeypatch):
    """A folder of its own for a test, with copies of the run and the data."""
    shutil.copytree(trained / "run", tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    return tmp_path


SHAPES = {
    "signals": numbers(30, 3, 16),
    "volumes": numbers(30, 1, 4, 5, 6),
    "images of odd sides": np.random.default_rng(0).integers(0, 256, (30, 3, 11, 13)).astype(np.uint8),
}


@pytest.mark.parametrize("kind", SHAPES)
def test_items_of_any_shape_are_trained_loaded_and_sampled(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    items = SHAPES[kind]
    encoder, decoder = pair(items.shape[1:])
    run = lorae.train(items, encoder=encoder, decoder=decoder, method="lorae+", out="run", **FAST)
    again = lorae.load("run", encoder=encoder, decoder=decoder)
    assert again.encode(items).shape == (30, 4)
    np.testing.assert_array_equal(again.encode(items), lorae.load(run).encode(items))
    assert again.reconstruct(items).shape == items.shape
    assert lorae.sample(run, 5, data=items).shape == (5, *items.shape[1:])


@pytest.mark.parametrize("method", METHODS)
def test_every_method_builds_on_networks_of_the_user(method):
    from lorae.config.resolution import resolve
    from lorae.config.settings import Settings
    from lorae.data import Dataset, Split
    from lorae.models.own_networks import OwnNetworks
    from lorae.training.builders import check_objective

    dataset = Dataset("signals", Split(numbers(20, 2, 6)), Split(numbers(5, 2, 6)), "", "", tensors=True)
    settings = Settings(method=method, network="modules", latent_dim=4, device="cpu", precision="float32")
    settings = resolve(settings, dataset.kind, dataset.shape)
    objective = build(settings, dataset, OwnNetworks.from_modules(*pair((2, 6))))
    check_objective(objective, dataset)
    assert objective.model.parameter_counts()["decoder"] > 0


def test_signals_are_standardized_by_channels(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the file of the networks leaves a mark where it is imported
    model = lorae.load(trained / "run", trust_code=True)
    dataset = Run(trained / "run").config["data"]
    assert dataset["kind"] == "tensors"
    assert dataset["shape"] == [2, 10]
    train = lorae.load_data(trained / "signals.npy", kind="tensors").train.inputs
    scaled = model.scaling(torch.from_numpy(train))
    torch.testing.assert_close(scaled.mean((0, 2)), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(scaled.std((0, 2), correction=0), torch.ones(2), atol=1e-5, rtol=0)


def test_a_file_is_copied_with_its_hash_and_imported_only_with_permission(folder, capsys):
    record = json.loads((folder / "run" / "config.json").read_text())["network"]
    assert record["name"] == "nets.py:build"
    assert (folder / "run" / "network" / "nets.py").read_text() == SOURCE
    assert main(["sample", "run"]) == 2
    message = capsys.readouterr().err
    assert "--trust-code" in message
    assert message.count("\n") == 1
    assert not (folder / "imported").exists()
    assert main(["sample", "run", "--trust-code"]) == 0
    assert (folder / "imported").exists()


@pytest.mark.parametrize(
    "command",
    ["resume run", "evaluate run --only reconstruction", "spectrum run", "reconstruct run", "truncate run --rank 2",
     "export run", "report run"],
)  # fmt: skip
def test_commands_take_such_a_run(command, folder, capsys):
    trust = [] if command.startswith("report") else ["--trust-code"]
    assert main([*command.split(), *trust]) == 0, capsys.readouterr().err


def test_an_interrupted_run_continues_from_the_copy_of_its_file(folder):
    for name in ("model.json", "model.safetensors"):
        (folder / "run" / name).unlink()
    with pytest.raises(LoraeError, match="trust_code"):
        lorae.resume("run", quiet=True)
    assert lorae.resume(Run("run", trust_code=True), quiet=True).finished


@pytest.mark.parametrize("how", ["trusted", "modules"])
def test_an_interrupted_truncation_continues_with_the_same_permissions(how, folder, monkeypatch):
    networks = (
        {"trust_code": True} if how == "trusted" else dict(zip(("encoder", "decoder"), pair((2, 10)), strict=True))
    )

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("lorae.evaluation.evaluator.evaluate_training", stop)
        with pytest.raises(KeyboardInterrupt, match="lorae resume cut"):
            lorae.truncate(Run("run", **networks), 2, "cut")
    assert lorae.resume(Run("cut", **networks)).finished
    whole = lorae.truncate(Run("run", **networks), 2, "whole")
    assert (whole.path / "model.safetensors").read_bytes() == (folder / "cut" / "model.safetensors").read_bytes()


def test_a_changed_file_is_refused(folder):
    with (folder / "run" / "network" / "nets.py").open("a") as file:
        file.write("# changed\n")
    with pytest.raises(LoraeError, match=r"has SHA-256 .* it has changed since the training"):
        lorae.load("run", trust_code=True)
    assert not (folder / "imported").exists()


def test_a_record_cannot_name_a_file_outside_of_the_run(folder):
    config = read_edited(folder / "run" / "config.json")
    config["network"]["files"] = {"../../evil.py": "0" * 64}
    (folder / "evil.py").write_text("raise SystemExit")
    (folder / "run" / "config.json").write_text(json.dumps(config))
    with pytest.raises(LoraeError, match="has SHA-256"):
        lorae.load("run", trust_code=True)


def test_modules_of_another_structure_are_refused_in_one_line(folder):
    encoder, decoder = pair((2, 10))
    encoder[1] = nn.Linear(20, 9)
    encoder[3] = nn.Linear(9, 4)
    with pytest.raises(LoraeError, match=r"has shape \(8, 20\) there, \(9, 20\) in the model") as caught:
        lorae.load("run", encoder=encoder, decoder=decoder)
    assert "\n" not in str(caught.value)


def test_a_config_does_not_import_the_file_that_it_names(folder):
    with pytest.raises(LoraeError, match="pass it again as network="):
        lorae.plan(numbers(20, 2, 10), config="run/config.json")
    assert not (folder / "imported").exists()


def test_modules_and_a_built_in_network_are_not_confused(folder):
    encoder, decoder = pair((2, 10))
    with pytest.raises(LoraeError, match="beside encoder and decoder"):
        lorae.plan(numbers(20, 2, 10), encoder=encoder, decoder=decoder, network="mlp")
    with pytest.raises(LoraeError, match="decoder: got nothing"):
        lorae.plan(numbers(20, 2, 10), encoder=encoder)
    with pytest.raises(LoraeError, match="expected the modules"):
        lorae.plan(numbers(20, 9), network="modules")


def test_an_exported_model_is_loaded_into_modules_of_its_structure(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, signals = trained / "run", np.load(trained / "signals.npy")
    folder = lorae.export_run(Run(path, trust_code=True), out=tmp_path / "exported")
    assert "encoder=encoder, decoder=decoder" in (folder / "README.md").read_text()
    encoder, decoder = pair((2, 10))
    model = lorae.from_pretrained(folder, encoder=encoder, decoder=decoder)
    expected = lorae.load(path, trust_code=True)
    np.testing.assert_allclose(model.reconstruct(signals), expected.reconstruct(signals), atol=1e-5)
    with pytest.raises(LoraeError, match="needs these networks"):
        lorae.from_pretrained(folder)
