"""Workers as jobs of submitit, by its executors of this machine."""

import shutil

import pytest

import lorae
from lorae.errors import LoraeError
from lorae.sweeps.submission import Worker

submitit = pytest.importorskip("submitit")
pytestmark = pytest.mark.usefixtures("blank_figures")


@pytest.mark.filterwarnings("ignore::DeprecationWarning:submitit", "ignore::ResourceWarning")
def test_jobs_in_this_process_train_all_trials(table_file, fast, tmp_path):
    found = lorae.sweep(str(table_file), penalty="1e-3,1e-1", out=tmp_path / "s", executor="debug", **fast)
    assert [record["state"] for record in found.trials] == ["complete"] * 2
    assert (tmp_path / "s" / "logs" / "submitit").is_dir()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:submitit", "ignore::ResourceWarning")
def test_two_jobs_of_their_own_processes_share_the_trials(table_file, fast, tmp_path):
    options = {**fast, "workers": 2, "executor": "local", "slurm": "timeout_min=10"}
    found = lorae.sweep(str(table_file), penalty="1e-3,1e-2,1e-1", out=tmp_path / "s", **options)
    assert [record["state"] for record in found.trials] == ["complete"] * 3


def test_a_job_that_is_queued_again_does_the_same():
    worker = Worker("folder", "sqlite:///file", 2, False)
    again = worker.checkpoint()
    assert isinstance(again, submitit.helpers.DelayedSubmission)
    assert again.function is worker


def test_parameters_reach_slurm_by_their_names(table_file, fast, tmp_path, monkeypatch):
    seen = {}

    class Executor:
        def __init__(self, folder, cluster):
            seen["cluster"] = cluster

        def update_parameters(self, **parameters):
            seen.update(parameters)
            raise NameError("enough")

    monkeypatch.setattr(submitit, "AutoExecutor", Executor)
    with pytest.raises(LoraeError, match=r"slurm: submitit refuses .*enough"):
        lorae.sweep(
            str(table_file), penalty="1,2", out=tmp_path / "s", slurm="partition=gpu,gpus_per_node=1,qos=low", **fast
        )
    assert seen == {
        "cluster": "slurm",
        "slurm_partition": "gpu",
        "slurm_qos": "low",
        "gpus_per_node": 1,
        "timeout_min": 24 * 60,
        "name": "lorae-sweep",
    }


@pytest.mark.skipif(shutil.which("srun") is not None, reason="there is Slurm here")
def test_a_machine_without_slurm_is_told_so(table_file, fast, tmp_path):
    with pytest.raises(LoraeError, match="slurm"):
        lorae.sweep(str(table_file), penalty="1,2", out=tmp_path / "s", executor="slurm", **fast)
