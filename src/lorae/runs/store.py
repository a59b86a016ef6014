"""Storage of a training: the interface, and a run in memory."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lorae.config.settings import Settings
from lorae.runs.schema import Checkpoint, TrainingState

if TYPE_CHECKING:
    from torch import Tensor

    from lorae.models.autoencoder import Autoencoder
    from lorae.models.own_networks import OwnNetworks


class RunStore(Protocol):
    """Settings, statistics, checkpoints and models of one training; `Run` and `InMemoryRun` are such stores."""

    path: Path

    @property
    def settings(self) -> Settings:
        """Resolved settings."""

    @property
    def networks(self) -> "OwnNetworks | None":
        """The user's networks; None for a built-in network."""

    @property
    def threads(self) -> int:
        """Number of CPU threads; sums of floats depend on it."""

    @property
    def last_checkpoint(self) -> Path | None:
        """Path of the last checkpoint, or None before the first."""

    def locked(self) -> AbstractContextManager[None]:
        """Keep other processes from training the same run; raise LoraeError if one does."""

    def append_stats(self, record: dict[str, Any]) -> None:
        """Append a line of statistics."""

    def stats(self, event: str | None = None) -> Iterator[dict[str, Any]]:
        """Yield the statistics, or those of one event (`step` or `epoch`)."""

    def truncate_stats(self, step: int) -> None:
        """Drop the statistics of steps after `step`, which a resumed training takes again."""

    def save_checkpoint(self, state: TrainingState) -> None:
        """Replace the checkpoint."""

    def load_checkpoint(self) -> Checkpoint | None:
        """Return the last checkpoint, or None before the first."""

    def save_point(self, model: "Autoencoder", name: str) -> None:
        """Store the model at a point of a penalty path."""

    def load_point(self, model: "Autoencoder", name: str) -> None:
        """Load the weights at a point of a penalty path into a model."""


class InMemoryRun:
    """`RunStore` in memory that keeps statistics and the models at points of a penalty path, and no checkpoint."""

    path = Path("memory")
    last_checkpoint = None
    networks = None

    def __init__(self, settings: Settings, threads: int) -> None:
        self.settings = settings
        self.threads = threads
        self.records: list[dict[str, Any]] = []
        self._points: dict[str, dict[str, Tensor]] = {}

    def locked(self) -> AbstractContextManager[None]:
        """No-op: only this process has the run."""
        return nullcontext()

    def append_stats(self, record: dict[str, Any]) -> None:
        """Append a line of statistics to `records`."""
        self.records.append(record)

    def stats(self, event: str | None = None) -> Iterator[dict[str, Any]]:
        """Yield the records, or those of one event."""
        return (record for record in self.records if event in (None, record["event"]))

    def truncate_stats(self, step: int) -> None:
        """No-op: in-memory runs cannot resume."""

    def save_checkpoint(self, state: TrainingState) -> None:
        """No-op: in-memory runs cannot resume."""

    def load_checkpoint(self) -> None:
        """Return None: in-memory runs cannot resume."""

    def save_point(self, model: "Autoencoder", name: str) -> None:
        """Copy the weights of the model."""
        self._points[name] = {key: value.detach().clone() for key, value in model.state_dict().items()}

    def load_point(self, model: "Autoencoder", name: str) -> None:
        """Load the weights of `save_point` into a model."""
        model.load_state_dict(self._points[name])
