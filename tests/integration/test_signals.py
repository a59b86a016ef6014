"""Interrupts and SIGTERM at any moment end in one line, which says what is stored and how to go on."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time

import pytest

import lorae
from lorae.runs import Run
from lorae.system import signals
from lorae.training.trainer import Trainer

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are others there")

# A command that sends itself a signal when a module is about to be imported, and code that catches everything.
WHILE_IMPORTING = """
import builtins, os, signal, sys
name, number, swallowed = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "swallowed"
real, sent = builtins.__import__, []

def importing(module, *arguments, **named):
    if module == name and not sent:
        sent.append(module)
        try:
            os.kill(os.getpid(), number)
        except BaseException:
            if swallowed:
                raise ImportError("numpy failed to import its extension modules\\nand says it in lines") from None
            raise
    return real(module, *arguments, **named)

builtins.__import__ = importing
sys.argv = ["lorae", *sys.argv[4:]]
from lorae.__main__ import main
sys.exit(main())
"""


def run(name, number, how, *words):
    done = subprocess.run(
        [sys.executable, "-c", WHILE_IMPORTING, name, str(int(number)), how, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("module", "number", "how", "expected"),
    [
        ("rich.console", signal.SIGINT, "raised", 130),  # before the command line is there
        ("torch", signal.SIGINT, "raised", 130),
        ("torch", signal.SIGINT, "swallowed", 130),
        ("torch", signal.SIGTERM, "raised", 143),
    ],
)
def test_a_signal_during_imports_is_one_line(module, number, how, expected, image_file):
    code, errors = run(module, number, how, "train", image_file, "--dry-run")
    assert code == expected, errors
    assert errors == "lorae: interrupted before anything was stored; run the command again\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_outside_of_a_training_is_one_line(number, trained, run_cli, monkeypatch):
    monkeypatch.setattr("lorae.api.spectrum", lambda *_, **__: os.kill(os.getpid(), number))
    code, output, errors = run_cli("spectrum", trained.path)
    assert (code, output) == (128 + number, "")
    assert errors == "lorae: interrupted before anything was stored; run the command again\n"


def test_handlers_are_those_of_before_after_a_command(run_cli):
    before = [signal.getsignal(number) for number in signals.SIGNALS]
    run_cli("methods")
    assert [signal.getsignal(number) for number in signals.SIGNALS] == before


def test_a_signal_that_was_lost_in_a_command_is_not_one_of_the_next_training():
    with signals.raised_as_exceptions() as signaled:
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert signaled() == signal.SIGINT
    with signals.stop_requests() as received:
        assert received == []


def test_an_interrupted_import_of_an_extra_is_no_missing_package(image_file, tmp_path, monkeypatch, run_cli):
    (tmp_path / "wandb.py").write_text(
        "import os, signal\n"
        "try:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "except KeyboardInterrupt:\n"
        "    raise ImportError('a part of the package is missing') from None\n"
    )
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    code, _, errors = run_cli("train", image_file, "--track", "wandb", "--out", tmp_path / "run")
    assert (code, errors) == (130, "lorae: interrupted before anything was stored; run the command again\n")


def test_ignored_signals_stay_ignored(run_cli, monkeypatch):
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        monkeypatch.setattr("lorae.api.list_methods", lambda: os.kill(os.getpid(), signal.SIGTERM) or [])
        assert run_cli("methods", "--json")[:2] == (0, "[]\n")
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("blank_figures")
def test_a_signal_that_an_import_has_swallowed_ends_the_training_after_a_step(image_file, small, tmp_path):
    with signals.raised_as_exceptions():
        with contextlib.suppress(KeyboardInterrupt):  # lost in an extension module
            os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(signals.Interrupted, match="after step 1 of"):
            lorae.train(str(image_file), out=tmp_path / "run", **small)
    assert Run(tmp_path / "run").load_checkpoint()["step"] == 1


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.parametrize(
    "moment",
    [
        "lorae.training.trainer.limited",
        "lorae.training.schedule_factory.unmet_target",
        "lorae.api.finishing.encoder_outputs",
        "lorae.evaluation.evaluator.evaluate_training",
        "lorae.reports.report.write_report",
    ],
)
def test_after_the_last_step_an_interrupt_says_how_to_go_on(moment, image_file, small, tmp_path, run_cli, monkeypatch):
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in small.items() if name != "quiet"]

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(moment, stop)
        code, _, errors = run_cli("train", image_file, "--out", tmp_path / "run", *flags)
    assert code == 130
    said = [line for line in errors.splitlines() if "warning" not in line]
    assert len(said) == 1
    assert said[0].startswith("lorae: interrupted ")
    advised = re.search(r"`lorae (resume|report) (.+)`", said[0])
    if advised is None:
        assert "after the end: the run is finished" in said[0]
    else:
        code, _, errors = run_cli(*advised.groups())
        assert code == 0, errors
    assert Run(tmp_path / "run").finished
    assert (tmp_path / "run" / "report.html").is_file()


@pytest.mark.usefixtures("blank_figures")
def test_an_interrupt_between_the_last_step_and_the_end_of_the_loop_is_not_lost(
    image_file, small, tmp_path, monkeypatch
):
    take = Trainer._call_back

    def interrupt_at_the_end(self):
        take(self)
        if self.step == self.total_steps:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_call_back", interrupt_at_the_end)
        with pytest.raises(signals.Interrupted, match="after step 12 of 12, which is saved"):
            lorae.train(str(image_file), out=tmp_path / "run", **small)
    assert lorae.resume(tmp_path / "run", quiet=True).finished


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.parametrize(
    ("moment", "said"),
    [
        (
            "lorae.evaluation.measures.measure_reconstruction",
            "while measuring reconstruction; stored: nothing; continue",
        ),
        ("lorae.evaluation.evaluator._draw", "while drawing; stored: reconstruction"),
        (
            "lorae.api.inspection.report",
            "after the measurements, which are stored; write the report with `lorae report",
        ),
    ],
)
def test_an_interrupted_evaluation_says_what_is_stored(moment, said, trained, run_cli, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(moment, stop)
    code, _, errors = run_cli("evaluate", trained.path, "--only", "reconstruction")
    assert code == 130
    assert errors.startswith(f"lorae: interrupted {said}")
    assert errors.count("\n") == 1


@pytest.mark.parametrize("words", [["methods", "--json"], ["methods"], ["train", "--help"]])
def test_a_reader_that_has_gone_is_no_error(words):
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.Popen(
        [sys.executable, "-m", "lorae", *words], stdout=writing, stderr=subprocess.PIPE, text=True
    )
    os.close(writing)
    _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")


def test_sigterm_ends_a_command_that_waits(image_file, tmp_path):
    """A command that waits for the lock of another one."""
    from filelock import FileLock

    cache = tmp_path / "cache"
    lorae_data = [sys.executable, "-m", "lorae", "data", str(image_file)]
    process = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LORAE_CACHE", str(cache))
        lorae.load_data(str(image_file))
        (folder,) = (path for path in (cache / "data").iterdir() if path.is_dir())
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        with FileLock(cache / "data" / f"{folder.name}.lock"):
            process = subprocess.Popen(lorae_data, stderr=subprocess.PIPE, text=True, start_new_session=True)
            time.sleep(8)
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert errors == "lorae: interrupted before anything was stored; run the command again\n"
