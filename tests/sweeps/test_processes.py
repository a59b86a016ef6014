"""Sweeps in several processes: deaths by SIGKILL, Ctrl-C, a parent that dies, two calls that share the work."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import lorae
from lorae.sweeps.definition import SweepFolder
from lorae.sweeps.results import read_records

pytestmark = [
    pytest.mark.usefixtures("blank_figures"),
    pytest.mark.skipif(sys.platform == "win32", reason="signals are others there"),
]

# Long enough that signals come in the middle of trainings, with a checkpoint every fraction of a second.
LONG = ["--epochs", 120, "--network", "mlp", "--width", 0.1, "--batch-size", 8, "--checkpoint-every", 100]
PATIENCE = 120


in_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the workers in /proc")


def started(data, out, *words, workers=2):
    command = [sys.executable, "-m", "lorae", "sweep", data, "--out", out, "--workers", workers, *words]
    return subprocess.Popen(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def wait_for(condition, process):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "nothing came"
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def children(process):
    """The numbers of the processes whose parent is a process, from /proc."""
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(word) for word in path.read_text().split()]


def checkpoints(out):
    return sorted(path.parts[-3] for path in out.glob("trials/*/checkpoints/last.pt"))


def alive(number):
    try:
        return Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.slow
@in_proc
def test_deaths_and_interrupts_lose_no_trial_and_train_none_twice(table_file, tmp_path):
    out = tmp_path / "s"
    search = ["--penalty", "1e-3,1e-2", *LONG]
    process = started(table_file, out, *search)
    try:
        wait_for(lambda: len(checkpoints(out)) == 2, process)
        first = children(process)
        os.kill(first[0], signal.SIGKILL)
        # Its trial goes on in a worker in the place of the dead one, in the same folder.
        wait_for(lambda: set(children(process)) - set(first), process)
        assert len(checkpoints(out)) == 2
        workers = children(process)
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C in a terminal does
        printed, errors = process.communicate(timeout=PATIENCE)
    finally:
        if process.poll() is None:
            process.kill()
    assert (process.returncode, printed) == (130, "")
    (line,) = errors.splitlines()
    assert line.startswith("lorae: interrupted with ")
    assert line.endswith(f"of 2 trials ended, the others are saved; continue with `lorae sweep --resume {out}`")
    assert not any(alive(number) for number in (*first, *workers))
    before = {record["number"]: record["state"] for record in read_records(SweepFolder(out))}
    assert set(before.values()) <= {"complete", "running", "waiting"}
    assert "running" in before.values()

    found = lorae.sweep(resume=out, workers=1, quiet=True)
    assert [record["state"] for record in found.trials] == ["complete"] * 2
    for record in found.trials:
        steps = [line["step"] for line in found.run(record["number"]).stats("epoch")]
        assert steps == sorted(set(steps))  # no epoch twice
        assert steps[-1] == found.run(record["number"]).summary()["epochs"] * 13


@pytest.mark.slow
@in_proc
def test_workers_end_with_a_parent_that_was_killed_and_keep_a_checkpoint(table_file, tmp_path):
    out = tmp_path / "s"
    process = started(table_file, out, "--penalty", "1e-3,1e-2", *LONG)
    wait_for(lambda: len(checkpoints(out)) == 2, process)
    workers = children(process)
    process.kill()
    process.communicate()
    end = time.monotonic() + PATIENCE
    while any(alive(number) for number in workers):
        assert time.monotonic() < end
        time.sleep(0.1)
    found = lorae.sweep(resume=out, workers=1, quiet=True)
    assert [record["state"] for record in found.trials] == ["complete"] * 2


@pytest.mark.slow
def test_two_calls_share_the_work(table_file, fast, tmp_path):
    out = tmp_path / "s"
    search = ["--penalty", "1e-3,3e-3,1e-2,3e-2", "--seeds", "0,1", *LONG[2:], "--epochs", 20]
    calls = [started(table_file, out, *search, workers=1) for _ in range(2)]
    for call in calls:
        printed, errors = call.communicate(timeout=PATIENCE)
        assert (call.returncode, errors) == (0, "")
        assert "8 complete" in printed
    assert len(checkpoints(out)) == 8
    numbers = {record["number"] for record in read_records(SweepFolder(out))}
    assert numbers == set(range(8))


def test_a_fault_that_all_trials_would_meet_ends_the_sweep_in_one_line(table_file, tmp_path, run_cli, monkeypatch):
    out = tmp_path / "s"
    (out / "locks").mkdir(parents=True)
    (out / "trials").write_text("no folder")
    monkeypatch.setattr("lorae.sweeps.planning._only_locks", lambda path: True)
    monkeypatch.setattr("lorae.sweeps.planning._check_first", lambda *_: None)
    words = ["--penalty", "1e-3,1e-2", *LONG[2:], "--epochs", 1]
    code, printed, errors = run_cli("sweep", table_file, "--out", out, "--workers", 1, *words)
    assert (code, printed) == (2, "")
    assert len(errors.splitlines()) == 1
