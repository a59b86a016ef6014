"""The search for the smallest rank within a bound, of a training that only pretends to be one."""

import itertools
import math

import numpy as np
import pytest

from lorae.training.rank_search import LEARNING_UNTIL, SEARCHED_TO, automatic_bound
from lorae.training.schedules import LAST_RATE, RISE
from tests.training.fake_training import STEPS, WIDTH, Pretended, course_of, follow


@pytest.mark.parametrize("true", range(1, WIDTH + 1))
def test_bisection_finds_every_smallest_rank_of_a_falling_error(true):
    schedule = course_of(target_mse=0.5)
    context = Pretended(lambda rank: 1.0 if rank < true else 0.4 / rank)
    held = follow(schedule, context)
    result = schedule.result()
    assert result["rank"] == context.rank() == true
    assert result["mse"] == context.error()
    assert (result["bound"], result["reached"]) == (0.5, True)
    tried = [point["rank"] for point in result["tried"]]
    assert tried[0] == WIDTH
    assert len(set(tried)) == len(tried) <= 1 + math.ceil(math.log2(WIDTH))
    assert all(point["mse"] == context.error_at(point["rank"]) for point in result["tried"])
    # Every trial is a cut of the smallest good model: a rank too low is taken back first.
    expected, good = [], WIDTH
    for rank in tried[1:]:
        expected += [f"cut {rank}"] if rank >= true else [f"cut {rank}", f"back to {good}"]
        good = rank if rank >= true else good
    assert context.done == expected
    # Without the penalty from the first trial on: it would lift the errors.
    explored = next(step for step, now in enumerate(held) if now.max_rank is not None)
    assert {now.penalty for now in held[explored:]} == {0.0}


def test_trials_share_the_time_until_the_search_ends_and_each_has_a_cosine():
    schedule = course_of(target_mse=0.5)
    held = follow(schedule, Pretended(lambda rank: 1.0 if rank < 5 else 0.1))
    rates = np.array([now.lr for now in held])
    lowest = [step for step in range(1, STEPS - 1) if rates[step] <= rates[step - 1] and rates[step] < rates[step + 1]]
    starts = [step if rates[step] == LAST_RATE else step + 1 for step in lowest]
    assert len(starts) == 1 + len(schedule.result()["tried"])  # one a trial, one to refine
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
    schedule, context = course_of(target_mse=0.01), Pretended(lambda rank: 1.0 / rank)
    follow(schedule, context)
    result = schedule.result()
    assert (result["rank"], context.rank(), result["reached"], result["mse"]) == (WIDTH, WIDTH, False, 1 / WIDTH)
    assert context.done == []


@pytest.mark.parametrize("steps", range(1, 60))
@pytest.mark.parametrize("true", [1, 2, 5, 9, 16])
def test_the_error_that_is_told_is_that_of_the_model_that_is_left(steps, true):
    """Also where the last step ends a trial that is taken back."""
    schedule, context = course_of(steps, target_mse=0.5), Pretended(lambda rank: 1.0 if rank < true else 0.1)
    follow(schedule, context, last=steps)
    assert schedule.result()["mse"] == context.error()
    assert schedule.result()["rank"] == context.rank() >= true


def test_an_error_that_falls_below_the_bound_in_the_end_has_reached_it():
    schedule, context = course_of(target_mse=0.5), Pretended(lambda rank: 0.6)
    follow(schedule, context, last=STEPS - 1)
    assert schedule.result()["reached"] is None
    context.error_at = lambda rank: 0.4
    follow(schedule, context, first=STEPS - 1)
    assert schedule.result()["tried"] == [{"rank": WIDTH, "mse": 0.6}]
    assert (schedule.result()["mse"], schedule.result()["reached"]) == (0.4, True)


def learning(schedule, context, errors):
    """Follow a course whose errors are these at the ends of turns, then the last one; whether they were all used."""
    errors = iter(errors)
    last = [1.0]

    def error():
        last.append(next(errors, last[-1]))
        return last[-1]

    context.error = error
    return follow(schedule, context)


def test_no_rank_is_tried_while_the_network_still_learns():
    schedule = course_of(rank="auto")  # of a variance of 2
    held = learning(schedule, Pretended(), [2.0, 1.2, 0.5, 0.4])
    tried = schedule.result()["tried"]
    assert tried[0] == {"rank": WIDTH, "mse": 0.4}  # neither 1.2, above half, nor 0.5, halved by one more turn
    assert tried[1]["rank"] == WIDTH // 2
    assert {now.max_rank for now in held[: STEPS // 4]} == {None}
    assert schedule.result()["bound"] == pytest.approx(automatic_bound(0.4, 2.0))


def test_a_network_that_never_learns_is_not_waited_for_longer_than_half_of_the_training():
    schedule = course_of(rank="auto")
    held = learning(schedule, Pretended(), [2.0])
    first_cut = next(step for step, now in enumerate(held) if now.max_rank not in (None, WIDTH))
    assert LEARNING_UNTIL <= first_cut / STEPS < LEARNING_UNTIL + (SEARCHED_TO - 0.25) / math.log2(WIDTH)


def test_an_error_that_is_small_already_is_not_waited_for():
    schedule = course_of(rank="auto")
    learning(schedule, Pretended(), [0.01, 0.004])  # halved, but 0.2% of the variance
    assert schedule.result()["tried"][0] == {"rank": WIDTH, "mse": 0.004}


def test_the_smallest_error_decides_on_the_bound():
    """A rank that is tried later has learned longer: the first error would be too easy to reach."""
    schedule = course_of(rank="auto")
    errors = {16: 0.3, 8: 0.1, 4: 0.29}
    follow(schedule, Pretended(lambda rank: errors.get(rank, 0.11 if rank > 4 else 0.29)))
    result = schedule.result()
    assert result["bound"] == pytest.approx(automatic_bound(0.1, 2.0))
    assert errors[4] < automatic_bound(0.3, 2.0)
    assert result["rank"] == 5


def test_a_share_of_the_variance_is_a_bound_on_the_error():
    schedule = course_of(rank=0.95)
    follow(schedule, Pretended(lambda rank: 2.0 * 0.5**rank))  # variance 2: each direction halves what is left
    assert schedule.result()["bound"] == pytest.approx(0.05 * 2.0)
    assert schedule.result()["rank"] == 5  # 2^-5 < 0.05 < 2^-4


@pytest.mark.parametrize("true", [1, 2, 7])
def test_auto_finds_where_an_error_rises_steeply(true):
    # Of equal directions that are left out, each costs its share of the variance; noise of 2% stays.
    schedule = course_of(rank="auto")
    follow(schedule, Pretended(lambda rank: 2.0 * (0.02 + 0.98 * max(0, true - rank) / true)))
    assert schedule.result()["bound"] == pytest.approx(2.0 * math.sqrt(0.02 * 0.1))
    assert schedule.result()["rank"] == true


def test_a_model_that_the_penalty_emptied_gets_a_direction_back():
    schedule, context = course_of(target_mse=0.5), Pretended(lambda rank: 1.0, rank=0)
    held = follow(schedule, context)
    assert schedule.result()["rank"] == 1
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
