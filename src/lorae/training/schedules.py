"""How a run proceeds: learning rate, weight of the penalty and bound on the rank at every step, by the user's goal.

A plain run follows a schedule. A run to a rank lowers a bound on it. A run to an error, or to a rank of its own choice
(`searches.py`), tries bounds, each for some steps, and goes back where one is too low. A path (`penalty_path.py`)
raises the penalty in turns. All of them end annealed: a measured error belongs to a learning rate near zero.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lorae.config.settings import Settings

if TYPE_CHECKING:
    from lorae.training.schedule_context import ScheduleContext

# Of all steps: where the bound of a run to a rank has fallen from the latent's width. Early, so that nearly all of the
# training is spent on the model that is wanted.
FALLEN_BY = 0.1

# Of all steps: how long a run to a rank keeps the full learning rate, unless it is constant. On MNIST at rank 16 the
# error is 0.0056 with this, 0.0066 with a cosine from the first step on, 0.0062 with a constant rate.
FULL_RATE = 0.7

# Proximal steps take a direction for good, and take those that the data do not pull at first: all of them, while a
# network has not yet learned what its items look like. So the penalty waits until half of the variance is explained,
# which is asked every ten steps. Some data are mostly noise: a plain run waits for half of its steps at most. The
# warm-up runs meanwhile: it is for the same purpose.
LEARNED, CHECK_EVERY, WAITED = 0.5, 10, 0.5

# The learning rate at the end of a turn, as a share of that at its start: small enough for errors to have settled,
# large enough for Adam not to stand still when the next turn starts there.
LAST_RATE = 0.02
# Of a turn after the first: how long the rate takes to rise. Adam's second moments are those of small steps by then: at
# the full rate the first steps would be far too large, and take directions away that do not come back.
RISE = 0.1


@dataclass(frozen=True)
class StepConfig:
    """Factors on the learning rate and on the penalty's weight, and the largest rank that M may have (None: any)."""

    lr: float
    penalty: float
    max_rank: int | None = None


class Schedule:
    """A plain run: a learning rate that is constant or falls along a cosine, and a penalty that may warm up."""

    def __init__(self, settings: Settings, total_steps: int, steps_per_epoch: int) -> None:
        self.total_steps = total_steps
        self.warmup_steps = (settings.penalty_warmup or 0.0) * steps_per_epoch
        self.cosine = settings.schedule == "cosine"
        self.waits = settings.matrix_update == "prox"
        self.waits_until = round(WAITED * total_steps)

    def step_config(self, step: int) -> StepConfig:
        """What holds for the step that comes next; `step` have been taken."""
        return StepConfig(cosine(step / self.total_steps) if self.cosine else 1.0, self._weight(step))

    def needs_update(self, step: int) -> bool:
        """Whether `after` has something to do once `step` steps have been taken."""
        return self._checks_progress_at(step) or self._phase_ends_at(step)

    def update(self, step: int, context: "ScheduleContext") -> None:
        """Look at where training is after `step` steps, and steer."""
        if self._checks_progress_at(step):
            self.waits = context.explained() < LEARNED
        if self._phase_ends_at(step):
            self._end_phase(step, context)

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs to go on."""
        return {"waits": self.waits}

    def restore(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state`."""
        self.waits = state.get("waits", False)  # checkpoints from before penalties waited

    def result(self) -> dict[str, Any] | None:
        """What was found on the way, as plain values for `evaluation.json`; None for nothing."""
        return None

    def _phase_ends_at(self, step: int) -> bool:  # noqa: ARG002
        """Whether a turn ends once `step` steps have been taken."""
        return False

    def _end_phase(self, step: int, context: "ScheduleContext") -> None:
        """Steer where a turn has ended."""

    def _checks_progress_at(self, step: int) -> bool:
        return self.waits and step < self.waits_until and step % CHECK_EVERY == 0

    def _weight(self, step: int) -> float:
        """The factor on the penalty's weight: none while it waits, less than one while it warms up."""
        if self.waits and step < self.waits_until:
            return 0.0
        return min(1.0, step / self.warmup_steps) if self.warmup_steps > 0 else 1.0


class FixedRank(Schedule):
    """A bound that falls from the latent's width to the wanted rank, then stays while the penalty is off.

    Without the penalty, what is left is not shrunk: the model of a given rank with the smallest error is wanted.
    """

    def __init__(self, settings: Settings, total_steps: int, steps_per_epoch: int, rank: int) -> None:
        super().__init__(settings, total_steps, steps_per_epoch)
        assert settings.latent_dim is not None
        self.width, self.rank = settings.latent_dim, rank
        self.waits_until = round(FALLEN_BY * total_steps)  # there is no penalty afterwards

    def step_config(self, step: int) -> StepConfig:
        """See `Schedule.step_config`."""
        progress = step / self.total_steps
        fallen = min(1.0, progress / FALLEN_BY)
        # By the same factor at each step: the last directions matter most and get the most time.
        bound = max(self.rank, round(self.width * (self.rank / self.width) ** fallen))
        if step == self.total_steps - 1:  # also of a run that is too short for a fall
            bound = self.rank
        rate = cosine(max(0.0, progress - FULL_RATE) / (1 - FULL_RATE)) if self.cosine else 1.0
        return StepConfig(rate, self._weight(step) if fallen < 1 else 0.0, bound)


@dataclass
class Phase:
    """Some steps with one learning-rate cosine."""

    start: int
    length: int

    def lr(self, step: int) -> float:
        """The factor on the learning rate for the step that comes next; `step` have been taken."""
        progress = (step - self.start) / self.length
        risen = 1.0 if self.start == 0 else min(1.0, progress / RISE)
        return LAST_RATE + (1 - LAST_RATE) * risen * cosine(progress)

    @property
    def end(self) -> int:
        """The number of steps taken when it ends."""
        return self.start + self.length


def cosine(progress: float) -> float:
    """From 1 at the start to 0 at the end, and 0 from there on."""
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
