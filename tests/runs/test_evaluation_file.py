"""Results of several processes in one `evaluation.json`, and samples in a folder."""

import math
import multiprocessing

import numpy as np
import pytest

import lorae
from lorae.api.writing import write_items
from lorae.errors import LoraeError
from lorae.runs.evaluation_file import EvaluationFile
from lorae.runs.run import Run
from lorae.system.records import RecordError


def add(folder, name, count):
    run = Run(folder)
    for number in range(count):
        run.add_to_evaluation({f"{name}-{number}": number})


def test_processes_that_add_at_once_lose_nothing(image_file, tmp_path):
    Run.create(tmp_path / "run", lorae.plan(image_file, out=tmp_path / "run"))
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=add, args=(tmp_path / "run", name, 20)) for name in ("a", "b")]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    assert Run(tmp_path / "run").evaluation() == {f"{name}-{n}": n for name in ("a", "b") for n in range(20)}


def test_pictures_that_cannot_all_be_written_leave_no_folder(tmp_path, monkeypatch):
    pictures = np.zeros((3, 1, 4, 4), np.uint8)

    def full_disk(path, *arguments, **options):
        raise OSError(28, "No space left on device", str(path))

    write_items(pictures, tmp_path / "whole")
    assert sorted(path.name for path in (tmp_path / "whole").iterdir()) == ["000000.png", "000001.png", "000002.png"]
    monkeypatch.setattr("PIL.Image.Image.save", full_disk)
    with pytest.raises(LoraeError, match=r"cannot write .*cut: No space left on device"):
        write_items(pictures, tmp_path / "cut")
    assert list(tmp_path.iterdir()) == [tmp_path / "whole"]


STOPPING = {"epochs": 9, "best_epoch": 5, "loss": 0.1, "patience": 2, "reason": "stalled"}
FLOOR = {"kept": "network", "rank": 2, "error": 0.1, "pca_error": 0.2, "items": 30}


@pytest.mark.parametrize(
    "results",
    [{"reconstruction": {"mse": math.inf}}, {"stopping": STOPPING | {"floor": FLOOR | {"strength": math.nan}}}],
    ids=str,
)
def test_results_that_readers_refuse_are_not_written(results, tmp_path):
    file = EvaluationFile(tmp_path / "evaluation.json", tmp_path / ".lock")
    file.add({"reconstruction": {"mse": 0.5}}, None)
    with pytest.raises(RecordError, match=r"the results are not written: \S+ is (inf|nan), expected a finite number"):
        file.add(results, None)
    file.add({"stopping": STOPPING | {"floor": FLOOR | {"strength": 0.5}}}, None)
    assert EvaluationFile(file.path, tmp_path / ".lock").read()["reconstruction"] == {"mse": 0.5}
