"""Trackers receive the numbers of stats.jsonl, and go on with the same record after an interruption."""

import contextlib
import re
import sys

import pytest

import lorae
from lorae.errors import LoraeError
from lorae.extras import install_command

pytestmark = pytest.mark.usefixtures("blank_figures")

OPTIONS = {"log_every": 3, "checkpoint_every": 5}


class StopAt:
    def __init__(self, step):
        self.step = step

    def on_step_end(self, progress):
        if progress.step == self.step:
            raise InterruptedError


def interrupted_and_resumed(data, small, folder, track):
    with pytest.raises(LoraeError, match="StopAt"):
        lorae.train(data, out=folder, track=track, callbacks=[StopAt(7)], **small, **OPTIONS)
    return lorae.resume(folder, quiet=True)


def expected_errors(run):
    return {record["step"]: record["test_mse"] for record in run.stats("epoch")}


def test_tensorboard_has_the_curves_of_the_run(image_file, small, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = interrupted_and_resumed(image_file, small, tmp_path / "run", "tensorboard")
    events = accumulator.EventAccumulator(str(run.path / "tensorboard")).Reload()
    errors = {event.step: event.value for event in events.Scalars("test/test_mse")}
    assert errors == pytest.approx(expected_errors(run), rel=1e-6)
    assert [event.step for event in events.Scalars("train/loss")] == [3, 6, 9, 12]


def test_wandb_keeps_one_run_offline(image_file, small, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    run = interrupted_and_resumed(image_file, small, tmp_path / "run", "wandb")
    files = list((run.path / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len({file.name for file in files}) == 1  # the name has the identity of the run
    assert all(file.stat().st_size > 0 for file in files)


def test_mlflow_keeps_one_run_in_a_folder(image_file, small, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # without it MLflow 3 asks for a data base
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    run = interrupted_and_resumed(image_file, small, tmp_path / "run", "mlflow")
    client = mlflow.MlflowClient()
    (record,) = client.search_runs([client.get_experiment_by_name("lorae").experiment_id])
    assert record.info.status == "FINISHED"
    assert record.data.params["method"] == "lorae"
    history = client.get_metric_history(record.info.run_id, "test/test_mse")
    assert {metric.step: metric.value for metric in history} == pytest.approx(expected_errors(run))


def test_a_folder_that_mlflow_refuses_is_refused_before_the_training(image_file, small, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    with contextlib.suppress(mlflow.exceptions.MlflowException):
        mlflow.MlflowClient()
        pytest.skip("this version takes folders")
    with pytest.raises(LoraeError, match=r"track: got 'mlflow', .* MLFLOW_ALLOW_FILE_STORE=true"):
        lorae.train(image_file, out=tmp_path / "run", track="mlflow", **small)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_missing_package_is_named_with_its_command(name, image_file, small, tmp_path, monkeypatch):
    missing = f"cannot import {name}; run: {install_command('trackers')}"
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(LoraeError, match=re.escape(f"track: got '{name}': {missing}")):
        lorae.train(image_file, out=tmp_path / "run", track=name, **small)
    assert not (tmp_path / "run").exists()
    with pytest.raises(LoraeError, match="track: got 'tensorbord', expected some of tensorboard, wandb, mlflow"):
        lorae.train(image_file, out=tmp_path / "run", track="tensorbord", **small)
