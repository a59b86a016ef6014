import json
import re
import shutil

import numpy as np
import pytest
import torch

import lorae
from lorae.api.truncation import describe_truncation
from lorae.errors import LoraeError
from lorae.runs.run import Run
from tests.edited_records import read_edited
from tests.models.test_truncation import METHODS_TO_CUT

pytestmark = pytest.mark.usefixtures("blank_figures")


class Corners(torch.nn.Module):
    """Three features of an image: few enough for the covariance of few items."""

    def forward(self, x):
        return torch.stack([x[..., :8, :8].mean((1, 2, 3)), x[..., 8:, 8:].mean((1, 2, 3)), x.amax((1, 2, 3))], 1)


FEW = {"n": 60, "draws": 1, "bootstrap": 5, "labels": "4,all", "seeds": 2, "max_steps": 5, "components": 2}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LORAE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        yield


@pytest.fixture(scope="module")
def labelled(images, small, cache, tmp_path_factory):
    """A finished LoRAE+ run on squares whose size is their label."""
    folder = tmp_path_factory.mktemp("labelled")
    sizes = (images.reshape(len(images), -1).astype(bool).sum(1) > 20).astype(np.int64)
    splits = {"train": images[:64], "test": images[64:], "train_labels": sizes[:64], "test_labels": sizes[64:]}
    np.savez(folder / "squares.npz", **splits)
    return lorae.train(folder / "squares.npz", out=folder / "run", method="lorae+", **small)


@pytest.fixture(scope="module")
def cut_runs(labelled):
    """Truncated runs of rank 1 and 3."""
    return {rank: lorae.truncate(labelled, rank) for rank in (1, 3)}


def training_items(run):
    return lorae.load_data(run.settings.data).train.inputs


def test_a_truncated_run_is_a_finished_run_beside_its_source(labelled, cut_runs):
    run = cut_runs[3]
    assert isinstance(run, Run)
    assert run.path == labelled.path.with_name("run-rank3")
    assert run.finished
    assert lorae.resume(run) is run
    assert lorae.load(run).spec.latent_dim == 3
    assert list(run.stats()) == list(labelled.stats())
    changed = {name for name in run.config if run.config[name] != labelled.config.get(name)}
    assert changed == {"command", "parameters", "truncated"}
    assert run.config["parameters"] == lorae.load(run).parameter_counts()
    truncated, model = run.config["truncated"], lorae.load(labelled)
    assert (truncated["from"], truncated["rank"], truncated["latent_dim"]) == (str(labelled.path), 3, 8)
    found = truncated["standard_deviations"]
    variances = model.spectrum(training_items(labelled)).eigenvalues
    np.testing.assert_allclose(np.square(found["kept"] + found["dropped"]), variances, rtol=1e-4, atol=1e-9)
    assert len(found["kept"]) == 3
    assert truncated["dropped_variance"] == pytest.approx(1 - variances[:3].sum() / variances.sum(), abs=1e-6)


def test_it_is_measured_anew(labelled, cut_runs):
    run = cut_runs[3]
    evaluation = run.evaluation()
    model = lorae.load(labelled).truncate(training_items(labelled), 3)
    test = lorae.load_data(labelled.settings.data).test.inputs
    assert evaluation["reconstruction"]["mse"] == pytest.approx(model.squared_error(test), rel=1e-5)
    np.testing.assert_allclose(evaluation["rank"]["eigenvalues"], model.spectrum(test).eigenvalues, rtol=1e-4)
    assert evaluation["rank"]["matrix_rank"] is None
    assert run.figure_path("spectrum").is_file()
    assert run.figure_path("reconstructions").is_file()


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_test_items_lose_less_than_along_the_singular_vectors_of_the_matrix(rank, labelled):
    model = lorae.load(labelled)
    test = lorae.load_data(labelled.settings.data).test.inputs
    U, _, _ = np.linalg.svd(model.bottleneck.matrix().detach().double().numpy())
    axes, latents, mean = U[:, :rank], model.encode(test), model.encode(training_items(labelled)).mean(axis=0)
    by_matrix = mean + (latents - mean) @ axes @ axes.T
    cut = model.find_truncation(training_items(labelled), rank)
    axes = cut.axes.numpy()
    by_variance = mean + (latents - mean) @ axes @ axes.T
    assert np.square(by_variance - latents).sum() <= np.square(by_matrix - latents).sum()
    pixels = test / 255
    expected = np.square(model.decode(by_matrix.astype(np.float32)) - pixels).mean()
    assert model.truncated(cut).squared_error(test) <= expected * (1 + 1e-3)


def test_the_axes_are_those_of_training_items_from_all_over(labelled, tmp_path, monkeypatch):
    monkeypatch.setattr("lorae.api.finishing.KEPT", 20)
    earlier = shutil.copytree(labelled.path, tmp_path / "earlier")
    (earlier / "encoder_outputs.safetensors").unlink()  # a run of an earlier version has none
    run = lorae.truncate(earlier, 2, tmp_path / "cut")
    items = training_items(labelled)
    expected = lorae.load(labelled).truncate(items[:: len(items) // 20], 2)
    for name, value in lorae.load(run).state_dict().items():
        assert torch.equal(value, expected.state_dict()[name]), name


def test_the_report_says_what_it_is(labelled, cut_runs):
    page = (cut_runs[3].path / "report.html").read_text()
    text = " ".join(re.sub("<[^>]*>", " ", page).split())
    rank = cut_runs[3].evaluation()["rank"]["rank"]
    assert f"Rank {rank} of 3 The latent" in text
    assert f"from {labelled.path}, 8 to 3 latent coordinates" in text
    assert "lorae truncate" in text


def test_the_default_keeps_the_error(labelled, tmp_path):
    run = lorae.truncate(labelled, out=tmp_path / "small")
    described = describe_truncation(run)
    assert described["after"]["test_mse"] == pytest.approx(described["before"]["test_mse"], rel=1e-5)
    assert described["rank"] == lorae.load(labelled).matrix_rank(1e-6)


def test_two_truncations_are_the_same_to_the_byte(labelled, cut_runs, tmp_path):
    again = lorae.truncate(str(labelled.path), 3, tmp_path / "again")
    for name in ("model.safetensors", "model.json", "stats.jsonl", "evaluation.json"):
        assert (again.path / name).read_bytes() == (cut_runs[3].path / name).read_bytes(), name


@pytest.mark.parametrize("rank", [1, 3])
def test_every_tool_takes_a_truncated_run(rank, labelled, cut_runs, tmp_path):
    run = cut_runs[rank]
    assert len(lorae.spectrum(run).eigenvalues) == rank
    assert lorae.reconstruct(run).is_file()
    for sampler in ("gaussian", "mixture", "prior"):
        assert lorae.sample(run, 5, sampler=sampler, components=2).shape == (5, 1, 16, 16)
    assert lorae.interpolate(run, pairs=2, steps=3)["linear"].shape == (2, 3, 1, 16, 16)
    rows = lorae.compare([labelled, run], tmp_path / "page.html")
    assert [row["run"] for row in rows] == [str(labelled.path), str(run.path)]
    assert lorae.write_report(run).is_file()
    assert (lorae.export_run(run, out=tmp_path / "exported") / "model.safetensors").is_file()


def test_a_truncated_run_can_be_measured_by_every_measure(cut_runs, tmp_path):
    run = Run(shutil.copytree(cut_runs[3].path, tmp_path / "run"))  # what is measured is added to its files
    measured = lorae.evaluate(run, features=Corners(), quiet=True, **FEW)
    assert {"reconstruction", "rank", "dimension", "fid", "kid", "prdc", "probe", "classification"} <= set(measured)
    assert len(measured["rank"]["eigenvalues"]) == 3
    assert measured["rank"]["matrix_ranks"] is None
    again = lorae.evaluate(run, only="classification,supervised", quiet=True, protocol="authors_code", **FEW)
    assert again["supervised"]["protocol"]["latent_dim"] == 3


@pytest.mark.parametrize("method", METHODS_TO_CUT)
def test_runs_on_vectors_of_every_method_are_cut(method, vectors, small, tmp_path):
    settings = {name: value for name, value in small.items() if name != "penalty"}
    run = lorae.train(vectors, out=tmp_path / "run", method=method, **settings | {"latent_dim": 4, "epochs": 1})
    assert lorae.truncate(run, out=tmp_path / "without").summary()["test_mse"] is None
    cut = lorae.truncate(run, data=vectors)
    described = describe_truncation(cut)
    assert described["after"]["test_mse"] == pytest.approx(described["before"]["test_mse"], rel=1e-4)
    assert lorae.sample(cut, 5, data=vectors).shape == (5, 6)
    assert lorae.evaluate(cut, data=vectors, quiet=True, **FEW)["fid"]["gaussian"]["value"] >= 0
    assert "lorae.truncate(" in cut.config["command"]


# The command line


def test_the_command_prints_sizes_before_and_after(labelled, tmp_path, run_cli):
    code, printed, errors = run_cli("truncate", labelled.path, "--rank", 2, "--out", tmp_path / "a", "--json")
    assert (code, errors) == (0, "")
    result = json.loads(printed)
    assert result["run"] == str(tmp_path / "a")
    assert (result["rank"], result["latent_dim"]) == (2, 8)
    before, after = result["before"], result["after"]
    assert before["parameters"] == lorae.load(labelled).parameter_counts()
    assert after["parameters"] == lorae.load(tmp_path / "a").parameter_counts()
    assert before["bytes"] > after["bytes"] == (tmp_path / "a" / "model.safetensors").stat().st_size
    assert before["test_mse"] == labelled.summary()["test_mse"]
    code, printed, _ = run_cli("truncate", labelled.path, "--out", tmp_path / "b")
    assert code == 0
    for words in ("encoder parameters", "bytes", "test error", str(tmp_path / "b")):
        assert words in printed


def test_the_command_in_the_config_makes_the_run_again(labelled, cut_runs):
    trained, cut = cut_runs[3].config["command"].split(" && ")
    assert trained == labelled.config["command"]
    assert cut == f"lorae truncate {labelled.path} --rank 3 --out {cut_runs[3].path}"


BAD_INPUT = {
    "too large": (["--rank", "9"], "rank: got '9', expected a whole number of at least 1 and at most 8 (from --rank)"),
    "too small": (["--rank", "0"], "rank: got '0'"),
    "negative": (["--rank", "-2"], "rank: got '-2'"),
    "no number": (["--rank", "few"], "rank: got 'few'"),
    "unknown option": (["--ranks", "3"], "did you mean --rank"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_line_and_exit_code_2_and_makes_no_run(case, labelled, tmp_path, run_cli):
    words, expected = BAD_INPUT[case]
    code, printed, errors = run_cli("truncate", labelled.path, "--out", tmp_path / "out", *words)
    assert (code, printed) == (2, "")
    assert errors.startswith("lorae: ")
    assert errors.count("\n") == 1
    assert expected in errors
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten_and_nothing_is_cut_twice(labelled, cut_runs, run_cli):
    code, _, errors = run_cli("truncate", labelled.path, "--rank", 3)
    assert code == 2
    assert "exists and is never overwritten" in errors
    for words in (("truncate", cut_runs[3].path), ("export", cut_runs[3].path, "--rank", 2)):
        code, _, errors = run_cli(*words)
        assert code == 2
        assert f"is truncated already, to rank 3; cut the run that it came from anew: {str(labelled.path)!r}" in errors


def test_a_method_without_a_matrix_is_refused(image_file, small, tmp_path, run_cli):
    settings = {name: value for name, value in small.items() if name != "penalty"}
    run = lorae.train(image_file, out=tmp_path / "run", method="ae", **settings | {"epochs": 1})
    code, _, errors = run_cli("truncate", run.path)
    assert code == 2
    assert "has no matrix M to cut, expected a model of one of the methods irmae, lorae" in errors
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("again", [lambda run, out: lorae.resume(out), lambda run, out: lorae.truncate(run, 2, out)])
def test_an_interrupted_truncation_is_made_anew_by_either_command(again, labelled, cut_runs, tmp_path, monkeypatch):
    interrupt_truncation(labelled, tmp_path / "cut", monkeypatch)
    assert not Run(tmp_path / "cut").finished
    made = again(labelled, tmp_path / "cut")
    assert made.finished
    whole = lorae.truncate(labelled, 2, tmp_path / "whole")
    weights = [(run.path / "model.safetensors").read_bytes() for run in (made, whole)]
    assert weights[0] == weights[1]


def test_another_truncation_does_not_take_the_place_of_an_interrupted_one(labelled, tmp_path, monkeypatch):
    interrupt_truncation(labelled, tmp_path / "cut", monkeypatch)
    with pytest.raises(LoraeError, match="exists and is never overwritten"):
        lorae.truncate(labelled, 3, tmp_path / "cut")
    config = tmp_path / "cut" / "config.json"
    config.write_text(config.read_text().replace(str(labelled.path), "moved"))
    edited = read_edited(config)
    config.write_text(json.dumps(edited))
    with pytest.raises(LoraeError, match=r"was being cut from 'moved', which is not here; run the command"):
        lorae.resume(tmp_path / "cut")


def interrupt_truncation(run, out, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("lorae.evaluation.evaluator.evaluate_training", stop)
        with pytest.raises(KeyboardInterrupt, match="measure it with `lorae resume"):
            lorae.truncate(run, 2, out)


def test_kept_arrays_of_another_shape_are_refused_in_one_line(labelled, tmp_path, run_cli):
    run = Run(shutil.copytree(labelled.path, tmp_path / "run"))
    for shape in ((10, 3), (10,)):
        run.keep("encoder_outputs", np.zeros(shape, np.float32))
        code, _, errors = run_cli("truncate", run.path)
        assert code == 2
        assert errors.count("\n") == 1
        assert f"its shape is {shape}, expected (n, 8)); delete it" in errors
    (run.path / "encoder_outputs.safetensors").unlink()
    assert run_cli("truncate", run.path)[0] == 0
    run.keep("reference_items", np.zeros((4, 3, 9, 9), np.uint8))
    with pytest.raises(LoraeError, match=r"reference_items.* expected \(n, 1, 16, 16\)"):
        run.reference_items(run.load_model())


def test_a_run_called_dot_gets_a_neighbour(labelled, tmp_path, monkeypatch):
    shutil.copytree(labelled.path, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    assert lorae.truncate(".", 2).path == tmp_path / "here-rank2"


def test_the_prior_is_as_wide_as_the_code(cut_runs):
    assert lorae.sample(cut_runs[1], 3, sampler="prior").shape[0] == 3
