"""Sweeps in this process: grids and sampled ones, seeds, pruning, failures, continuation, messages."""

import json
import re
import sys
import warnings

import numpy as np
import optuna
import pytest

import lorae
from lorae.errors import LoraeError
from lorae.runs import Run
from lorae.runs.trial import read_outcome
from lorae.sweeps import storage
from lorae.sweeps.definition import SweepFolder
from lorae.sweeps.results import dominates, read_records
from lorae.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("blank_figures")


class Killed(BaseException):
    """The death of a worker at a step."""


def dying_at(monkeypatch, dies):
    """Let workers die at the steps for which `dies(trainer)` is true."""
    take = Trainer._one_step

    def take_or_die(self):
        if dies(self):
            raise Killed
        take(self)

    monkeypatch.setattr(Trainer, "_one_step", take_or_die)


def states(sweep):
    return [record["state"] for record in sweep.trials]


def test_a_grid_trains_every_combination_once_as_a_run(searched):
    assert states(searched) == ["complete"] * 4
    found = {(record["parameters"]["penalty"], record["parameters"]["latent_dim"]) for record in searched.trials}
    assert found == {(1e-3, 2), (1e-3, 3), (1e-1, 2), (1e-1, 3)}
    for record in searched.trials:
        run = searched.run(record["number"])
        assert run.finished
        assert run.settings.latent_dim == record["parameters"]["latent_dim"]
        assert run.settings.holdout == 10  # a tenth of the training items: no test item decides
        assert run.evaluation()["reconstruction"]["mse"] == record["measured"]["error"]
        assert read_outcome(run.path)["state"] == "complete"
    assert [row["test_mse"] for row in lorae.compare(sorted((searched.path / "trials").iterdir()), searched.path / "c")]


def test_the_best_setting_is_that_of_the_smallest_error(searched):
    errors = {record["number"]: record["measured"]["error"] for record in searched.trials}
    (best,) = searched.best
    assert best.trials[0]["number"] == min(errors, key=errors.get)
    assert f"--latent-dim {best.parameters['latent_dim']}" in searched.command
    assert "--holdout" not in searched.command


def test_the_frontier_is_of_settings_that_no_other_dominates(searched):
    points = [(record["measured"]["rank"], record["measured"]["error"]) for record in searched.trials]
    expected = sorted({point for point in points if not any(dominates(other, point) for other in points)})
    assert [(s.mean("rank"), s.mean("error")) for s in searched.frontier] == expected


def test_the_same_call_again_trains_nothing(searched, table_file, fast, monkeypatch):
    dying_at(monkeypatch, lambda trainer: True)
    again = lorae.sweep(str(table_file), penalty=[1e-3, 1e-1], latent_dim="2,3", out=searched.path, **fast)
    assert again.trials == searched.trials
    assert lorae.sweep(resume=searched.path, quiet=True, workers=1).trials == searched.trials


def test_a_folder_of_another_sweep_is_refused(searched, table_file, fast):
    with pytest.raises(LoraeError, match=r"sweep with other settings: penalty .*0\.1.* there, .*0\.2"):
        lorae.sweep(str(table_file), penalty=[1e-3, 2e-1], latent_dim="2,3", out=searched.path, **fast)
    with pytest.raises(LoraeError, match=r"latent_dim: given beside resume"):
        lorae.sweep(resume=searched.path, latent_dim=3)
    with pytest.raises(LoraeError, match="is no sweep"):
        lorae.sweep(resume=searched.path / "trials")
    assert not (searched.path / "trials" / "locks").exists()
    with pytest.raises(LoraeError, match="exists and is no sweep"):
        lorae.sweep(str(table_file), penalty="1,2", out=searched.path / "trials", **fast)


def test_a_sampled_sweep_gives_every_setting_its_seeds(table_file, fast, tmp_path):
    options = {"penalty": "1e-4:1e-1:log", "latent_dim": "1:3", "seeds": "0,5", "trials": 7, "pruner": "none"}
    found = lorae.sweep(str(table_file), out=tmp_path / "s", **options, **fast)
    assert states(found) == ["complete"] * 6  # 7 leaves one over
    seeds: dict[str, list[int]] = {}
    for record in found.trials:
        seeds.setdefault(json.dumps(record["parameters"]), []).append(record["seed"])
        assert 1e-4 <= record["parameters"]["penalty"] <= 1e-1
    assert list(seeds.values()) == [[0, 5]] * 3
    (best,) = found.best
    assert best.mean("error") == np.mean([trial["measured"]["error"] for trial in best.trials])
    more = lorae.sweep(resume=tmp_path / "s", trials=8, workers=1, quiet=True)
    assert [record["number"] for record in more.trials] == list(range(8))
    assert more.trials[:6] == found.trials


def test_a_death_is_continued_from_its_checkpoint_with_the_same_result(table_file, fast, tmp_path, monkeypatch):
    settings = {"penalty": "1e-3,1e-1", "checkpoint_every": 2, **fast, "network": "mlp", "width": 0.1}
    whole = lorae.sweep(str(table_file), out=tmp_path / "whole", **settings)
    with monkeypatch.context() as patch:
        dying_at(patch, lambda trainer: trainer.step == 5)
        with pytest.raises(Killed):
            lorae.sweep(str(table_file), out=tmp_path / "dies", **settings)
    assert [record["state"] for record in read_records(SweepFolder(tmp_path / "dies"))] == []
    first_steps = []
    take = Trainer._one_step
    monkeypatch.setattr(
        Trainer, "_one_step", lambda self: first_steps.append((self.run.path.name, self.step)) or take(self)
    )
    found = lorae.sweep(resume=tmp_path / "dies", workers=1, quiet=True)
    assert first_steps[0] == ("0", 4)
    assert [(record["number"], record["measured"]["error"]) for record in found.trials] == [
        (record["number"], record["measured"]["error"]) for record in whole.trials
    ]


def test_a_trial_whose_workers_die_at_one_place_fails_and_the_others_go_on(table_file, fast, tmp_path, monkeypatch):
    monkeypatch.setattr("lorae.sweeps.worker.MOST_DEATHS", deaths := 2)
    dying_at(monkeypatch, lambda trainer: trainer.run.path.name == "0" and trainer.step == 1)
    settings = {"penalty": "1e-3,1e-1", "out": tmp_path / "s", **fast}
    for _ in range(deaths):
        with pytest.raises(Killed):
            lorae.sweep(str(table_file), **settings)
    with pytest.raises(LoraeError, match=rf"trial 0: {deaths} workers died in it at one place.*1 of 2 trials"):
        lorae.sweep(str(table_file), **settings)
    monkeypatch.undo()
    monkeypatch.setenv("LORAE_CACHE", str(tmp_path / "cache"))
    found = lorae.sweep(resume=tmp_path / "s", retry=True, workers=1, quiet=True)
    assert [(record["number"], record["state"]) for record in found.trials] == [(1, "complete"), (2, "complete")]


def test_diverged_trials_are_outcomes_and_named_at_the_end(table_file, fast, tmp_path, run_cli):
    flags = ["--lr", "1e-3,1e30", "--network", "mlp", "--epochs", 2, "--width", 0.1, "--workers", 1]
    code, printed, errors = run_cli("sweep", table_file, *flags, "--out", tmp_path / "s")
    assert code == 2
    assert printed == ""
    (line,) = errors.splitlines()
    assert line.startswith("lorae: trial 1: diverged: loss: not finite")
    assert "1 of 2 trials have a result" in line
    assert (tmp_path / "s" / "report.html").exists()
    assert read_outcome(tmp_path / "s" / "trials" / "1")["state"] == "failed"
    code, _, errors = run_cli("sweep", "--resume", tmp_path / "s", "--retry", "--workers", 1)
    assert (code, len(read_records(SweepFolder(tmp_path / "s")))) == (2, 2)  # the same loss again is of no use


def test_hopeless_trials_are_pruned_and_say_so(table_file, fast, tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "LEAST_TRIALS", 2)
    # Of a rate of 0 in effect, errors stay large from the first epoch on.
    monkeypatch.setattr(storage, "sampler_of", lambda definition, trials: optuna.samplers.RandomSampler(seed=trials))
    options = {"lr": "1e-9,1e-2", "seeds": "0,1", "trials": 8, "epochs": 6}
    found = lorae.sweep(str(table_file), out=tmp_path / "s", **{**fast, **options, "network": "mlp"})
    pruned = [record for record in found.trials if record["state"] == "pruned" and record["same_as"] is None]
    assert {record["parameters"]["lr"] for record in pruned} == {1e-9}
    assert len(pruned) == 1  # its other seed is not trained
    (record,) = pruned
    assert record["epoch"] == 2
    run = Run(tmp_path / "s" / "trials" / str(record["number"]))
    assert not run.finished
    assert read_outcome(run.path)["reason"] == record["reason"]
    page = lorae.write_report(run).read_text("utf-8")
    assert "pruned after epoch 2" in page
    assert lorae.resume(run, quiet=True).finished  # an ordinary run


def test_settings_that_are_drawn_again_are_not_trained_again(table_file, fast, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "lorae.sweeps.queue.sampler_of", lambda definition, trials: optuna.samplers.RandomSampler(seed=1)
    )
    found = lorae.sweep(str(table_file), penalty="1e-3,1e-1", trials=3, out=tmp_path / "s", **fast)
    assert [record["same_as"] for record in found.trials] == [None, 0, 0]
    assert len(list((tmp_path / "s" / "trials").iterdir())) == 1
    assert len(found.best[0].trials) == 1


def test_several_objectives_and_bounds(table_file, fast, tmp_path):
    options = {"penalty": "1e-3,1e-1", "latent_dim": "1,2,3", "objective": "rank,error"}
    found = lorae.sweep(str(table_file), out=tmp_path / "s", max_rank=1, **options, **fast)
    assert found.best == found.frontier
    assert all(record["epoch"] is None for record in found.trials)  # Optuna takes none for several objectives
    assert {setting.mean("rank") for setting in found.best} == {1}
    assert sorted({record["feasible"] for record in found.trials}) == [False, True]
    with pytest.raises(LoraeError, match="Optuna prunes no sweep of several objectives"):
        lorae.sweep(str(table_file), out=tmp_path / "t", pruner="median", **options, **fast)
    assert not (tmp_path / "t").exists()


def test_the_fid_can_be_the_objective(table_file, fast, tmp_path):
    found = lorae.sweep(str(table_file), penalty="1e-3,1e-1", objective="fid", out=tmp_path / "s", **fast)
    distances = [record["measured"]["fid"] for record in found.trials]
    assert found.best[0].mean("fid") == min(distances)
    run = found.run(0)
    assert run.evaluation()["fid"]["gaussian"]["value"] == distances[0]
    assert "Frontier of rank and FID" in (found.path / "report.html").read_text("utf-8")


def test_items_in_memory_are_written_for_the_workers(vectors, fast, tmp_path):
    found = lorae.sweep(vectors, penalty="1e-3,1e-1", out=tmp_path / "s", **fast)
    assert np.array_equal(np.load(tmp_path / "s" / "items.npy"), vectors)
    assert lorae.sweep(vectors, penalty="1e-3,1e-1", out=tmp_path / "s", **fast).trials == found.trials
    with pytest.raises(LoraeError, match="data: they are not those"):
        lorae.sweep(vectors + 1, penalty="1e-3,1e-1", out=tmp_path / "s", **fast)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("s.yaml", "penalty: [0.001, 0.1]\nseeds: [0, 1]\nepochs: 2\nnetwork: linear\nworkers: 1\n"),
        ("s.toml", 'penalty = "1e-3,1e-1"\nseeds = [0, 1]\nepochs = 2\nnetwork = "linear"\nworkers = 1\n'),
    ],
)
def test_a_file_has_settings_and_options(name, text, table_file, tmp_path, run_cli):
    (tmp_path / name).write_text(text)
    words = ["sweep", table_file, "--config", tmp_path / name, "--out", tmp_path / "s", "--json"]
    code, printed, errors = run_cli(*words)
    assert code == 0, errors
    assert json.loads(printed)["trials"]["complete"] == 4
    (tmp_path / name).write_text(text.replace("epochs", "epoch"))
    code, _, errors = run_cli(*words)
    assert code == 2
    assert f"epoch: unknown setting (from {tmp_path / name}); did you mean epochs?" in errors


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "all settings are fixed, expected at least one list such as --penalty 1e-4,1e-3"),
        (
            ["--penalty", "1e-5:1e-2"],
            "trials: got none, expected the largest number of trainings for the range of pena",
        ),
        (["--penalty", "1,2", "--sampler", "grid", "--trials", "1"], "sampler: got grid, but trials limits"),
        (["--penalty", "1,2", "--trials", "1", "--seeds", "0,1"], "trials: got 1, expected at least 2"),
        (["--penalty", "1,-2"], "penalty: got '-2', expected a number of at least 0 (from --penalty)"),
        (["--method", "ae,lorae", "--penalty", "1,2"], "in the setting method=ae"),
        (
            ["--latent-dim", "2,4", "--rank", "3,4"],
            "rank: got 3, expected at most 2, the latent's dimension; in the setting",
        ),
        (["--method", "gan,ae"], "has no encoder, and so no error; choose --objective fid"),
        (["--penalty", "1,2", "--objective", "eror"], "expected some of error, rank, fid"),
        (["--penalty", "1,2", "--seed", "0", "--seeds", "1,2"], "seed: got '0' beside seeds"),
        (["--penalty", "1,2", "--storage", "nonsense"], "storage: cannot read the URL"),
        (["--penalty", "1,2", "--slurm", "partition"], "slurm: got 'partition', expected NAME=VALUE"),
        (["--resume", "nowhere"], "resume: given beside data"),
    ],
)
def test_messages_of_the_command_line(words, expected, table_file, tmp_path, run_cli, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, printed, errors = run_cli("sweep", table_file, *words)
    assert (code, printed) == (2, "")
    assert expected in errors
    assert len(errors.splitlines()) == 1
    assert list(tmp_path.iterdir()) in ([], [tmp_path / "sweeps"])


NETWORK = """
import sys
from torch import nn

sys.modules["imported_networks"] = sys  # a trace of the import

def make(shape, latent_dim):
    return nn.Linear(shape[0], latent_dim), nn.Linear(latent_dim, shape[0])
"""


def test_networks_of_a_file_are_imported_only_where_they_are_named(table_file, fast, tmp_path, monkeypatch, run_cli):
    (tmp_path / "net.py").write_text(NETWORK)
    monkeypatch.chdir(tmp_path)
    settings = {**fast, "network": "net.py:make", "penalty": "1e-3,1e-1", "checkpoint_every": 1}
    with monkeypatch.context() as patch:
        dying_at(patch, lambda trainer: trainer.step == 3)
        with pytest.raises(Killed):
            lorae.sweep(str(table_file), out="s", **settings)
    del sys.modules["imported_networks"]
    code, _, errors = run_cli("sweep", "--resume", "s", "--workers", 1)
    assert code == 2
    assert "net.py:make" in errors
    assert "pass --trust-code to import that file" in errors
    assert "imported_networks" not in sys.modules
    found = lorae.sweep(resume="s", trust_code=True, workers=1, quiet=True)
    assert states(found) == ["complete"] * 2


def test_optuna_is_quiet(table_file, fast, tmp_path, capfd):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        lorae.sweep(str(table_file), penalty="1e-4:1e-1", trials=11, out=tmp_path / "s", **{**fast, "epochs": 1})
    assert capfd.readouterr() == ("", "")
    assert [str(warning.message) for warning in said] == []
    assert optuna.logging.get_verbosity() == optuna.logging.INFO  # of the user's own studies


def test_a_missing_extra_is_named_with_the_command_that_installs_it(table_file, run_cli, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    code, _, errors = run_cli("sweep", table_file, "--penalty", "1,2")
    assert code == 2
    assert re.search(r"sweep: cannot import optuna.*; run: .*pip install.*sweep", errors)
