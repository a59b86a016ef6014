"""How a run proceeds: learning rate, weight of the penalty and bound on the rank at every step, by the user's goal.

A plain run follows a schedule. A run to a rank lowers a bound on it. A run to an error, or to a rank of its own
choice, first learns without a bound and then tries bounds, each for some steps, and goes back where one is too low. A
path raises the penalty in turns. All of them end annealed: a measured error belongs to a learning rate near zero.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from lorae.settings import Settings

# Of all steps: those that learn without a bound, and from there on those that try bounds. The rest refines the one
# chosen. Trials get most: a latent of few directions takes longer to learn than one of many, and a trial cut short
# takes a rank for too low.
EXPLORED, SEARCHED_TO = 0.25, 0.85
# Until then an error that was halved by one more turn counts as one of a network that is still learning: bounds are
# tried against what it comes to.
LEARNING_UNTIL = 0.5

# Of all steps: where the bound of a run to a rank has fallen from the latent's width. Early, so that nearly all of the
# training is spent on the model that is wanted.
FALLEN_BY = 0.1

# Of all steps: how long a run to a rank keeps the full learning rate, unless it is constant. On MNIST at rank 16 the
# error is 0.0056 with this, 0.0066 with a cosine from the first step on, 0.0062 with a constant rate.
FULL_RATE = 0.7

# Proximal steps take a direction for good, and take those that the data do not pull at first: all of them, while a
# network has not yet learned what its items look like. So the penalty waits until half of the variance is explained,
# which is asked every so many steps; but not for more than half of the training, as some data are mostly noise.
LEARNED, LOOK_EVERY, WAITED = 0.5, 10, 0.5

# The learning rate at the end of a turn, as a share of that at its start: small enough for errors to have settled,
# large enough for Adam not to stand still when the next turn starts there.
LAST_RATE = 0.02
# Of a turn after the first: how long the rate takes to rise. Adam's second moments are those of small steps by then: at
# the full rate the first steps would be far too large, and take directions away that do not come back.
RISE = 0.1

# What `auto` takes for lost: an error of a tenth of the variance. The bound lies halfway, in decibels, between that
# and the error without a bound. Leaving out one of d equal directions costs about 1/d of the variance, far above it.
LOST = 0.1
# An error below this share of the variance counts as this much: with as many coordinates as there are features a model
# may copy its input, whose error of zero says nothing. The bound is then sqrt(0.01 * 0.1), 3.2% of the variance.
NEGLIGIBLE = 0.01
# Where that error itself is near a tenth of the variance, it may still grow by this factor.
MARGIN = 1.25


@dataclass(frozen=True)
class Now:
    """Factors on the learning rate and on the penalty's weight, and the largest rank that M may have (None: any)."""

    lr: float
    penalty: float
    max_rank: int | None = None


class Subject(Protocol):
    """What a course asks of the training that it steers."""

    def rank(self) -> int:
        """The rank of M."""

    def error(self) -> float:
        """Mean squared error on the items set aside."""

    def variance(self) -> float:
        """Mean variance of an entry of those items: the error of the best constant."""

    def explained(self) -> float:
        """Share of the variance of training items that the model explains, about: of some of them."""

    def cut(self, rank: int) -> None:
        """Take all directions from M but those of the largest variance of the latents."""

    def snapshot(self) -> Any:
        """Weights and optimizer as they are."""

    def restore(self, snapshot: Any) -> None:
        """Go back to a snapshot."""

    def keep_point(self, name: str) -> None:
        """Store the model as it is under a name, beside the run's own."""

    def return_to_point(self, name: str) -> None:
        """Take the weights of a model that was kept."""


class Course:
    """A plain run: a learning rate that is constant or falls along a cosine, and a penalty that may warm up."""

    def __init__(self, settings: Settings, total_steps: int, steps_per_epoch: int) -> None:
        self.total_steps = total_steps
        self.warmup_steps = (settings.penalty_warmup or 0.0) * steps_per_epoch
        self.cosine = settings.schedule == "cosine"
        self.waits = settings.matrix_update == "prox"
        self.waits_until = round(WAITED * total_steps)

    def now(self, step: int) -> Now:
        """What holds for the step that comes next; `step` have been taken."""
        return Now(_cosine(step / self.total_steps) if self.cosine else 1.0, self._weight(step))

    def turns_at(self, step: int) -> bool:
        """Whether `after` has something to do once `step` steps have been taken."""
        return self._looks_at(step) or self._ends_at(step)

    def after(self, step: int, subject: Subject) -> None:
        """Look at where training is after `step` steps, and steer."""
        if self._looks_at(step):
            self.waits = subject.explained() < LEARNED
        if self._ends_at(step):
            self._turn_over(step, subject)

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs to go on."""
        return {"waits": self.waits}

    def restore(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state`."""
        self.waits = state["waits"]

    def result(self) -> dict[str, Any] | None:
        """What was found on the way, as plain values for `evaluation.json`; None for nothing."""
        return None

    def _ends_at(self, step: int) -> bool:  # noqa: ARG002
        """Whether a turn ends once `step` steps have been taken."""
        return False

    def _turn_over(self, step: int, subject: Subject) -> None:
        """Steer where a turn has ended."""

    def _looks_at(self, step: int) -> bool:
        return self.waits and step < self.waits_until and step % LOOK_EVERY == 0

    def _weight(self, step: int) -> float:
        """The factor on the penalty's weight: none while it waits, less than one while it warms up."""
        if self.waits and step < self.waits_until:
            return 0.0
        return min(1.0, step / self.warmup_steps) if self.warmup_steps > 0 else 1.0


class FixedRank(Course):
    """A bound that falls from the latent's width to the wanted rank, then stays while the penalty is off.

    Without the penalty, what is left is not shrunk: the model of a given rank with the smallest error is wanted.
    """

    def __init__(self, settings: Settings, total_steps: int, steps_per_epoch: int, rank: int) -> None:
        super().__init__(settings, total_steps, steps_per_epoch)
        assert settings.latent_dim is not None
        self.width, self.rank = settings.latent_dim, rank

    def now(self, step: int) -> Now:
        """See `Course.now`."""
        progress = step / self.total_steps
        fallen = min(1.0, progress / FALLEN_BY)
        # By the same factor at each step: the last directions matter most and get the most time.
        bound = max(self.rank, round(self.width * (self.rank / self.width) ** fallen))
        rate = _cosine(max(0.0, progress - FULL_RATE) / (1 - FULL_RATE)) if self.cosine else 1.0
        return Now(rate, self._weight(step) if fallen < 1 else 0.0, bound)


@dataclass
class _Turn:
    """Some steps with one learning-rate cosine."""

    start: int
    length: int

    def lr(self, step: int) -> float:
        progress = (step - self.start) / self.length
        risen = 1.0 if self.start == 0 else min(1.0, progress / RISE)
        return LAST_RATE + (1 - LAST_RATE) * risen * _cosine(progress)

    @property
    def end(self) -> int:
        return self.start + self.length


@dataclass
class _Search:
    """Where a search stands: ranks known to be good and too low, the one on trial, errors found, the last of them."""

    phase: str = "explore"
    good: int = 0
    bad: int = 0
    trial: int = 0
    unbounded: float = math.inf
    bound: float | None = None
    error: float | None = None
    curve: list[tuple[int, float]] = field(default_factory=list)

    @property
    def reached(self) -> bool | None:
        """Whether the error at the end is within the bound; None before the end."""
        return None if self.error is None or self.bound is None else self.error <= self.bound


class SmallestRank(Course):
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
        self.search_end = round(SEARCHED_TO * total_steps)
        self.turn = _Turn(0, explored)
        self.search = _Search()
        self.snapshot: Any = None

    def now(self, step: int) -> Now:
        """See `Course.now`."""
        if self.search.phase == "explore":
            return Now(self.turn.lr(step), self._weight(step))
        return Now(self.turn.lr(step), 0.0, self.search.trial if self.search.phase == "search" else self.search.good)

    def _ends_at(self, step: int) -> bool:
        return step == self.total_steps or (self.search.phase != "refine" and step == self.turn.end)

    def _turn_over(self, step: int, subject: Subject) -> None:
        search, error = self.search, subject.error()
        if search.phase == "explore":
            search.phase, search.good = "search", max(1, subject.rank())
            self._try_all(step, error, subject)
        elif search.phase == "search" and self._still_learns(step, error, subject.variance()):
            self._try_all(step, error, subject)
        elif search.phase == "search":
            self._judge(error, subject)
            # A cut at the very end would leave a model that nobody trained.
            if search.good - search.bad > 1 and step < self.total_steps:
                search.trial = (search.good + search.bad) // 2
                subject.cut(search.trial)
                self.turn = self._trial_from(step, halvings=math.log2(search.good - search.bad))
            else:
                search.phase = "refine"
                self.turn = _Turn(step, max(1, self.total_steps - step))
                self.snapshot = None
        if step == self.total_steps:
            search.error = error
            if search.bound is None:  # the run was too short for a trial
                search.bound = self.bound(error, subject.variance())

    def _try_all(self, step: int, error: float, subject: Subject) -> None:
        """A turn for the rank that exploring left, without the penalty: what its error comes to decides on the rest."""
        search = self.search
        search.trial, search.unbounded = search.good, error
        self.snapshot = subject.snapshot()
        self.turn = self._trial_from(step, halvings=math.log2(search.good) + 1)

    def _still_learns(self, step: int, error: float, variance: float) -> bool:
        """Whether the first trial is too early: the network has learned little yet, or got twice as good meanwhile."""
        if self.search.curve or step >= LEARNING_UNTIL * self.total_steps or error <= NEGLIGIBLE * variance:
            return False
        return error > LEARNED * variance or error < self.search.unbounded / 2

    def _trial_from(self, step: int, halvings: float) -> _Turn:
        """A turn as long as all the halvings that are left can get."""
        return _Turn(step, max(1, round((self.search_end - step) / math.ceil(halvings))))

    def _judge(self, error: float, subject: Subject) -> None:
        """Keep the rank on trial, or take it back; the first one is all of them, without the penalty.

        The smallest error so far decides on the bound: with as many steps no rank has a larger one than a smaller rank.
        """
        search, bound = self.search, self.bound(error, subject.variance())
        search.bound = bound if search.bound is None else min(search.bound, bound)
        search.curve.append((search.trial, error))
        if error <= search.bound:
            search.good = search.trial
            self.snapshot = subject.snapshot()
        elif search.trial == search.good:  # no rank can do it
            search.bad = search.good
        else:
            search.bad = search.trial
            subject.restore(self.snapshot)

    def state(self) -> dict[str, Any]:
        """See `Course.state`."""
        search = dataclasses.asdict(self.search) | {"curve": [list(point) for point in self.search.curve]}
        return super().state() | {"search": search, "turn": dataclasses.asdict(self.turn), "snapshot": self.snapshot}

    def restore(self, state: Mapping[str, Any]) -> None:
        """See `Course.restore`."""
        super().restore(state)
        curve = [(int(rank), float(error)) for rank, error in state["search"]["curve"]]
        self.search = _Search(**dict(state["search"]) | {"curve": curve})
        self.turn = _Turn(**state["turn"])
        self.snapshot = state["snapshot"]

    def result(self) -> dict[str, Any]:
        """The rank, its error at the end, the bound and whether it was kept, and the errors of all ranks tried."""
        search = self.search
        return {
            "rank": search.good,
            "mse": search.error,
            "bound": search.bound,
            "reached": search.reached,
            "tried": [{"rank": rank, "mse": error} for rank, error in search.curve],
        }


class PenaltyPath(Course):
    """Penalties from small to large, each started from the model of the one before; a model is kept at every point."""

    def __init__(
        self, settings: Settings, total_steps: int, steps_per_epoch: int, path: tuple[float, float, int]
    ) -> None:
        super().__init__(settings, total_steps, steps_per_epoch)
        low, high, count = path
        self.weights = [low * (high / low) ** (index / max(1, count - 1)) for index in range(count)]
        # What the penalty's weight is a factor of.
        self.unit = settings.penalties["nuclear"]
        # The first point starts from nothing: it gets as long as three others.
        edges = [(index + 2) / (count + 2) for index in range(1, count + 1)]
        ends = [round(edge * total_steps) for edge in edges]
        self.turns = [_Turn(start, max(1, end - start)) for start, end in zip([0, *ends], ends, strict=False)]
        self.warmup_steps = min(self.warmup_steps, self.turns[0].length / 4)
        self.waits_until = round(WAITED * self.turns[0].length)
        self.points: list[dict[str, Any]] = []

    def now(self, step: int) -> Now:
        """See `Course.now`."""
        index = min(len(self.points), len(self.turns) - 1)
        return Now(self.turns[index].lr(step), self.weights[index] / self.unit * self._weight(step))

    def _ends_at(self, step: int) -> bool:
        # In a run of fewer steps than points, the end comes before some of them.
        return step == self.total_steps or step >= self.turns[len(self.points)].end

    def _turn_over(self, step: int, subject: Subject) -> None:
        name = f"{len(self.points):02d}"
        weight = self.weights[len(self.points)]
        self.points.append({"point": name, "penalty": weight, "rank": subject.rank(), "mse": subject.error()})
        subject.keep_point(name)
        if step == self.total_steps:
            subject.return_to_point(knee(self.points))

    def state(self) -> dict[str, Any]:
        """See `Course.state`."""
        return super().state() | {"points": self.points}

    def restore(self, state: Mapping[str, Any]) -> None:
        """See `Course.restore`."""
        super().restore(state)
        self.points = [dict(point) for point in state["points"]]

    def result(self) -> dict[str, Any]:
        """All points, and the name of the one at the knee."""
        return {"points": self.points, "knee": knee(self.points)}


def knee(points: list[dict[str, Any]]) -> str:
    """The name of the point of a path where a smaller rank begins to cost much more error.

    The one farthest below the straight line between the ends, in rank and logarithm of the error, each scaled to
    [0, 1]; the first one where all ranks or all errors are the same.
    Source: Satopaa et al., Finding a Kneedle in a Haystack, ICDCS Workshops 2011.
    """
    ranks = [float(point["rank"]) for point in points]
    errors = [math.log(max(point["mse"], 1e-300)) for point in points]
    width, height = max(ranks) - min(ranks), max(errors) - min(errors)
    if width == 0 or height == 0:
        return str(points[0]["point"])
    below = [
        1 - (rank - min(ranks)) / width - (error - min(errors)) / height
        for rank, error in zip(ranks, errors, strict=True)
    ]
    return str(points[below.index(max(below))]["point"])


def automatic_bound(error: float, variance: float) -> float:
    """The error that `rank="auto"` allows: halfway in decibels from that without a bound to a tenth of the variance.

    >>> round(automatic_bound(0.04, 1.0), 4)
    0.0632
    """
    return max(math.sqrt(max(error, NEGLIGIBLE * variance) * LOST * variance), MARGIN * error)


def build_course(settings: Settings, total_steps: int, steps_per_epoch: int) -> Course:
    """The course that resolved settings ask for."""
    steps = (settings, total_steps, steps_per_epoch)
    rank, target = settings.rank, settings.target_mse
    if settings.penalty_path is not None:
        return PenaltyPath(*steps, settings.penalty_path)
    if target is not None:
        return SmallestRank(*steps, lambda _, __: target)
    if rank == "auto":
        return SmallestRank(*steps, automatic_bound)
    if isinstance(rank, float):
        return SmallestRank(*steps, lambda _, variance: (1 - rank) * variance)
    if isinstance(rank, int):
        return FixedRank(*steps, rank)
    return Course(*steps)


def _cosine(progress: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
