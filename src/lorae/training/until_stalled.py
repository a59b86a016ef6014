"""Schedule that ends a training when the loss of held-out items has stopped falling, with the best weights."""

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lorae.config.settings import Settings
from lorae.training.schedules import Schedule, StepConfig, cosine

if TYPE_CHECKING:
    from lorae.training.schedule_context import ScheduleContext

# The training ends after this many times its default number of steps, if the loss still falls then.
LONGEST = 10

# Measurements within the patience: enough to tell a pause from the end, so few that they cost little.
MEASURED = 10

# Epochs with a falling learning rate, as a share of the epochs to the smallest loss: a rate that stays keeps the
# weights moving, so that the loss falls once more at a small one.
ANNEALED = 0.5


class UntilStalled(Schedule):
    """The schedule of a given length, `plan`, at its full learning rate until the held-out loss has stopped falling.

    The loss is measured from the step on at which penalty and bound are those of the plan's end, since others give
    losses that cannot be compared. When the smallest is older than the patience, training returns to its weights. With
    a cosine the rate then falls to zero over some epochs. The weights of the smallest loss are those of the end.

    Source: Prechelt, Early Stopping - But When?, in Neural Networks: Tricks of the Trade, 1998.
    """

    def __init__(self, settings: Settings, steps_per_epoch: int, plan: Schedule) -> None:
        super().__init__(settings, LONGEST * plan.total_steps, steps_per_epoch)
        assert settings.patience is not None
        self.plan = plan
        self.steps_per_epoch = steps_per_epoch
        self.patience = settings.patience
        self.every = steps_per_epoch * max(1, settings.patience // MEASURED)
        self.annealed_from: int | None = None
        self.loss, self.best_step = math.inf, 0
        self.snapshot: Any = None
        self.reason: str | None = None

    def step_config(self, step: int) -> StepConfig:
        """See `Schedule.step_config`."""
        start, rate = self.annealed_from, 1.0
        if start is not None:
            rate = cosine((step - start) / (self.total_steps - start))
        return dataclasses.replace(self.plan.step_config(step), lr=rate)

    def needs_update(self, step: int) -> bool:
        """See `Schedule.needs_update`."""
        return self.plan.needs_update(step) or self._measures_at(step)

    def rank_is_final(self, step: int) -> bool:
        """See `Schedule.rank_is_final`."""
        return self.plan.rank_is_final(step)

    def update(self, step: int, context: "ScheduleContext") -> None:
        """See `Schedule.update`."""
        if self.plan.needs_update(step):
            self.plan.update(step, context)
        if not self._measures_at(step):
            return
        loss = context.held_out_loss()
        if loss < self.loss or self.snapshot is None:
            self.loss, self.best_step, self.snapshot = loss, step, context.snapshot()
        if self.annealed_from is not None:
            if step == self.total_steps:
                context.restore(self.snapshot)
        elif step == self.total_steps or step - self.best_step >= self.patience * self.steps_per_epoch:
            self._stop(step, context)

    def _stop(self, step: int, context: "ScheduleContext") -> None:
        """Return to the best weights, and lower the rate or end."""
        self.reason = "longest" if step == self.total_steps else "stalled"
        context.restore(self.snapshot)
        self.total_steps = step
        if self.cosine:
            self.annealed_from = step
            epochs = math.ceil(ANNEALED * self.best_step / self.steps_per_epoch)
            self.total_steps += epochs * self.steps_per_epoch

    def _measures_at(self, step: int) -> bool:
        now, end = self.plan.step_config(step), self.plan.step_config(self.plan.total_steps)
        settled = (now.penalty, now.max_rank) == (end.penalty, end.max_rank) and self.rank_is_final(step)
        return settled and (step % self.every == 0 or step == self.total_steps)

    def state(self) -> dict[str, Any]:
        """See `Schedule.state`."""
        names = ("total_steps", "annealed_from", "loss", "best_step", "snapshot", "reason")
        return {"plan": self.plan.state()} | {name: getattr(self, name) for name in names}

    def restore(self, state: Mapping[str, Any]) -> None:
        """See `Schedule.restore`."""
        self.plan.restore(state["plan"])
        for name, value in state.items():
            if name != "plan":
                setattr(self, name, value)

    def stopping(self) -> dict[str, Any]:
        """Return where and why the training ended: epochs in all and until the best weights, their loss, the reason."""
        return {
            "epochs": self.total_steps // self.steps_per_epoch,
            "best_epoch": self.best_step // self.steps_per_epoch,
            "loss": self.loss,
            "patience": self.patience,
            "reason": self.reason,
        }
