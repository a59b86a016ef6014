"""Schedule over penalties from small to large that keeps a model at each, and the knee of their curve."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lorae.config.settings import Settings
from lorae.training.schedules import WAITED, Phase, Schedule, StepConfig

if TYPE_CHECKING:
    from lorae.training.schedule_context import ScheduleContext


class PenaltyPath(Schedule):
    """Penalties from small to large, each started from the model of the previous one; a model is kept at every point.

    The setting `penalty_path` gives the smallest and largest penalty, and the number of points in equal ratios.
    """

    def __init__(self, settings: Settings, total_steps: int, steps_per_epoch: int) -> None:
        super().__init__(settings, total_steps, steps_per_epoch)
        assert settings.penalty_path is not None
        low, high, count = settings.penalty_path
        self.weights = [low * (high / low) ** (index / max(1, count - 1)) for index in range(count)]
        # `StepConfig.penalty` is a factor on this weight.
        self.unit = settings.penalties["nuclear"]
        # The first point starts from an untrained model, so it gets three times the steps of another.
        edges = [(index + 2) / (count + 2) for index in range(1, count + 1)]
        ends = [round(edge * total_steps) for edge in edges]
        self.phases = [Phase(start, max(1, end - start)) for start, end in zip([0, *ends], ends, strict=False)]
        self.warmup_steps = min(self.warmup_steps, self.phases[0].length / 4)
        self.waits_until = round(WAITED * self.phases[0].length)
        self.points: list[dict[str, Any]] = []

    def step_config(self, step: int) -> StepConfig:
        """See `Schedule.step_config`."""
        index = min(len(self.points), len(self.phases) - 1)
        return StepConfig(self.phases[index].lr(step), self.weights[index] / self.unit * self._weight(step))

    def _phase_ends_at(self, step: int) -> bool:
        # In a run of fewer steps than points, the end comes before some of them.
        return step == self.total_steps or step >= self.phases[len(self.points)].end

    def _end_phase(self, step: int, context: "ScheduleContext") -> None:
        name = f"{len(self.points):02d}"
        weight = self.weights[len(self.points)]
        self.points.append({"point": name, "penalty": weight, "rank": context.rank(), "mse": context.error()})
        context.keep_point(name)
        if step == self.total_steps:
            context.return_to_point(knee(self.points))

    def state(self) -> dict[str, Any]:
        """See `Schedule.state`."""
        return super().state() | {"points": self.points}

    def restore(self, state: Mapping[str, Any]) -> None:
        """See `Schedule.restore`."""
        super().restore(state)
        self.points = [dict(point) for point in state["points"]]

    def result(self) -> dict[str, Any]:
        """Return all points, and the name of the one at the knee."""
        return {"points": self.points, "knee": knee(self.points)}


def knee(points: list[dict[str, Any]]) -> str:
    """Return the name of the point of a path where a smaller rank begins to cost much more error.

    It is farthest below the straight line between the ends, in rank and logarithm of the error, each scaled to [0, 1];
    of equal ranks the one with the smallest error, of equal errors that with the smallest rank.

    Source: Satopaa et al., Finding a Kneedle in a Haystack, ICDCS Workshops 2011.
    """
    ranks = [float(point["rank"]) for point in points]
    errors = [math.log(max(point["mse"], 1e-300)) for point in points]
    width, height = max(ranks) - min(ranks), max(errors) - min(errors)
    if width == 0 or height == 0:
        return str(min(points, key=lambda point: (point["mse"], point["rank"]))["point"])
    below = [
        1 - (rank - min(ranks)) / width - (error - min(errors)) / height
        for rank, error in zip(ranks, errors, strict=True)
    ]
    return str(points[below.index(max(below))]["point"])
