"""Interface of a training's storage: a run folder, or memory."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lorae.config.settings import Settings
from lorae.runs.schema import Checkpoint, TrainingState

if TYPE_CHECKING:
    from lorae.models.autoencoder import Autoencoder


class RunStore(Protocol):
    """Settings, statistics, checkpoints and models of one training; `Run` and `InMemoryRun` are such stores."""

    path: Path

    @property
    def settings(self) -> Settings:
        """Resolved settings."""

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
