"""A run that lives in memory: what training needs of a run folder, without one. Nothing can be resumed."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorae.config.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor

    from lorae.models.autoencoder import Autoencoder


class InMemoryRun:
    """Settings and statistics of one training; models at points of a penalty path are kept as they are.

    threads: as many as torch uses while it trains.
    """

    path = Path("memory")
    last_checkpoint = None

    def __init__(self, settings: Settings, threads: int) -> None:
        self.settings = settings
        self.config = {"machine": {"threads": threads}}
        self.records: list[dict[str, Any]] = []
        self._points: dict[str, dict[str, Tensor]] = {}

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else can train it."""
        yield

    def append_stats(self, record: dict[str, Any]) -> None:
        """Keep a line of statistics."""
        self.records.append(record)

    def truncate_stats(self, step: int) -> None:
        """There is nothing to take again."""

    def save_checkpoint(self, state: dict[str, Any]) -> None:
        """Nothing is written."""

    def load_checkpoint(self) -> None:
        """There is none."""

    def save_point(self, model: "Autoencoder", name: str) -> None:
        """Keep the weights as they are."""
        self._points[name] = {key: value.detach().clone() for key, value in model.state_dict().items()}

    def load_point(self, model: "Autoencoder", name: str) -> None:
        """Give a model the weights that were kept."""
        model.load_state_dict(self._points[name])
