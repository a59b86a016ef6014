"""Checkpoints of classifier trainings, so that a kill loses seconds of a training, not hours."""

import contextlib
import dataclasses
import hashlib
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from torch import nn

from lorae.errors import LoraeError
from lorae.evaluation.classification.protocol import LEARNING_RATE, LabeledData, Plan
from lorae.runs.model_files import save_tensors_atomically
from lorae.system.faults import reason_of
from lorae.system.files import read_file, try_lock

# Seconds between two writes: about an epoch of all 55,000 labeled digits from the images on. A write takes 20 ms for
# heads on latents, 70 ms for a network on images.
PAUSE = 20.0

# Increased when the state of a training changes; files of earlier formats are not continued.
FORMAT = 1

CHECK = 16  # bytes of a digest before the content: torch reads damaged numbers without an error


class TrainingCheckpoint:
    """One file with the state or the result of one training; with `path` None nothing is kept."""

    WAY_OUT = "delete it to restart its training"

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._written = time.monotonic()

    def read(self) -> dict[str, Any] | None:
        """Return the last content, or None; raise LoraeError if the file is damaged."""
        if self.path is None or not self.path.exists():
            return None
        try:
            content = read_file(self.path)
        except OSError as error:
            raise LoraeError(f"{self.path}: cannot be read ({reason_of(error)}); {self.WAY_OUT}") from None
        if content[:CHECK] != _digest(content[CHECK:]):
            raise LoraeError(f"{self.path}: the file is damaged; {self.WAY_OUT}")
        state: dict[str, Any] = torch.load(io.BytesIO(content[CHECK:]), weights_only=True)
        return state

    @property
    def is_due(self) -> bool:
        """Whether the last write is longer ago than `PAUSE`."""
        return self.path is not None and time.monotonic() - self._written >= PAUSE

    def write(self, state: dict[str, Any]) -> None:
        """Replace the content by a state of tensors and plain values."""
        if self.path is None:
            return
        save_tensors_atomically(self.path, state, _digest)
        self._written = time.monotonic()


class TrainingCheckpoints:
    """Checkpoints of the trainings of one measure, a file each; with `folder` None nothing is kept.

    The folder is locked from the first training until the end of the `with` block.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._lock: FileLock | None = None
        self._names: list[str] = []

    def __enter__(self) -> "TrainingCheckpoints":
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            Path(self._lock.lock_file).unlink(missing_ok=True)
            self._lock.release()
            self._lock = None

    def unfinished(self, n: int, key: Callable[[], str]) -> TrainingCheckpoint:
        """Return the checkpoint of one training with n labels; `key()` digests everything that decides its result."""
        if self.folder is None:
            return TrainingCheckpoint(None)
        if self._lock is None:
            path = self.folder.with_name(f"{self.folder.name}.lock")
            self._lock = try_lock(path, f"cannot write {path}")
            if self._lock is None:
                raise LoraeError(f"{self.folder}: locked by another process; wait until it ends, or stop it")
        self._names.append(f"{n}-labels-{key()}")
        return TrainingCheckpoint(self.folder / self._names[-1])

    def forget(self) -> None:
        """Delete the files with what interrupted writes left of them, and the folder if it is empty."""
        if self.folder is None:
            return
        for name in self._names:
            for path in (self.folder / name, *self.folder.glob(f".{name}.*")):
                path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty, or never made
            self.folder.rmdir()


def training_key(data: LabeledData, model: nn.Module, n: int, seeds: list[int], protocol: str, plan: Plan) -> str:
    """Return a digest of items, labels, untrained networks and protocol; 60,000 digits take 0.1 s."""
    found = hashlib.blake2b(digest_size=CHECK)
    weights = (parameter.detach().numpy() for parameter in model.parameters())
    for values in (data.train, data.train_labels, data.test, data.test_labels, *weights):
        found.update(f"{values.shape} {values.dtype}".encode())
        for start in range(0, len(values), 10_000):  # data may be a file as large as memory
            found.update(values[start : start + 10_000].tobytes())
    words = dataclasses.asdict(plan) | {"judged_after": sorted(plan.judged_after)}
    decided = [FORMAT, torch.__version__, LEARNING_RATE, str(model), n, seeds, protocol, words]
    found.update(json.dumps(decided).encode())
    return found.hexdigest()


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=CHECK).digest()
