"""Courses as pure functions: what they ask of a training that only pretends to be one."""

import copy
import itertools
import json
import math

import numpy as np
import pytest

from lorae.courses import (
    FALLEN_BY,
    FULL_RATE,
    LAST_RATE,
    LEARNING_UNTIL,
    LOOK_EVERY,
    RISE,
    SEARCHED_TO,
    WAITED,
    Course,
    FixedRank,
    PenaltyPath,
    SmallestRank,
    automatic_bound,
    build_course,
    knee,
)
from lorae.settings import Settings

WIDTH, STEPS, EPOCH = 16, 400, 20
# Of whole runs, and of runs too short for what they are asked.
LENGTHS = [*range(1, 30), 37, 100, 400]


def course_of(steps=STEPS, **values):
    settings = Settings.from_values({"method": "lorae+", "data": "x.npy"} | values, str)
    return build_course(settings.resolve("vectors", (WIDTH,)), steps, EPOCH)


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


def follow(course, subject, first=0, last=STEPS):
    """Take steps as `Trainer` does; what held at each of them."""
    held = []
    for step in range(first, last):
        held.append(course.now(step))
        subject.train(held[-1], step + 1)
        if course.turns_at(step + 1):
            course.after(step + 1, subject)
    return held


GOALS = {
    "plain": {},
    "constant": {"schedule": "constant", "penalty_warmup": 2},
    "rank": {"rank": 3},
    "share": {"rank": 0.95},
    "auto": {"rank": "auto"},
    "target": {"target_mse": 0.2},
    "path": {"penalty_path": "1e-4:1e-1:5"},
}
every_goal = pytest.mark.parametrize("goal", GOALS)


@every_goal
@pytest.mark.parametrize("length", LENGTHS)
def test_every_course_fits_into_any_number_of_steps(goal, length):
    course, subject = course_of(length, **GOALS[goal]), Pretended()
    held = follow(course, subject, last=length)
    assert all(0 < now.lr <= 1 for now in held)
    assert all(now.penalty >= 0 for now in held)
    json.dumps(course.result(), allow_nan=False)
    assert subject.model["trained"] is not None  # nobody cut it without training it afterwards


@every_goal
def test_a_course_goes_on_from_its_state_at_any_step(goal):
    whole, subject = course_of(**GOALS[goal]), Pretended()
    held = follow(whole, subject)
    for stop in range(1, STEPS, 7):
        first, trained = course_of(**GOALS[goal]), Pretended()
        follow(first, trained, last=stop)
        second = course_of(**GOALS[goal])
        second.restore(json.loads(json.dumps(first.state())))
        assert follow(second, trained, first=stop) == held[stop:]
        assert second.result() == whole.result()
        assert trained.model == subject.model


def test_the_goal_decides_on_the_course():
    kinds = {goal: type(course_of(**values)) for goal, values in GOALS.items()}
    assert kinds == {
        "plain": Course,
        "constant": Course,
        "rank": FixedRank,
        "share": SmallestRank,
        "auto": SmallestRank,
        "target": SmallestRank,
        "path": PenaltyPath,
    }
    assert course_of().result() is None
    assert course_of(rank=3).result() is None


def test_a_plain_course_is_a_cosine_and_a_warm_up():
    held = follow(course_of(penalty_warmup=1.5), Pretended())
    steps = np.arange(STEPS)
    np.testing.assert_allclose([now.lr for now in held], 0.5 * (1 + np.cos(np.pi * steps / STEPS)))
    expected = np.where(steps < LOOK_EVERY, 0, np.minimum(1, steps / (1.5 * EPOCH)))
    np.testing.assert_allclose([now.penalty for now in held], expected)
    assert {now.max_rank for now in held} == {None}
    constant = follow(course_of(schedule="constant", penalty_warmup=0), Pretended())
    assert {(now.lr, now.penalty) for now in constant[LOOK_EVERY:]} == {(1.0, 1.0)}


# A penalty that takes directions for good waits until there is something that they show.


def test_the_penalty_waits_until_half_of_the_variance_is_explained():
    course, subject = course_of(penalty_warmup=0), Pretended(explained=0.49)
    waiting = follow(course, subject, last=100)
    subject.share = 0.51
    learned = follow(course, subject, first=100, last=200)
    subject.share = 0.0  # what it has learned once it may lose again: a strong penalty is the user's choice
    after = follow(course, subject, first=200)
    assert {now.penalty for now in [*waiting, *learned[:LOOK_EVERY]]} == {0.0}
    assert {now.penalty for now in [*learned[LOOK_EVERY:], *after]} == {1.0}


def test_the_penalty_waits_no_longer_than_half_of_the_training():
    held = follow(course_of(penalty_warmup=0), Pretended(explained=0.0))
    assert [now.penalty for now in held] == [0.0] * round(WAITED * STEPS) + [1.0] * round((1 - WAITED) * STEPS)
    path = follow(course_of(penalty_path=(1e-4, 1e-1, 4), penalty_warmup=0), Pretended(explained=0.0))
    first = next(step for step, now in enumerate(path) if now.penalty > 0)
    assert first == STEPS / 4  # of its first point, which has half of all steps here


def test_the_penalty_of_the_paper_waits_for_nothing():
    settings = Settings.from_values({"method": "lorae", "data": "x.npy", "penalty_warmup": 0}, str)
    course = build_course(settings.resolve("vectors", (WIDTH,)), STEPS, EPOCH)
    assert not any(course.turns_at(step) for step in range(1, STEPS + 1))
    assert {course.now(step).penalty for step in range(STEPS)} == {1.0}


# A rank that is given.


@pytest.mark.parametrize("rank", [1, 3, 15, 16])
def test_the_bound_of_a_given_rank_falls_by_one_factor_and_then_stays(rank):
    held = follow(course_of(rank=rank), Pretended())
    bounds = [now.max_rank for now in held]
    end = round(FALLEN_BY * STEPS)
    assert bounds[0] == WIDTH
    assert set(bounds[end:]) == {rank}
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[end // 2] == round(math.sqrt(WIDTH * rank))
    assert {now.penalty for now in held[end:]} == {0.0}
    assert all(now.penalty > 0 for now in held[LOOK_EVERY:end])


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_run_to_a_rank_keeps_its_full_rate_for_long_or_for_good(schedule):
    rates = [now.lr for now in follow(course_of(rank=3, schedule=schedule), Pretended())]
    kept = round(FULL_RATE * STEPS)
    assert set(rates[:kept]) == {1.0}
    if schedule == "constant":
        assert set(rates) == {1.0}
    else:
        assert rates[kept + 1 :] == sorted(rates[kept + 1 :], reverse=True)
        assert rates[-1] < 1e-3


# The smallest rank within a bound.


@pytest.mark.parametrize("true", range(1, WIDTH + 1))
def test_bisection_finds_every_smallest_rank_of_a_falling_error(true):
    course = course_of(target_mse=0.5)
    subject = Pretended(lambda rank: 1.0 if rank < true else 0.4 / rank)
    held = follow(course, subject)
    result = course.result()
    assert result["rank"] == subject.rank() == true
    assert result["mse"] == subject.error()
    assert (result["bound"], result["reached"]) == (0.5, True)
    tried = [point["rank"] for point in result["tried"]]
    assert tried[0] == WIDTH
    assert len(set(tried)) == len(tried) <= 1 + math.ceil(math.log2(WIDTH))
    assert all(point["mse"] == subject.error_at(point["rank"]) for point in result["tried"])
    # Every trial is a cut of the smallest good model: a rank too low is taken back first.
    expected, good = [], WIDTH
    for rank in tried[1:]:
        expected += [f"cut {rank}"] if rank >= true else [f"cut {rank}", f"back to {good}"]
        good = rank if rank >= true else good
    assert subject.done == expected
    # Without the penalty from the first trial on: it would lift the errors.
    explored = next(step for step, now in enumerate(held) if now.max_rank is not None)
    assert {now.penalty for now in held[explored:]} == {0.0}


def test_trials_share_the_time_until_the_search_ends_and_each_has_a_cosine():
    course = course_of(target_mse=0.5)
    held = follow(course, Pretended(lambda rank: 1.0 if rank < 5 else 0.1))
    rates = np.array([now.lr for now in held])
    lowest = [step for step in range(1, STEPS - 1) if rates[step] <= rates[step - 1] and rates[step] < rates[step + 1]]
    starts = [step if rates[step] == LAST_RATE else step + 1 for step in lowest]
    assert len(starts) == 1 + len(course.result()["tried"])  # one a trial, one to refine
    assert starts[-1] <= round(SEARCHED_TO * STEPS)
    assert rates[0] == 1
    assert all(LAST_RATE <= rates[step - 1] < LAST_RATE + 0.01 for step in [*starts, STEPS])
    lengths = np.diff(starts)
    assert max(lengths) <= 1.5 * min(lengths)
    # A rate that jumps up meets averages of small gradients, and steps that are far too large.
    assert all(rates[step] == LAST_RATE for step in starts)
    for start, end in itertools.pairwise([*starts, STEPS]):
        peak = start + int(rates[start:end].argmax())
        assert rates[peak] > 0.8
        assert peak - start == pytest.approx(RISE * (end - start), abs=1)


def test_a_bound_that_no_rank_keeps_leaves_all_of_them():
    course, subject = course_of(target_mse=0.01), Pretended(lambda rank: 1.0 / rank)
    follow(course, subject)
    result = course.result()
    assert (result["rank"], subject.rank(), result["reached"], result["mse"]) == (WIDTH, WIDTH, False, 1 / WIDTH)
    assert subject.done == []


def test_an_error_that_falls_below_the_bound_in_the_end_has_reached_it():
    course, subject = course_of(target_mse=0.5), Pretended(lambda rank: 0.6)
    follow(course, subject, last=STEPS - 1)
    assert course.result()["reached"] is None
    subject.error_at = lambda rank: 0.4
    follow(course, subject, first=STEPS - 1)
    assert course.result()["tried"] == [{"rank": WIDTH, "mse": 0.6}]
    assert (course.result()["mse"], course.result()["reached"]) == (0.4, True)


def learning(course, subject, errors):
    """Follow a course whose errors are these at the ends of turns, then the last one; whether they were all used."""
    errors = iter(errors)
    last = [1.0]

    def error():
        last.append(next(errors, last[-1]))
        return last[-1]

    subject.error = error
    return follow(course, subject)


def test_no_rank_is_tried_while_the_network_still_learns():
    course = course_of(rank="auto")  # of a variance of 2
    held = learning(course, Pretended(), [2.0, 1.2, 0.5, 0.4])
    tried = course.result()["tried"]
    assert tried[0] == {"rank": WIDTH, "mse": 0.4}  # neither 1.2, above half, nor 0.5, halved by one more turn
    assert tried[1]["rank"] == WIDTH // 2
    assert {now.max_rank for now in held[: STEPS // 4]} == {None}
    assert course.result()["bound"] == pytest.approx(automatic_bound(0.4, 2.0))


def test_a_network_that_never_learns_is_not_waited_for_longer_than_half_of_the_training():
    course = course_of(rank="auto")
    held = learning(course, Pretended(), [2.0])
    first_cut = next(step for step, now in enumerate(held) if now.max_rank not in (None, WIDTH))
    assert LEARNING_UNTIL <= first_cut / STEPS < LEARNING_UNTIL + (SEARCHED_TO - 0.25) / math.log2(WIDTH)


def test_an_error_that_is_small_already_is_not_waited_for():
    course = course_of(rank="auto")
    learning(course, Pretended(), [0.01, 0.004])  # halved, but 0.2% of the variance
    assert course.result()["tried"][0] == {"rank": WIDTH, "mse": 0.004}


def test_the_smallest_error_decides_on_the_bound():
    """A rank that is tried later has learned longer: the first error would be too easy to reach."""
    course = course_of(rank="auto")
    errors = {16: 0.3, 8: 0.1, 4: 0.29}
    follow(course, Pretended(lambda rank: errors.get(rank, 0.11 if rank > 4 else 0.29)))
    result = course.result()
    assert result["bound"] == pytest.approx(automatic_bound(0.1, 2.0))
    assert errors[4] < automatic_bound(0.3, 2.0)
    assert result["rank"] == 5


def test_a_share_of_the_variance_is_a_bound_on_the_error():
    course = course_of(rank=0.95)
    follow(course, Pretended(lambda rank: 2.0 * 0.5**rank))  # variance 2: each direction halves what is left
    assert course.result()["bound"] == pytest.approx(0.05 * 2.0)
    assert course.result()["rank"] == 5  # 2^-5 < 0.05 < 2^-4


@pytest.mark.parametrize("true", [1, 2, 7])
def test_auto_finds_where_an_error_rises_steeply(true):
    # Of equal directions that are left out, each costs its share of the variance; noise of 2% stays.
    course = course_of(rank="auto")
    follow(course, Pretended(lambda rank: 2.0 * (0.02 + 0.98 * max(0, true - rank) / true)))
    assert course.result()["bound"] == pytest.approx(2.0 * math.sqrt(0.02 * 0.1))
    assert course.result()["rank"] == true


def test_a_model_that_the_penalty_emptied_gets_a_direction_back():
    course, subject = course_of(target_mse=0.5), Pretended(lambda rank: 1.0, rank=0)
    held = follow(course, subject)
    assert course.result()["rank"] == 1
    assert {now.max_rank for now in held} == {None, 1}


def test_the_automatic_bound_is_halfway_to_a_tenth_of_the_variance():
    for error in (0.01, 0.03, 0.06):
        bound = automatic_bound(error, 1.0)
        assert math.log(bound) == pytest.approx((math.log(error) + math.log(0.1)) / 2)
        assert automatic_bound(7 * error, 7.0) == pytest.approx(7 * bound)  # in any units
    assert automatic_bound(0.0, 1.0) == automatic_bound(0.01, 1.0)  # a copied input says nothing
    assert automatic_bound(0.2, 1.0) == pytest.approx(0.25)  # it never asks for less than there is
    errors = np.linspace(0, 0.5, 50)
    bounds = [automatic_bound(error, 1.0) for error in errors]
    assert bounds == sorted(bounds)
    assert (np.array(bounds) > errors).all()


# A path of penalties.


def test_a_path_holds_each_penalty_for_its_turn_and_ends_at_the_knee():
    course = course_of(penalty_path=(1e-4, 1e-1, 4), penalty=1e-3, penalty_warmup=0)
    ranks = {1e-4: 12, 1e-3: 5, 1e-2: 4, 1e-1: 1}
    errors = {12: 0.010, 5: 0.011, 4: 0.2, 1: 1.0}
    subject = Pretended(lambda rank: errors[rank])
    held = []
    for step in range(STEPS):
        now = course.now(step)
        held.append(now)
        subject.train(now, step + 1)
        if now.penalty > 0:  # it waits at first
            subject.model["rank"] = ranks[float(f"{now.penalty * 1e-3:.3g}")]
        if course.turns_at(step + 1):
            course.after(step + 1, subject)
    penalties = [now.penalty * 1e-3 for now in held]
    assert penalties == sorted(penalties)
    lengths = [np.isclose(penalties, weight, rtol=1e-9).sum() for weight in ranks]
    lengths[0] += penalties.count(0)
    assert sum(lengths) == STEPS
    np.testing.assert_allclose(lengths, STEPS * np.array([3, 1, 1, 1]) / 6, atol=1)
    result = course.result()
    expected = [
        {"point": f"{index:02d}", "rank": rank, "mse": errors[rank]} for index, rank in enumerate(ranks.values())
    ]
    assert [{key: point[key] for key in ("point", "rank", "mse")} for point in result["points"]] == expected
    np.testing.assert_allclose([point["penalty"] for point in result["points"]], list(ranks))
    assert result["knee"] == "01"
    assert subject.done == ["point 01"]
    assert subject.rank() == 5


def test_a_path_of_fewer_steps_than_points_ends_at_a_point_that_it_has():
    course, subject = course_of(3, penalty_path="1e-5:1e-1"), Pretended()
    follow(course, subject, last=3)
    result = course.result()
    assert [point["point"] for point in result["points"]] == ["00", "01", "02"]
    assert subject.done == [f"point {result['knee']}"]


def points(ranks, errors):
    return [
        {"point": f"{index:02d}", "rank": rank, "mse": error}
        for index, (rank, error) in enumerate(zip(ranks, errors, strict=True))
    ]


@pytest.mark.parametrize("corner", range(1, 7))
def test_the_knee_is_the_corner_of_two_straight_lines(corner):
    ranks = np.arange(9, 0, -1)
    errors = np.exp(np.where(np.arange(9) <= corner, 0.05 * np.arange(9), np.arange(9) - 0.95 * corner))
    assert knee(points(ranks, errors)) == f"{corner:02d}"
    assert knee(points(3 * ranks, 1e-4 * errors)) == f"{corner:02d}"  # in any units


def test_a_path_without_a_knee_gives_its_first_point():
    assert knee(points([4, 4, 4], [0.1, 0.2, 0.3])) == "00"
    assert knee(points([4, 3, 2], [0.1, 0.1, 0.1])) == "00"
    assert knee(points([4], [0.1])) == "00"
    assert knee(points([4, 3, 2], [0.0, 0.0, 1.0])) == "01"  # an error of zero has a logarithm here
