"""Several models trained at once on one GPU: a thread and a CUDA stream for each, in one process.

One small model leaves most of a GPU idle, and processes take turns on it; streams of one process run side by side.
"""

import contextlib
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import torch

import lorae
from lorae.data import Dataset
from lorae.models.autoencoder import Autoencoder
from lorae.runs.run import Run
from lorae.system.signals import Interrupted
from lorae.training.step import CapturedStep
from lorae.training.trainer import Trainer

# Seconds between two looks at how fast all of them go.
LOOK = 6.0
# Seconds that a model gets to its captured step before the next one starts.
START = 30.0


class StoppableTrainer(Trainer):
    """A training that another thread can stop."""

    stopped = False
    trained: Autoencoder | None = None
    go: threading.Event | None = None

    def _one_step(self) -> None:
        if self.stopped:
            raise Interrupted("stopped")
        if self.go is not None and self.started:
            self.go.wait()
        super()._one_step()

    @property
    def started(self) -> bool:
        """Whether the step is recorded as a CUDA graph, or needs no recording."""
        step = self.take_step
        return bool(step.graphs) if isinstance(step, CapturedStep) else self.step > 2


def prepared(path: Path, data: str, dataset: Dataset, settings: dict[str, Any]) -> StoppableTrainer:
    """A training in the run folder `path`, which is made unless it is there."""
    run = Run(path) if path.exists() else Run.create(path, lorae.plan(data, out=path, **settings))
    return StoppableTrainer(run, dataset, quiet=True)


def train_together(trainers: dict[str, StoppableTrainer], deadline: float) -> dict[str, dict[str, Any]]:
    """Train all of them to their ends; name -> steps, seconds of its thread, and the error where there was one.

    They start one after the other and wait for the last: nobody may draw random numbers while a step is recorded.
    Where not all can end by the deadline (of `time.monotonic`), the last ones are stopped early, so that others do.
    """
    found: dict[str, dict[str, Any]] = {}
    threads = {}
    go = threading.Event()
    for name, trainer in trainers.items():
        trainer.go = go
        threads[name] = threading.Thread(target=_fit, args=(name, trainer, found), name=name)
        threads[name].start()
        _wait_for_start(trainer, threads[name])
    go.set()
    looks = 0
    while any(thread.is_alive() for thread in threads.values()):
        active = [trainers[name] for name, thread in threads.items() if thread.is_alive()]
        before, looked = sum(trainer.step for trainer in active), time.monotonic()
        until = looked + LOOK
        for thread in threads.values():
            thread.join(max(0.0, until - time.monotonic()))
        taken = sum(trainer.step for trainer in active) - before
        rate = max(1e-9, taken / (time.monotonic() - looked))
        print(f"{len(active)} models at once: {rate:,.0f} steps a second, all together", flush=True)
        going = [trainer for trainer in active if not trainer.stopped]
        left = sum(trainer.total_steps - trainer.step for trainer in going)
        looks += 1  # the first sees the start
        if going and looks > 1 and time.monotonic() + left / rate > deadline:
            going[-1].stopped = True
    return found


def _wait_for_start(trainer: StoppableTrainer, thread: threading.Thread) -> None:
    until = time.monotonic() + START
    while thread.is_alive() and not trainer.started and time.monotonic() < until:
        time.sleep(0.01)


def _fit(name: str, trainer: StoppableTrainer, found: dict[str, dict[str, Any]]) -> None:
    started = time.monotonic()
    stream = torch.cuda.stream(torch.cuda.Stream()) if torch.cuda.is_available() else contextlib.nullcontext()
    error = None
    try:
        with stream:
            trainer.trained = trainer.fit()
    except BaseException as caught:  # of one model of several
        traceback.print_exc()
        error = f"{type(caught).__name__}: {str(caught).splitlines()[0]}"
    found[name] = {"steps": trainer.step, "seconds": round(time.monotonic() - started, 2), "error": error}
