"""A run to an error, or to a rank of its own choice: it learns without a bound, then tries bounds by bisection."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lorae.config.settings import Settings
from lorae.training.schedules import LEARNED, Phase, Schedule, StepConfig

if TYPE_CHECKING:
    from lorae.training.schedule_context import ScheduleContext

# Of all steps: those that learn without a bound, and from there on those that try bounds. The rest refines the one
# chosen. Trials get most: a latent of few directions takes longer to learn than one of many, and a trial cut short
# takes a rank for too low.
EXPLORED, SEARCHED_TO = 0.25, 0.85
# Until then an error that was halved by one more turn counts as one of a network that is still learning: bounds are
# tried against what it comes to.
LEARNING_UNTIL = 0.5

# What `auto` takes for lost: an error of a tenth of the variance. The bound lies halfway, in decibels, between that
# and the error without a bound. Leaving out one of d equal directions costs about 1/d of the variance, far above it.
LOST = 0.1
# An error below this share of the variance counts as this much: with as many coordinates as there are features a model
# may copy its input, whose error of zero says nothing. The bound is then sqrt(0.01 * 0.1), 3.2% of the variance.
NEGLIGIBLE = 0.01
# Where that error itself is near a tenth of the variance, it may still grow by this factor.
MARGIN = 1.25


@dataclass
class _Search:
    """Where a search stands: ranks known to be good and too low, the one on trial, errors found, the last of them."""

    phase: str = "explore"
    good: int = 0
    bad: int = 0
    trial: int = 0
    unbounded: float = math.inf
    bound: float | None = None
    variance: float | None = None
    error: float | None = None
    curve: list[tuple[int, float]] = field(default_factory=list)

    @property
    def reached(self) -> bool | None:
        """Whether the error at the end is within the bound; None before the end."""
        return None if self.error is None or self.bound is None else self.error <= self.bound


class RankSearch(Schedule):
    """The smallest rank whose error stays within a bound, found by bisection from a model without one.

    Every trial starts from the smallest good model, cut to the rank on trial, and trains for a turn; an error above the
    bound takes it back. bound(error, variance): the bound, from the error without a limit on the rank.
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
        if self.search.phase == "explore":
            return StepConfig(self.phase.lr(step), self._weight(step))
        return StepConfig(
            self.phase.lr(step), 0.0, self.search.trial if self.search.phase == "search" else self.search.good
        )

    def _phase_ends_at(self, step: int) -> bool:
        return step == self.total_steps or (self.search.phase != "refine" and step == self.phase.end)

    def _end_phase(self, step: int, context: "ScheduleContext") -> None:
        search = self.search
        if search.phase != "refine":
            self._next_trial(step, context.error(), context)
        if step == self.total_steps:
            search.error = context.error()  # of the model as it is now: the last trial may have been taken back
            search.variance = context.variance()
            if search.bound is None:  # the run was too short for a trial
                search.bound = self.bound(search.error, search.variance)

    def _next_trial(self, step: int, error: float, context: "ScheduleContext") -> None:
        """After exploring, or after a trial that came to this error."""
        search = self.search
        if search.phase == "explore":
            search.phase, search.good = "search", max(1, context.rank())
            self._try_all(step, error, context)
        elif self._still_learns(step, error, context.variance()):
            self._try_all(step, error, context)
        else:
            self._judge(error, context)
            # A cut at the very end would leave a model that nobody trained.
            if search.good - search.bad > 1 and step < self.total_steps:
                search.trial = (search.good + search.bad) // 2
                context.cut(search.trial)
                self.phase = self._trial_from(step, halvings=math.log2(search.good - search.bad))
            else:
                search.phase = "refine"
                self.phase = Phase(step, max(1, self.total_steps - step))
                self.snapshot = None

    def _try_all(self, step: int, error: float, context: "ScheduleContext") -> None:
        """A turn for the rank that exploring left, without the penalty: what its error comes to decides on the rest."""
        search = self.search
        search.trial, search.unbounded = search.good, error
        self.snapshot = context.snapshot()
        self.phase = self._trial_from(step, halvings=math.log2(search.good) + 1)

    def _still_learns(self, step: int, error: float, variance: float) -> bool:
        """Whether the first trial is too early: the network has learned little yet, or got twice as good meanwhile."""
        if self.search.curve or step >= LEARNING_UNTIL * self.total_steps or error <= NEGLIGIBLE * variance:
            return False
        return error > LEARNED * variance or error < self.search.unbounded / 2

    def _trial_from(self, step: int, halvings: float) -> Phase:
        """A turn as long as all the halvings that are left can get."""
        return Phase(step, max(1, round((self.search_end - step) / math.ceil(halvings))))

    def _judge(self, error: float, context: "ScheduleContext") -> None:
        """Keep the rank on trial, or take it back; the first one is all of them, without the penalty.

        The smallest error so far decides on the bound: with as many steps no rank has a larger one than a smaller rank.
        """
        search, bound = self.search, self.bound(error, context.variance())
        search.bound = bound if search.bound is None else min(search.bound, bound)
        search.curve.append((search.trial, error))
        if error <= search.bound:
            search.good = search.trial
            self.snapshot = context.snapshot()
        elif search.trial == search.good:  # no rank can do it
            search.bad = search.good
        else:
            search.bad = search.trial
            context.restore(self.snapshot)

    def state(self) -> dict[str, Any]:
        """See `Schedule.state`."""
        search = dataclasses.asdict(self.search) | {"curve": [list(point) for point in self.search.curve]}
        return super().state() | {"search": search, "turn": dataclasses.asdict(self.phase), "snapshot": self.snapshot}

    def restore(self, state: Mapping[str, Any]) -> None:
        """See `Schedule.restore`."""
        super().restore(state)
        curve = [(int(rank), float(error)) for rank, error in state["search"]["curve"]]
        self.search = _Search(**dict(state["search"]) | {"curve": curve})
        self.phase = Phase(**state["turn"])
        self.snapshot = state["snapshot"]

    def result(self) -> dict[str, Any]:
        """The rank, its error at the end, the bound and whether it was kept, and the errors of all ranks tried.

        variance: of the items that the errors are of.
        """
        search = self.search
        return {
            "rank": search.good,
            "mse": search.error,
            "bound": search.bound,
            "variance": search.variance,
            "reached": search.reached,
            "tried": [{"rank": rank, "mse": error} for rank, error in search.curve],
        }


def automatic_bound(error: float, variance: float) -> float:
    """The error that `rank="auto"` allows: halfway in decibels from that without a bound to a tenth of the variance.

    >>> round(automatic_bound(0.04, 1.0), 4)
    0.0632
    """
    return max(math.sqrt(max(error, NEGLIGIBLE * variance) * LOST * variance), MARGIN * error)
