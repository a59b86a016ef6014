"""Checkpoints of a training: written at the end of epochs and every few steps, read to resume."""

import math
import time
from dataclasses import dataclass

import torch

from lorae.data import Dataset
from lorae.errors import LoraeError
from lorae.objectives.objective import Objective
from lorae.optim.adam import restore_optimizer
from lorae.runs.schema import Checkpoint, TrainingState
from lorae.runs.store import RunStore
from lorae.system.faults import reason_of
from lorae.training.schedules import Schedule

# Smallest number of seconds between checkpoints at the ends of epochs: a write takes hundredths of a second, a large
# part of an epoch of a tenth of a second.
CHECKPOINT_PAUSE = 1.0

# The largest share of the time that writing may take on a GPU, where an epoch of the full network for faces takes 0.6 s
# and a checkpoint of it, 390 MB, longer.
CHECKPOINT_SHARE = 1 / 20


def check_fingerprint(state: TrainingState, dataset: Dataset, run: RunStore) -> None:
    """Raise LoraeError for other data than those of a checkpoint."""
    if state["data"] != dataset.fingerprint:
        raise LoraeError(
            f"data: {dataset.name!r} has fingerprint {dataset.fingerprint[:12]}, "
            f"expected {state['data'][:12]} (from {run.last_checkpoint}): the files have changed"
        )


@dataclass
class Checkpoints:
    """Checkpoints of everything that a training needs to continue as if it had not been interrupted."""

    run: RunStore
    dataset: Dataset
    objective: Objective
    optimizers: list[torch.optim.Adam]
    schedule: Schedule
    generator: torch.Generator
    _saved_at: float = -math.inf
    _saving: float = 0.0

    @property
    def _on_gpu(self) -> bool:
        return self.objective.penalty_scale.is_cuda

    def due(self, *, scheduled: bool) -> bool:
        """Return whether to write one now; `scheduled` for a step of `checkpoint_every`, not the end of an epoch."""
        if scheduled and not self._on_gpu:
            return True
        writing = self._saving if self._on_gpu else 0.0
        return time.perf_counter() - self._saved_at >= max(CHECKPOINT_PAUSE, writing / CHECKPOINT_SHARE)

    def save(self, step: int, seconds: float) -> None:
        """Write the state after `step` steps, which took `seconds` of training."""
        started = time.perf_counter()
        state: TrainingState = {
            "model": self.objective.model.state_dict(),
            "adversary": self.objective.modules.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "schedule": self.schedule.state(),
            "step": step,
            "seconds": seconds,
            "data": self.dataset.fingerprint,
            "rng": self.generator.get_state(),  # of torch's global one in earlier versions, which drew the same numbers
            "cuda_rng": torch.cuda.get_rng_state() if self._on_gpu else None,
        }
        self.run.save_checkpoint(state)
        self._saved_at = time.perf_counter()
        self._saving = self._saved_at - started

    def restore(self) -> tuple[int, float]:
        """Load the last checkpoint; return its step and seconds, zero without one.

        Raises LoraeError for other data than those of the checkpoint, and for another model.
        """
        state = self.run.load_checkpoint()
        if state is None:
            self.run.truncate_stats(0)
            return 0, 0.0
        check_fingerprint(state, self.dataset, self.run)
        try:
            self._load(state)
        except Exception as error:  # torch raises many kinds for a state of another structure
            reason = reason_of(error)
            raise LoraeError(f"{self.run.last_checkpoint}: does not hold this model ({reason})") from None
        self.run.truncate_stats(state["step"])
        return state["step"], state["seconds"]

    def _load(self, state: Checkpoint) -> None:
        self.objective.model.load_state_dict(state["model"])
        self.objective.modules.load_state_dict(state["adversary"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            restore_optimizer(optimizer, saved)
        self.schedule.restore(state["schedule"])
        if state["settings"]["epochs"] != self.run.settings.epochs:  # `Run.extend`
            self.schedule.extend(state["step"])
        self.generator.set_state(state["rng"])
        if state["cuda_rng"] is not None:
            torch.cuda.set_rng_state(state["cuda_rng"])
