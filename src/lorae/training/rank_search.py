"""Schedule that chooses the rank: training without a bound, then a bisection for the smallest rank within an error."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lorae.config.settings import Settings
from lorae.training.schedules import LEARNED, Phase, Schedule, StepConfig

if TYPE_CHECKING:
    from lorae.training.schedule_context import ScheduleContext

# Shares of all steps: the end of exploring, without a bound, and the end of the search, which tries ranks. The
# remaining steps refine the chosen rank. Trials get most: a latent of few directions takes longer to train than one of
# many, and a trial that is too short takes a rank for infeasible.
EXPLORED, SEARCHED_TO = 0.25, 0.85
# Until this share of all steps, a network whose error is halved by one more phase is still learning; the later error
# then sets the bound.
LEARNING_UNTIL = 0.5

# `auto` allows no error above a tenth of the variance: its bound lies halfway, in decibels, between that and the error
# without a bound. Leaving out one of d equal directions costs about 1/d of the variance, far above the bound.
LOST = 0.1
# An error below this share of the variance counts as this much: with as many coordinates as there are features a model
# may copy its input, and its error of zero carries no information. The bound is then sqrt(0.01 * 0.1), 3.2% of the
# variance.
NEGLIGIBLE = 0.01
# An unbounded error that is itself near a tenth of the variance may still grow by this factor.
MARGIN = 1.25


@dataclass
class _Search:
    """State of a search."""

    stage: str = "explore"  # then `search`, then `refine`
    feasible: int = 0  # the smallest rank within the bound so far
    infeasible: int = 0  # the largest rank above the bound so far
    trial: int = 0
    unbounded: float = math.inf  # error without a bound on the rank
    bound: float | None = None
    variance: float | None = None
    error: float | None = None  # at the end of the run
    curve: list[tuple[int, float]] = field(default_factory=list)  # ranks tried and their errors

    @property
    def reached(self) -> bool | None:
        """Whether the error at the end is within the bound; None before the end."""
        return None if self.error is None or self.bound is None else self.error <= self.bound


class RankSearch(Schedule):
    """Bisection for the smallest rank whose error stays within `bound(error without a bound on the rank, variance)`.

    Every trial starts from the model of the smallest feasible rank, cut to the rank on trial, and trains for a phase;
    an error above the bound restores that model.
    """

    def __init__(
        self, settings: Settings, total_steps: int, steps_per_epoch: int, bound: Callable[[float, float], float]
    ) -> None:
        super().__init__(settings, total_steps, steps_per_epoch)
        assert settings.latent_dim is not None
        self.bound = bound
        explored = max(1, round(EXPLORED * total_steps))
        self.warmup_steps = min(self.warmup_steps, explored / 4)
        self.waits_until = explored  # there is no penalty afterwards
        self.search_end = round(SEARCHED_TO * total_steps)
        self.phase = Phase(0, explored)
        self.search = _Search()
        self.snapshot: Any = None

    def step_config(self, step: int) -> StepConfig:
        """See `Schedule.step_config`."""
        search = self.search
        if search.stage == "explore":
            return StepConfig(self.phase.lr(step), self._weight(step))
        return StepConfig(self.phase.lr(step), 0.0, search.trial if search.stage == "search" else search.feasible)

    def rank_is_final(self, step: int) -> bool:  # noqa: ARG002
        """See `Schedule.rank_is_final`."""
        return self.search.stage == "refine"

    def _phase_ends_at(self, step: int) -> bool:
        return step == self.total_steps or (self.search.stage != "refine" and step == self.phase.end)

    def _end_phase(self, step: int, context: "ScheduleContext") -> None:
        search = self.search
        if search.stage != "refine":
            self._next_trial(step, context.error(), context)
        if step == self.total_steps:
            search.error = context.error()  # measured again: the last trial may have been reverted
            search.variance = context.variance()
            if search.bound is None:  # the run was too short for a trial
                search.bound = self.bound(search.error, search.variance)

    def _next_trial(self, step: int, error: float, context: "ScheduleContext") -> None:
        """Continue after exploring, or after a trial, whose error is given."""
        search = self.search
        if search.stage == "explore":
            search.stage, search.feasible = "search", max(1, context.rank())
            self._try_unbounded(step, error, context)
        elif self._still_learns(step, error, context.variance()):
            self._try_unbounded(step, error, context)
        else:
            self._judge(error, context)
            # A cut at the very end would leave a model that has not been trained.
            if search.feasible - search.infeasible > 1 and step < self.total_steps:
                search.trial = (search.feasible + search.infeasible) // 2
                context.cut(search.trial)
                self.phase = self._trial_from(step, halvings=math.log2(search.feasible - search.infeasible))
            else:
                search.stage = "refine"
                self.phase = Phase(step, max(1, self.total_steps - step))
                self.snapshot = None

    def _try_unbounded(self, step: int, error: float, context: "ScheduleContext") -> None:
        """Start a phase at the rank that exploring left, without the penalty: its error sets the bound."""
        search = self.search
        search.trial, search.unbounded = search.feasible, error
        self.snapshot = context.snapshot()
        self.phase = self._trial_from(step, halvings=math.log2(search.feasible) + 1)

    def _still_learns(self, step: int, error: float, variance: float) -> bool:
        """Return whether the first trial is too early: the network learned little, or the trial halved its error."""
        if self.search.curve or step >= LEARNING_UNTIL * self.total_steps or error <= NEGLIGIBLE * variance:
            return False
        return error > LEARNED * variance or error < self.search.unbounded / 2

    def _trial_from(self, step: int, halvings: float) -> Phase:
        """Return a phase that leaves the same number of steps to each remaining bisection step."""
        return Phase(step, max(1, round((self.search_end - step) / math.ceil(halvings))))

    def _judge(self, error: float, context: "ScheduleContext") -> None:
        """Record whether the rank on trial is feasible; restore the model before the trial if it is not."""
        # The smallest error so far sets the bound: after as many steps a larger rank has no larger error.
        search, bound = self.search, self.bound(error, context.variance())
        search.bound = bound if search.bound is None else min(search.bound, bound)
        search.curve.append((search.trial, error))
        if error <= search.bound:
            search.feasible = search.trial
            self.snapshot = context.snapshot()
        elif search.trial == search.feasible:  # the largest rank is not feasible either
            search.infeasible = search.feasible
        else:
            search.infeasible = search.trial
            context.restore(self.snapshot)

    def extend(self, step: int) -> None:
        """See `Schedule.extend`; the chosen rank is kept and refined."""
        super().extend(step)
        self.search.stage = "refine"
        self.phase = Phase(step, self.total_steps - step)

    def state(self) -> dict[str, Any]:
        """See `Schedule.state`."""
        search = dataclasses.asdict(self.search) | {"curve": [list(point) for point in self.search.curve]}
        return super().state() | {"search": search, "phase": dataclasses.asdict(self.phase), "snapshot": self.snapshot}

    def restore(self, state: Mapping[str, Any]) -> None:
        """See `Schedule.restore`."""
        super().restore(state)
        curve = [(int(rank), float(error)) for rank, error in state["search"]["curve"]]
        self.search = _Search(**dict(state["search"]) | {"curve": curve})
        self.phase = Phase(**state["phase"])
        self.snapshot = state["snapshot"]

    def result(self) -> dict[str, Any]:
        """Return the rank, its error at the end, the bound, the variance of the held-out items, and the ranks tried."""
        search = self.search
        measured = {"mse": search.error, "bound": search.bound, "variance": search.variance, "reached": search.reached}
        return (
            {"rank": search.feasible}
            | measured
            | {
                "tried": [{"rank": rank, "mse": error} for rank, error in search.curve],
            }
        )


def automatic_bound(error: float, variance: float) -> float:
    """Return the error that `rank="auto"` allows: halfway in decibels between the unbounded error and `LOST`.

    >>> round(automatic_bound(0.04, 1.0), 4)
    0.0632
    """
    return max(math.sqrt(max(error, NEGLIGIBLE * variance) * LOST * variance), MARGIN * error)
