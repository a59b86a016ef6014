"""How far a training of classifiers is, on disk: a kill loses seconds of it, not hours."""

import contextlib
import dataclasses
import hashlib
import io
import json
import pickle
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from lorae.classification.protocol import LabelledData, Plan
from lorae.errors import LoraeError
from lorae.files import write_atomically

# Seconds between two writes: about an epoch of all 55,000 labelled digits from the images on. A write takes 20 ms.
PAUSE = 20.0


class Unfinished:
    """One file with the state of one training, or with its result, for whoever asks for the same training again.

    path: None keeps nothing; key: of everything that decides the result, what another key has written is not read.
    """

    def __init__(self, path: Path | None, key: str = "") -> None:
        self.path = path
        self.key = key
        self._written = time.monotonic()

    def read(self) -> dict[str, Any] | None:
        """What was written last under this key; LoraeError where the file cannot be read."""
        if self.path is None or not self.path.exists():
            return None
        try:
            found: dict[str, Any] = torch.load(self.path, weights_only=True)
            key, state = found["key"], found["state"]
        except (OSError, RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError):
            # What torch says of such a file takes six lines and advises to trust it.
            raise LoraeError(f"{self.path}: no training can be read from it; delete it, and it starts anew") from None
        return state if key == self.key else None

    @property
    def is_due(self) -> bool:
        """Whether a state is to be written again."""
        return self.path is not None and time.monotonic() - self._written >= PAUSE

    def write(self, state: dict[str, Any]) -> None:
        """Keep tensors and plain values instead of what was kept before."""
        if self.path is None:
            return
        content = io.BytesIO()
        torch.save({"key": self.key, "state": state}, content)
        write_atomically(self.path, content.getvalue())
        self._written = time.monotonic()


def place(folder: Path, n: int, seeds: Sequence[int]) -> Path:
    """The file of a training with n labels."""
    return folder / f"{n}-labels-seed-{'-'.join(map(str, seeds))}.pt"


def forget(folder: Path | None, counts: Iterable[int]) -> None:
    """Delete the files of these numbers of labels, and the folder where nothing else is in it."""
    if folder is None or not folder.exists():
        return
    for n in counts:
        for path in folder.glob(place(Path(), n, []).name.replace(".pt", "*.pt")):
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # another number of labels is still being trained
        folder.rmdir()


def training_key(data: LabelledData, model: nn.Module, n: int, seeds: list[int], protocol: str, plan: Plan) -> str:
    """A digest of items, labels, untrained networks and protocol.

    60,000 digits take 0.1 s, and nobody can forget to raise a number when the latents become others.
    """
    found = hashlib.blake2b(digest_size=16)
    for values in (data.train, data.train_labels, data.test, data.test_labels):
        _add(found, values)
    for parameter in model.parameters():
        _add(found, parameter.detach().numpy())
    words = dataclasses.asdict(plan) | {"judged_after": sorted(plan.judged_after)}
    found.update(json.dumps([str(model), n, seeds, protocol, words]).encode())
    return found.hexdigest()


def _add(found: "hashlib.blake2b", values: NDArray[Any]) -> None:
    found.update(f"{values.shape} {values.dtype}".encode())
    for start in range(0, len(values), 10_000):  # data may be a file as large as memory
        found.update(values[start : start + 10_000].tobytes())
