"""Courses as pure functions: what they ask of a training that only pretends to be one."""

import json
import math
from typing import Any

import numpy as np
import pytest

from lorae.config.resolution import resolve
from lorae.config.settings import Settings
from lorae.training.penalty_path import PenaltyPath, knee
from lorae.training.rank_search import RankSearch
from lorae.training.schedule_factory import build_schedule
from lorae.training.schedules import CHECK_EVERY, FALLEN_BY, FULL_RATE, WAITED, FixedRank, Schedule
from tests.training.fake_training import EPOCH, STEPS, WIDTH, Pretended, course_of, follow

# Of whole runs, and of runs too short for what they are asked.
LENGTHS = [*range(1, 30), 37, 100, 400]

GOALS: dict[str, dict[str, Any]] = {
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
    schedule, context = course_of(length, **GOALS[goal]), Pretended()
    held = follow(schedule, context, last=length)
    assert all(0 < now.lr <= 1 for now in held)
    assert all(now.penalty >= 0 for now in held)
    json.dumps(schedule.result(), allow_nan=False)
    assert context.model["trained"] is not None  # nobody cut it without training it afterwards


@every_goal
def test_a_course_goes_on_from_its_state_at_any_step(goal):
    whole, context = course_of(**GOALS[goal]), Pretended()
    held = follow(whole, context)
    for stop in range(1, STEPS, 7):
        first, trained = course_of(**GOALS[goal]), Pretended()
        follow(first, trained, last=stop)
        second = course_of(**GOALS[goal])
        second.restore(json.loads(json.dumps(first.state())))
        assert follow(second, trained, first=stop) == held[stop:]
        assert second.result() == whole.result()
        assert trained.model == context.model


def test_the_goal_decides_on_the_course():
    kinds = {goal: type(course_of(**values)) for goal, values in GOALS.items()}
    assert kinds == {
        "plain": Schedule,
        "constant": Schedule,
        "rank": FixedRank,
        "share": RankSearch,
        "auto": RankSearch,
        "target": RankSearch,
        "path": PenaltyPath,
    }
    assert course_of().result() is None
    assert course_of(rank=3).result() is None


def test_a_plain_course_is_a_cosine_and_a_warm_up():
    held = follow(course_of(penalty_warmup=1.5), Pretended())
    steps = np.arange(STEPS)
    np.testing.assert_allclose([now.lr for now in held], 0.5 * (1 + np.cos(np.pi * steps / STEPS)))
    expected = np.where(steps < CHECK_EVERY, 0, np.minimum(1, steps / (1.5 * EPOCH)))
    np.testing.assert_allclose([now.penalty for now in held], expected)
    assert {now.max_rank for now in held} == {None}
    constant = follow(course_of(schedule="constant", penalty_warmup=0), Pretended())
    assert {(now.lr, now.penalty) for now in constant[CHECK_EVERY:]} == {(1.0, 1.0)}


# A penalty that takes directions for good waits until there is something that they show.


def test_the_penalty_waits_until_half_of_the_variance_is_explained():
    schedule, context = course_of(penalty_warmup=0), Pretended(explained=0.49)
    waiting = follow(schedule, context, last=100)
    context.share = 0.51
    learned = follow(schedule, context, first=100, last=200)
    context.share = 0.0  # what it has learned once it may lose again: a strong penalty is the user's choice
    after = follow(schedule, context, first=200)
    assert {now.penalty for now in [*waiting, *learned[:CHECK_EVERY]]} == {0.0}
    assert {now.penalty for now in [*learned[CHECK_EVERY:], *after]} == {1.0}


def test_the_penalty_waits_no_longer_than_half_of_the_training():
    held = follow(course_of(penalty_warmup=0), Pretended(explained=0.0))
    assert [now.penalty for now in held] == [0.0] * round(WAITED * STEPS) + [1.0] * round((1 - WAITED) * STEPS)
    path = follow(course_of(penalty_path=(1e-4, 1e-1, 4), penalty_warmup=0), Pretended(explained=0.0))
    first = next(step for step, now in enumerate(path) if now.penalty > 0)
    assert first == STEPS / 4  # of its first point, which has half of all steps here


@pytest.mark.parametrize("goal", [{"rank": 4}, {"rank": "auto"}, {"target_mse": 0.5}])
def test_what_ends_without_the_penalty_does_without_it_where_nothing_is_learned(goal):
    schedule, context = course_of(penalty_warmup=0, **goal), Pretended(explained=0.0)
    assert {now.penalty for now in follow(schedule, context)} == {0.0}
    looks = [step for step in range(1, STEPS) if course_of(**goal).needs_update(step)]
    assert max(looks) <= STEPS / 4  # nobody asks what decides nothing


def test_a_checkpoint_from_before_penalties_waited_has_one_that_acts():
    schedule = course_of(penalty_warmup=0)
    schedule.restore({})
    assert schedule.step_config(0).penalty == 1.0


def test_the_penalty_of_the_paper_waits_for_nothing():
    settings = Settings.from_values({"method": "lorae", "data": "x.npy", "penalty_warmup": 0}, str)
    schedule = build_schedule(resolve(settings, "vectors", (WIDTH,)), STEPS, EPOCH)
    assert not any(schedule.needs_update(step) for step in range(1, STEPS + 1))
    assert {schedule.step_config(step).penalty for step in range(STEPS)} == {1.0}


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
    assert all(now.penalty > 0 for now in held[CHECK_EVERY:end])


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


# A path of penalties.


def test_a_path_holds_each_penalty_for_its_turn_and_ends_at_the_knee():
    schedule = course_of(penalty_path=(1e-4, 1e-1, 4), penalty_warmup=0)
    ranks = {1e-4: 12, 1e-3: 5, 1e-2: 4, 1e-1: 1}
    errors = {12: 0.010, 5: 0.011, 4: 0.2, 1: 1.0}
    context = Pretended(lambda rank: errors[rank])
    held = []
    for step in range(STEPS):
        now = schedule.step_config(step)
        held.append(now)
        context.train(now, step + 1)
        if now.penalty > 0:  # it waits at first
            context.model["rank"] = ranks[float(f"{now.penalty * 1e-3:.3g}")]
        if schedule.needs_update(step + 1):
            schedule.update(step + 1, context)
    penalties = [now.penalty * 1e-3 for now in held]
    assert penalties == sorted(penalties)
    lengths = [np.isclose(penalties, weight, rtol=1e-9).sum() for weight in ranks]
    lengths[0] += penalties.count(0)
    assert sum(lengths) == STEPS
    np.testing.assert_allclose(lengths, STEPS * np.array([3, 1, 1, 1]) / 6, atol=1)
    result = schedule.result()
    expected = [
        {"point": f"{index:02d}", "rank": rank, "mse": errors[rank]} for index, rank in enumerate(ranks.values())
    ]
    assert [{key: point[key] for key in ("point", "rank", "mse")} for point in result["points"]] == expected
    np.testing.assert_allclose([point["penalty"] for point in result["points"]], list(ranks))
    assert result["knee"] == "01"
    assert context.done == ["point 01"]
    assert context.rank() == 5


def test_a_path_of_fewer_steps_than_points_ends_at_a_point_that_it_has():
    schedule, context = course_of(3, penalty_path="1e-5:1e-1"), Pretended()
    follow(schedule, context, last=3)
    result = schedule.result()
    assert [point["point"] for point in result["points"]] == ["00", "01", "02"]
    assert context.done == [f"point {result['knee']}"]


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


def test_a_path_without_a_knee_gives_the_best_of_what_differs():
    assert knee(points([4, 4, 4], [0.1, 0.2, 0.3])) == "00"
    assert knee(points([4, 4, 4], [0.3, 0.1, 0.2])) == "01"
    assert knee(points([4, 3, 2], [0.1, 0.1, 0.1])) == "02"
    assert knee(points([4], [0.1])) == "00"
    assert knee(points([4, 3, 2], [0.0, 0.0, 1.0])) == "01"  # an error of zero has a logarithm here
