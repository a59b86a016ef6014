"""Callbacks of a training: objects of users and trackers, called between its steps.

A callback is any object with some of these methods. The first three take a `Progress`:

- `on_step_end`: after each step. `values` has `loss` and the terms of the loss, as scalar tensors of the device.
- `on_epoch_end`: after each epoch. `values` has `test_mse` and `rank` of up to 2,000 test items, `n`.
- `on_checkpoint`: after a checkpoint was written. `values` has its `path`.
- `close`: at the end of the training, also after an exception.

All run when the step is complete, so that a training continues exactly after an exception in one. They may use the
model, but not change its weights.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from lorae.errors import LoraeError
from lorae.models.autoencoder import Autoencoder
from lorae.randomness import drawing_from
from lorae.runs.store import RunStore
from lorae.system.faults import reason_of, tolerated

HOOKS = ("on_step_end", "on_epoch_end", "on_checkpoint")


@dataclass(frozen=True)
class Progress:
    """The state of a training after `step` of `total_steps` steps, in epoch `epoch` from 1, for a callback."""

    run: RunStore
    model: Autoencoder
    step: int
    epoch: int
    total_steps: int
    values: Mapping[str, Any]


class CallbackError(LoraeError):
    """An exception in a callback, which is its cause."""


class Callbacks:
    """The callbacks of one training; LoraeError for an object without any of the methods."""

    def __init__(self, callbacks: Sequence[object] = ()) -> None:
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            if not any(callable(getattr(callback, name, None)) for name in HOOKS):
                raise LoraeError(f"callbacks: got {callback!r}, expected an object with one of {', '.join(HOOKS)}")

    def listen_to(self, name: str) -> bool:
        """Return whether any callback has the method of a name."""
        return any(hasattr(callback, name) for callback in self.callbacks)

    def call(self, name: str, progress: Progress) -> None:
        """Call the method of each callback that has it; CallbackError for an exception in one."""
        for callback in self.callbacks:
            hook = getattr(callback, name, None)
            if hook is None:
                continue
            try:
                with drawing_from(torch.Generator("cpu")):  # the draws of the training stay as they are
                    hook(progress)
            except Exception as error:  # code of users
                place = f"{type(callback).__name__}.{name}"
                raise CallbackError(f"callbacks: {place}: {type(error).__name__}: {reason_of(error)}") from error
            progress.model.train()

    def close(self) -> None:
        """Close each callback that can be closed; the training is complete without it, so that a fault is a warning."""
        for callback in self.callbacks:
            close = getattr(callback, "close", None)
            if close is not None:
                with tolerated(f"callbacks: {type(callback).__name__} is not closed"):
                    close()
