"""The run of a training by several processes: the first one reads and writes it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorae.config.settings import Settings
from lorae.runs.schema import Checkpoint, TrainingState
from lorae.runs.store import RunStore
from lorae.system.hardware import available_threads
from lorae.system.processes import Processes

if TYPE_CHECKING:
    from lorae.models.autoencoder import Autoencoder
    from lorae.models.own_networks import OwnNetworks


class SharedRun:
    """`RunStore` that writes in the first process alone; what is read there is sent to the others."""

    def __init__(self, run: RunStore, processes: Processes) -> None:
        self._run = run
        self._processes = processes
        self.path: Path = run.path

    @property
    def settings(self) -> Settings:
        """Resolved settings."""
        return self._run.settings

    @property
    def networks(self) -> "OwnNetworks | None":
        """The user's networks; None for a built-in network."""
        return self._run.networks

    @property
    def threads(self) -> int:
        """Number of CPU threads of each process, at most those that it was started with."""
        return min(self._run.threads, available_threads())

    @property
    def last_checkpoint(self) -> Path | None:
        """Path of the last checkpoint, or None before the first."""
        return self._run.last_checkpoint

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other trainings from the run; raise LoraeError in all processes if one has it."""
        with contextlib.ExitStack() as stack:
            self._processes.from_first(lambda: stack.enter_context(self._run.locked()))
            yield

    def append_stats(self, record: dict[str, Any]) -> None:
        """Append a line of statistics."""
        if self._processes.first:
            self._run.append_stats(record)

    def stats(self, event: str | None = None) -> Iterator[dict[str, Any]]:
        """Yield the statistics, or those of one event."""
        return self._run.stats(event)

    def truncate_stats(self, step: int) -> None:
        """Drop the statistics of steps after `step`."""
        self._processes.from_first(lambda: self._run.truncate_stats(step))

    def save_checkpoint(self, state: TrainingState) -> None:
        """Replace the checkpoint."""
        if self._processes.first:
            self._run.save_checkpoint(state)

    def load_checkpoint(self) -> Checkpoint | None:
        """Return the last checkpoint, or None before the first."""
        return self._processes.from_first(self._run.load_checkpoint)

    def save_point(self, model: "Autoencoder", name: str) -> None:
        """Store the model at a point of a penalty path."""
        self._processes.from_first(lambda: self._run.save_point(model, name))

    def load_point(self, model: "Autoencoder", name: str) -> None:
        """Load the weights at a point of a penalty path into a model."""
        self._processes.from_first(lambda: self._run.load_point(model, name))
        self._processes.broadcast(list(model.state_dict().values()))
