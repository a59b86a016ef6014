"""A run without a folder, which cannot be resumed."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorae.config.settings import Settings
from lorae.runs.schema import TrainingState

if TYPE_CHECKING:
    from torch import Tensor

    from lorae.models.autoencoder import Autoencoder


class InMemoryRun:
    """`RunStore` that keeps statistics and the models at points of a penalty path in memory, and no checkpoint."""

    path = Path("memory")
    last_checkpoint = None

    def __init__(self, settings: Settings, threads: int) -> None:
        self.settings = settings
        self.threads = threads
        self.records: list[dict[str, Any]] = []
        self._points: dict[str, dict[str, Tensor]] = {}

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """No-op: only this process has the run."""
        yield

    def append_stats(self, record: dict[str, Any]) -> None:
        """Append a line of statistics to `records`."""
        self.records.append(record)

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
