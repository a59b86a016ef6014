"""A training that only pretends to be one, for courses to steer."""

import copy

from lorae.config.resolution import resolve
from lorae.config.settings import Settings
from lorae.training.schedule_factory import build_schedule

WIDTH, STEPS, EPOCH = 16, 400, 20


def course_of(steps=STEPS, **values):
    settings = Settings.from_values({"method": "lorae+", "data": "x.npy"} | values, str)
    return build_schedule(resolve(settings, "vectors", (WIDTH,)), steps, EPOCH)


class Pretended:
    """A training whose error is a function of the rank; its model is a rank and the step at which it was trained."""

    def __init__(self, error=lambda rank: 1.0 / rank, rank=WIDTH, explained=1.0):
        self.error_at = error
        self.share = explained
        self.model = {"rank": rank, "trained": 0}
        self.points, self.done = {}, []

    def rank(self):
        return self.model["rank"]

    def error(self):
        return self.error_at(self.model["rank"])

    def variance(self):
        return 2.0

    def explained(self):
        return self.share

    def cut(self, rank):
        assert 1 <= rank < self.model["rank"]
        self.model = {"rank": rank, "trained": None}
        self.done.append(f"cut {rank}")

    def snapshot(self):
        return copy.deepcopy(self.model)

    def restore(self, snapshot):
        self.model = copy.deepcopy(snapshot)
        self.done.append(f"back to {self.model['rank']}")

    def keep_point(self, name):
        self.points[name] = copy.deepcopy(self.model)

    def return_to_point(self, name):
        self.model = copy.deepcopy(self.points[name])
        self.done.append(f"point {name}")

    def train(self, now, step):
        self.model["trained"] = step
        if now.max_rank is not None:
            assert now.max_rank >= 1
            self.model["rank"] = min(self.model["rank"], now.max_rank)


def follow(schedule, context, first=0, last=STEPS):
    """Take steps as `Trainer` does; what held at each of them."""
    held = []
    for step in range(first, last):
        held.append(schedule.step_config(step))
        context.train(held[-1], step + 1)
        if schedule.needs_update(step + 1):
            schedule.update(step + 1, context)
    return held
