"""Ctrl-C once ends a training after its step, twice at once; either way it goes on to the same weights."""

import os
import signal
import time
from pathlib import Path

import pytest

import lorae
from lorae.errors import LoraeError
from lorae.runs import Run
from tests.integration import forked
from tests.integration.test_kills import SMALL, made

pytestmark = forked.available

LONG = ("--epochs=40", "--checkpoint-every=5", *SMALL[:3])


@pytest.fixture(scope="module")
def whole(image_file, tmp_path_factory):
    place = tmp_path_factory.mktemp("whole")
    assert forked.run(["train", image_file, *LONG, "--out", "run"], place)[0] == 0
    return results(place / "run")


def results(run):
    """Everything that a run makes, but the statistics: an interrupt ends a line of these early."""
    found = made(run)
    del found["stats.jsonl"], found["evaluation.json"]["log_lines"]
    return found


def stop_before_the_checkpoint_is_written():
    """Once the file `stop` is there, the next write of a checkpoint says so and takes a minute before it is done."""
    fsync = os.fsync

    def slow(handle):
        if Path("stop").exists() and ".last.pt." in Path(f"/proc/self/fd/{handle}").readlink().name:
            Path("writing").touch()
            time.sleep(60)
        fsync(handle)

    os.fsync = slow


def slow_steps():
    """Take a step in a hundredth of a second, so that the training does not end before it is interrupted."""
    from lorae.training.trainer import Trainer

    take = Trainer._one_step

    def slow(trainer):
        time.sleep(0.01)
        take(trainer)

    Trainer._one_step = slow  # type: ignore[method-assign]


def test_an_interrupt_finishes_the_step_and_says_how_to_go_on(image_file, whole, tmp_path):
    process = forked.start(["train", image_file, *LONG, "--out", "run"], tmp_path, before=slow_steps)
    forked.wait_for((tmp_path / "run" / "checkpoints" / "last.pt").exists, process)
    os.kill(process.pid, signal.SIGINT)
    assert forked.finish(process) == 130
    message = forked.said(tmp_path)
    assert message.strip().count("\n") == 0
    assert "lorae resume run" in message
    step = int(message.split("after step ")[1].split()[0])
    assert Run(tmp_path / "run").load_checkpoint()["step"] == step
    with pytest.raises(LoraeError, match=r"is not finished; continue it with `lorae resume"):
        lorae.load(tmp_path / "run")
    assert forked.run(["resume", "run"], tmp_path)[0] == 0
    assert results(tmp_path / "run") == whole


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_interrupt_ends_at_once_and_breaks_nothing(number, image_file, whole, tmp_path):
    words = ["train", image_file, *LONG, "--out", "run"]
    process = forked.start(words, tmp_path, before=stop_before_the_checkpoint_is_written)
    forked.wait_for((tmp_path / "run" / "checkpoints" / "last.pt").exists, process)
    before = Run(tmp_path / "run").load_checkpoint()["step"]
    (tmp_path / "stop").touch()
    os.kill(process.pid, signal.SIGINT)
    forked.wait_for((tmp_path / "writing").exists, process)
    time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)  # as torchrun does, which passes on what the terminal has sent already
    time.sleep(0.6)
    assert process.exitcode is None, "a copy of the first signal has ended it"
    started = time.monotonic()
    os.kill(process.pid, number)
    assert forked.finish(process) == 130
    assert time.monotonic() - started < 20  # and not after a minute
    assert "continue it with `lorae resume run`" in forked.said(tmp_path)
    assert forked.one_line(forked.said(tmp_path))
    assert not list((tmp_path / "run").rglob("*.tmp"))
    assert Run(tmp_path / "run").load_checkpoint()["step"] >= before
    assert forked.run(["resume", "run"], tmp_path)[0] == 0
    assert results(tmp_path / "run") == whole
