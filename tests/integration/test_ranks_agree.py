"""The rank of a run, the width of its truncation and that of its export: every printout names them alike."""

import json
import re

import numpy as np
import pytest
import torch

import lorae
from lorae.cli.train import _finished
from lorae.evaluation.evaluator import evaluate_training
from lorae.metrics.spectrum import latent_spectrum
from tests.plotting.test_plots import BLUE, colours

FULL, RANK = 8, 3


@pytest.fixture(scope="module")
def run(vectors, small, tmp_path_factory):
    """A finished run whose M has all eight directions, three of which hold almost all variance, as Adam leaves them."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LORAE_CACHE", str(folder / "cache"))
        np.save(folder / "rows.npy", vectors)
        run = lorae.train(folder / "rows.npy", out=folder / "run", **small)
        model = run.load_model()
        values = torch.tensor([1.0] * RANK + [1e-3] * (FULL - RANK))
        with torch.no_grad():
            # A network that spreads the items over all coordinates, before M weakens most of them.
            output = model.encoder.output
            torch.nn.init.orthogonal_(output.weight)
            model.bottleneck.single_matrix().copy_(torch.diag(values))
        run.save_model(model)
        evaluate_training(run, model, lorae.load_data(folder / "rows.npy"))
        yield run


def named_ranks(text):
    """The numbers that a printout calls a rank."""
    return {int(found) for found in re.findall(r"\brank\s+(\d+)", text)}


@pytest.fixture
def rank(run):
    found = run.summary()["rank"]
    assert found < FULL == run.load_model().matrix_rank(1e-6)
    return found


@pytest.mark.usefixtures("blank_figures")
def test_truncate_and_export_name_the_rank_of_the_report_and_the_width_apart(run, rank, tmp_path, run_cli):
    printed = {}
    for name, words in {
        "truncate": ("truncate", run.path, "--out", tmp_path / "cut"),
        "export": ("export", run.path, "--out", tmp_path / "out"),
    }.items():
        code, printed[name], errors = run_cli(*words)
        assert (code, errors) == (0, "")
        line = " ".join(printed[name].split())
        assert f"latent width {FULL} of {FULL}; rank {rank} (directions with more than 0.001" in line
        assert f"--rank {rank} keeps those of the rank alone" in line
        assert named_ranks(line) == {rank}
    page = lorae.write_report(run).read_text()
    assert f"M has {FULL} directions" in page
    assert f"--rank {rank}" in page
    assert run_cli("spectrum", run.path)[1].startswith(f"rank {rank} of {FULL} at tolerance 0.001")


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.parametrize("command", ["truncate", "export"])
def test_a_cut_to_the_rank_says_that_it_is_the_rank(command, run, rank, tmp_path, run_cli):
    code, printed, _ = run_cli(command, run.path, "--rank", rank, "--out", tmp_path / "out")
    assert code == 0
    assert f"latent width {rank} of {FULL}, the rank (" in " ".join(printed.split())
    if command == "truncate":
        assert lorae.load(tmp_path / "out").spec.latent_dim == rank
        again = run_cli("export", tmp_path / "out", "--out", tmp_path / "again")[1]
        assert f"latent width {rank} of {FULL}, the rank (" in " ".join(again.split())


@pytest.mark.parametrize("format", ["safetensors", "onnx"])
def test_the_width_of_an_export_is_that_of_its_codes(format, run, tmp_path, run_cli):
    code, printed, _ = run_cli("export", run.path, "--format", format, "--rank", 2, "--out", tmp_path / "out", "--json")
    assert (code, json.loads(printed)["width"]) == (0, 2)


@pytest.mark.usefixtures("blank_figures")
def test_a_default_truncation_lies_beside_its_source_under_its_width(run):
    assert lorae.truncate(run).path == run.path.with_name(f"run-width{FULL}")


def test_a_chosen_rank_and_a_smaller_one_of_the_latents_are_told_apart(run, rank, monkeypatch):
    tried = [{"rank": FULL, "mse": 0.1, "accepted": True}]
    run.add_to_evaluation({"schedule": {"rank": FULL, "mse": 0.1, "bound": 0.2, "reached": True, "tried": tried}})
    try:
        _, shown = _finished(run)
        (line,) = (line for line in shown if isinstance(line, str) and "directions of M" in line)
        assert f"{rank} of the {FULL} directions of M hold more than 0.001 of the largest variance" in line
        page = lorae.write_report(run).read_text()
        assert f"The rank that was chosen, {FULL}, is that of M; {rank} of its directions hold more than 0.001" in page
    finally:
        run.add_to_evaluation({"schedule": None})


# Fewer items than coordinates


def test_items_span_one_direction_less_than_their_number():
    """The cliff at the number of items is of the items, not of the latents: 30 normal items in 40 directions."""
    latents = np.random.default_rng(0).standard_normal((30, 40))
    found = latent_spectrum(latents, "test")
    assert (found.eigenvalues[29:] < 1e-10).all()
    assert found.eigenvalues[28] > 1e-3
    assert found.limited
    assert not latent_spectrum(latents * ([1] * 5 + [0] * 35), "test").limited  # five directions are all there are
    assert not latent_spectrum(np.random.default_rng(0).standard_normal((41, 40)), "test").limited


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.parametrize(("test", "split"), [(6, "train"), (50, "test")])
def test_training_items_are_measured_where_test_items_are_too_few(test, split, vectors, small, tmp_path, run_cli):
    np.savez(tmp_path / "rows.npz", train=vectors[:70], test=vectors[70 : 70 + test])
    run = lorae.train(tmp_path / "rows.npz", out=tmp_path / "run", **small)
    found = run.evaluation()["rank"]
    assert (found["split"], found["n"]) == (split, 70 if split == "train" else test)
    assert found["rank"] == lorae.spectrum(run).rank
    assert lorae.evaluate(run, only=["rank"], quiet=True, bootstrap=3)["rank"]["split"] == split
    assert f"{'training' if split == 'train' else 'test'} data" in " ".join(map(str, _finished(run)[1]))


def test_a_curve_ends_with_the_directions_of_its_items_and_says_so(vectors, small, tmp_path):
    np.savez(tmp_path / "rows.npz", train=vectors[:6], test=vectors[6:9])
    run = lorae.train(tmp_path / "rows.npz", out=tmp_path / "run", **small | {"batch_size": 2})
    page = lorae.write_report(run).read_text()
    assert "As many vectors span at most 5 of the 8 directions" in page
    assert (run.path / "figures" / "spectrum.png").read_bytes().startswith(b"\x89PNG")
    assert BLUE in colours(run.path / "figures" / "spectrum.png")
    ranks = [record["rank"] for record in run.stats("epoch")]
    assert all(rank is None or rank < 2 for rank in ranks)  # three items cannot show a rank of two
