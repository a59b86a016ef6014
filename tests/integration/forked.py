"""Commands as processes that are forked from one that has imported everything, so that each starts in milliseconds.

A forked process may be killed at any moment: by the clock, or at one of the calls by which it changes files.
"""

import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._dynamo
from matplotlib.figure import Figure

# Whatever commands import is imported here, once, in the process that forks them. Optimizers import torch's compiler.
import lorae.api.inspection
import lorae.api.training
import lorae.evaluation.evaluator
import lorae.evaluation.measures
import lorae.penalties.nuclear
import lorae.reports.report
import lorae.reproduction.runner
import lorae.training.pca_floor
import lorae.training.trackers
import lorae.training.trainer  # noqa: F401
from lorae.cli.parser import main
from tests.conftest import save_blank

# Longer than any command of a test takes on a machine with much other work.
PATIENCE = 600
# Audit events of calls that change files, and of `open`, which does for some modes.
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod", "tempfile.mkstemp")

available = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks, kills and open files as on Linux")


def start(
    words: Sequence[object],
    place: Path,
    *,
    cache: Path | None = None,
    before: Callable[[], None] | None = None,
    kill_at: int | None = None,
) -> BaseProcess:
    """Start `lorae WORDS` in a folder, with a folder of temporary files and, unless given, a cache below it.

    before: a function of a module that the process calls first, perhaps to replace parts
    kill_at: number of the call that changes files at which the process kills itself
    """
    cache = cache or place / "cache"
    for folder in (cache, place / "tmp"):
        folder.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=_run, args=([str(word) for word in words], place, cache, before, kill_at))
    with pytest.MonkeyPatch.context() as patch:
        # The process that forks is started with the first one, and finds modules by this variable alone.
        patch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
        process.start()
    return process


def finish(process: BaseProcess) -> int:
    """Wait for a process; return its exit code, negative for a signal, and kill one that hangs."""
    process.join(PATIENCE)
    if process.exitcode is None:
        process.kill()
        process.join()
        pytest.fail(f"a command did not end within {PATIENCE} seconds")
    return process.exitcode


def run(words: Sequence[object], place: Path, **options: Any) -> tuple[int, str]:
    """Run a command to its end; return its exit code and standard error."""
    return finish(start(words, place, **options)), said(place)


def said(place: Path) -> str:
    """Return standard error of the last command in a folder."""
    return (place / "errors").read_text()


def took(place: Path) -> tuple[float, int]:
    """Return seconds, and number of calls that changed files, of the last command that ended in a folder."""
    seconds, calls = (place / "took").read_text().split()
    return float(seconds), int(calls)


def _run(words: list[str], place: Path, cache: Path, before: Callable[[], None] | None, kill_at: int | None) -> None:
    os.environ["LORAE_CACHE"], os.environ["TMPDIR"] = str(cache), str(place / "tmp")
    tempfile.tempdir = None
    os.chdir(place)
    for name, stream in (("output", sys.stdout), ("errors", sys.stderr)):
        handle = os.open(place / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, stream.fileno())
    torch.set_num_threads(1)
    Figure.savefig = save_blank  # type: ignore[assignment,method-assign]
    if before is not None:
        before()
    counted, started = _count_changes(kill_at), time.monotonic()
    code = main(words)
    (place / "took").write_text(f"{time.monotonic() - started} {counted[0]}")
    sys.exit(code)


def _count_changes(kill_at: int | None) -> list[int]:
    """Count the calls that change files from now on, in a list of one number, and kill the process at one of them."""
    counted = [0]

    def count(event: str, arguments: tuple[object, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if writes or event in CHANGES:
            counted[0] += 1
            if counted[0] == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    return counted


def one_line(errors: str) -> bool:
    """Return whether standard error is one line of an error, besides warnings."""
    lines = [line for line in errors.splitlines() if not line.startswith("lorae: warning: ")]
    return len(lines) == 1 and lines[0].startswith("lorae: ") and "Traceback" not in errors


def wait_for(condition: Callable[[], object], process: BaseProcess) -> None:
    """Wait until something is true of a process that goes on."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert process.exitcode is None, "it ended before"
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.002)
