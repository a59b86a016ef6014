"""Worker processes of a sweep on this machine: started, replaced when they die, and ended in order."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import lorae
from lorae.errors import LoraeError
from lorae.system.files import writing

# Seconds between two looks at the workers; seconds that they have for a checkpoint, a large one on a slow disk.
POLL, GRACE = 0.5, 120.0
# Deaths in a row, for each worker, without a trial that ends: three of each trial end it, see `MOST_DEATHS`.
DEATHS = 4


@dataclass
class _Worker:
    process: "subprocess.Popen[bytes]"
    log: Path


def run_workers(
    folder: Path, url: str, count: int, threads: int | None, finished: Callable[[], int], devices: Sequence[str] = ()
) -> None:
    """Train the trials of a sweep in processes, until all have left.

    A process that dies is replaced. After an exception, such as an interrupt, they end after a checkpoint. LoraeError
    if one ends by an error that others would meet as well.

    finished: called all the time; returns the number of trials with an outcome
    devices: GPUs, of which each process sees one
    """
    workers = [_start(folder, url, threads, index, devices) for index in range(count)]
    deaths, before = 0, -1
    try:
        while any(worker is not None for worker in workers):
            done = finished()
            if done > before:
                deaths, before = 0, done
            for index, worker in enumerate(workers):
                code = None if worker is None else worker.process.poll()
                if worker is None or code is None:
                    continue
                workers[index] = None  # type: ignore[call-overload]
                if code == 0:
                    continue
                if code > 0:
                    raise LoraeError(_last_line(worker.log))
                deaths += 1
                if deaths > DEATHS * count:
                    raise LoraeError(
                        f"workers: {deaths} processes died without the end of a trial, the last by signal {-code}, "
                        "perhaps for lack of memory; the same command goes on, try workers=1",
                        settings={"workers": 1},
                    )
                workers[index] = _start(folder, url, threads, index, devices)
            time.sleep(POLL)
    finally:
        _stop([worker for worker in workers if worker is not None])
        finished()


def _start(folder: Path, url: str, threads: int | None, index: int, devices: Sequence[str]) -> _Worker:
    """Start a process. Its order, which may have a password, is written to its standard input alone."""
    source = str(Path(lorae.__file__).parents[1])
    path = os.pathsep.join(part for part in (source, os.environ.get("PYTHONPATH", "")) if part)
    environment = os.environ | {"PYTHONPATH": path, "MPLBACKEND": "agg"}
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    if devices:
        environment["CUDA_VISIBLE_DEVICES"] = devices[index % len(devices)]
    log = folder / "logs" / f"{socket.gethostname()}-{os.getpid()}-{index}.txt"
    with writing(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        file = log.open("ab")
    with file:
        process = subprocess.Popen(
            [sys.executable, "-m", "lorae.sweeps.worker"],
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=file,
            env=environment,
            # Ctrl-C in a terminal reaches this process alone, which ends the others once.
            start_new_session=True,
        )
    assert process.stdin is not None
    order = {"out": str(folder.absolute()), "storage": url, "threads": threads}
    process.stdin.write(json.dumps(order).encode() + b"\n")
    process.stdin.flush()  # and left open: its end is that of this process
    return _Worker(process, log)


def _stop(workers: Sequence[_Worker]) -> None:
    """End processes by SIGTERM, after which they write a checkpoint; kill those that take too long."""
    for worker in workers:
        if worker.process.poll() is None:
            worker.process.terminate()
    end = time.monotonic() + GRACE
    try:
        for worker in workers:
            worker.process.wait(max(0.1, end - time.monotonic()))
    except (subprocess.TimeoutExpired, KeyboardInterrupt):  # the latter: a second Ctrl-C
        for worker in workers:
            worker.process.kill()
            worker.process.wait()
    finally:
        for worker in workers:
            if worker.process.stdin is not None:
                worker.process.stdin.close()


def _last_line(log: Path) -> str:
    """Return what a worker said last, without the name of the program."""
    lines = log.read_text(encoding="utf-8", errors="backslashreplace").splitlines()
    said = [line.removeprefix("lorae: ") for line in lines if line.startswith("lorae: ")]
    return said[-1] if said else f"workers: one ended without a word, see {log}"
