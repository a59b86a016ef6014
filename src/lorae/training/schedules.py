"""Learning rate, weight of the penalty and bound on the rank at every step; all anneal before an error is measured."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lorae.config.settings import Settings
from lorae.optim.proximal_adam import SHRINK_EVERY

if TYPE_CHECKING:
    from lorae.training.schedule_context import ScheduleContext

# Share of all steps after which the bound of a run to a rank has fallen from the latent's width to that rank. Early, so
# that nearly all of the training is spent on the final rank.
FALLEN_BY = 0.1

# Share of all steps at the full learning rate in a run to a rank, unless the rate is constant. On MNIST at rank 16 the
# error is 0.0056 with this, 0.0066 with a cosine from the first step on, 0.0062 with a constant rate.
FULL_RATE = 0.7

# Proximal steps remove a direction permanently, and first those with small gradients: all of them, while a network has
# learned little. So the penalty waits until half of the variance is explained, which is checked every ten steps. Some
# data are mostly noise: a plain run waits for half of its steps at most. The warm-up, which has the same purpose, runs
# meanwhile.
LEARNED, CHECK_EVERY, WAITED = 0.5, 10, 0.5

# Learning rate at the end of a phase, as a share of that at its start: small enough for errors to settle, large enough
# for Adam to keep moving at the start of the next phase.
LAST_RATE = 0.02
# Share of a phase, after the first one, in which the rate rises. Adam's second moments are then those of small steps:
# at the full rate the first steps would be far too large, and remove directions permanently.
RISE = 0.1


@dataclass(frozen=True)
class StepConfig:
    """Factors on the learning rate and on the penalty's weight, and the largest rank that M may have (None: any)."""

    lr: float
    penalty: float
    max_rank: int | None = None


class Schedule:
    """Schedule of a plain run: a constant or cosine learning rate, and a penalty that may warm up."""

    def __init__(self, settings: Settings, total_steps: int, steps_per_epoch: int) -> None:
        self.total_steps = total_steps
        self.warmup_steps = (settings.penalty_warmup or 0.0) * steps_per_epoch
        self.cosine = settings.schedule == "cosine"
        self.waits = settings.matrix_update == "prox"
        self.waits_until = round(WAITED * total_steps)
        self.extension: Phase | None = None

    def step_config(self, step: int) -> StepConfig:
        """Return the configuration of the next step, after `step` steps."""
        return StepConfig(self._rate(step, 0.0), self._weight(step))

    def _rate(self, step: int, full: float) -> float:
        """Return the factor on the learning rate, of a cosine that falls after a share `full` of the steps."""
        if not self.cosine:
            return 1.0
        if self.extension is not None:
            return self.extension.lr(step)
        return cosine(max(0.0, step / self.total_steps - full) / (1 - full))

    def needs_update(self, step: int) -> bool:
        """Return whether `update` has something to do after `step` steps."""
        return self._checks_progress_at(step) or self._phase_ends_at(step)

    def rank_is_final(self, step: int) -> bool:  # noqa: ARG002
        """Return whether the model after `step` steps has the rank of the end of the run."""
        return True

    def update(self, step: int, context: "ScheduleContext") -> None:
        """Measure the training after `step` steps, and adapt the following steps."""
        if self._checks_progress_at(step):
            self.waits = context.explained() < LEARNED
        if self._phase_ends_at(step):
            self._end_phase(step, context)

    def extend(self, step: int) -> None:
        """Continue a training that ended after `step` steps, by those that `total_steps` now has more.

        A cosine falls anew over these steps, after a rise; a constant rate stays, so that the weights are those of a
        training of that length from the start.
        """
        self.extension = Phase(step, self.total_steps - step)

    def state(self) -> dict[str, Any]:
        """Return the state that a checkpoint needs."""
        extension = None if self.extension is None else dataclasses.asdict(self.extension)
        return {"waits": self.waits, "extension": extension}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Load the result of `state`."""
        self.waits = state.get("waits", False)  # checkpoints from before penalties waited
        extension = state.get("extension")
        self.extension = None if extension is None else Phase(**extension)

    def result(self) -> dict[str, Any] | None:
        """Return the findings of the schedule, as plain values for `evaluation.json`, or None."""
        return None

    def stopping(self) -> dict[str, Any] | None:
        """Return where and why the training ended, as plain values; None if its length was given."""
        return None

    def _phase_ends_at(self, step: int) -> bool:  # noqa: ARG002
        """Return whether a phase ends after `step` steps."""
        return False

    def _end_phase(self, step: int, context: "ScheduleContext") -> None:
        """Choose the next phase."""

    def _checks_progress_at(self, step: int) -> bool:
        return self.waits and self.extension is None and step < self.waits_until and step % CHECK_EVERY == 0

    def _weight(self, step: int) -> float:
        """Return the factor on the penalty's weight: 0 while it waits, below 1 while it warms up."""
        if self.waits and self.extension is None and step < self.waits_until:
            return 0.0
        return min(1.0, step / self.warmup_steps) if self.warmup_steps > 0 else 1.0


class FixedRank(Schedule):
    """A bound that falls from the latent's width to the given rank, then stays while the penalty is off.

    Without the penalty the remaining directions are not shrunk, which gives a smaller error at that rank.
    """

    def __init__(self, settings: Settings, total_steps: int, steps_per_epoch: int, rank: int) -> None:
        super().__init__(settings, total_steps, steps_per_epoch)
        assert settings.latent_dim is not None
        self.width, self.rank = settings.latent_dim, rank
        self.waits_until = round(FALLEN_BY * total_steps)  # there is no penalty afterwards

    def step_config(self, step: int) -> StepConfig:
        """See `Schedule.step_config`."""
        fallen = 1.0 if self.extension is not None else min(1.0, step / self.total_steps / FALLEN_BY)
        # By a constant factor per step: the last directions matter most and get most of the time.
        bound = max(self.rank, round(self.width * (self.rank / self.width) ** fallen))
        if step == self.total_steps - 1:  # also in a run that is too short to lower it
            bound = self.rank
        return StepConfig(self._rate(step, FULL_RATE), self._weight(step) if fallen < 1 else 0.0, bound)

    def rank_is_final(self, step: int) -> bool:
        """See `Schedule.rank_is_final`."""
        return (
            self.width == self.rank or self.extension is not None or step > FALLEN_BY * self.total_steps + SHRINK_EVERY
        )


@dataclass
class Phase:
    """Some steps with one learning-rate cosine."""

    start: int
    length: int

    def lr(self, step: int) -> float:
        """Return the factor on the learning rate of the next step, after `step` steps."""
        progress = (step - self.start) / self.length
        risen = 1.0 if self.start == 0 else min(1.0, progress / RISE)
        return LAST_RATE + (1 - LAST_RATE) * risen * cosine(progress)

    @property
    def end(self) -> int:
        """Number of steps after which it ends."""
        return self.start + self.length


def cosine(progress: float) -> float:
    """Return half a cosine wave, from 1 at progress 0 to 0 at progress 1 and beyond."""
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
