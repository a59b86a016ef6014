"""Judging a network by items that it has not seen."""

import numpy as np
import pytest

from lorae.data import Split
from lorae.training.candidates import STRENGTHS, Judgment
from lorae.training.judging import FEW, Folds, fit_floor, judge

RANK = 2


def by_strength(errors, linear=1.0):
    """Errors (m, s) that are the same for all strengths of the corrections but the last, which leaves none."""
    found = np.repeat(np.asarray(errors)[:, None], len(STRENGTHS), axis=1)
    found[:, -1] = linear
    return found


def items_of(n):
    return Split(np.random.default_rng(0).normal(size=(n, 5)) * [3, 2, 1, 1, 1])


def test_few_items_are_judged_by_networks_that_have_seen_neither_them_nor_the_first_fold():
    items, calls = items_of(50), []
    folds = Folds(50, seed=0)
    first = {row.tobytes() for row in items.inputs[folds.held(0)]}

    def again(kept, held):
        rows = [{row.tobytes() for row in part.inputs} for part in (kept, held)]
        calls.append(rows[1])
        assert not rows[0] & rows[1]
        assert not first & (rows[0] | rows[1])
        return by_strength(np.zeros(len(held)))

    judged = judge(items, folds, RANK, by_strength(np.ones(10)), again)
    assert judged.errors[0] == 0
    assert judged.pays
    assert len(set.union(*calls)) == len(judged.network) == 40


def test_a_network_with_the_errors_of_pca_does_not_pay():
    items = items_of(50)

    def again(kept, held):
        return by_strength(fit_floor(kept, held, RANK).at(RANK))

    judged = judge(items, Folds(50, 0), RANK, by_strength(np.ones(10)), again)
    assert not judged.pays
    assert judged.errors[1] < judged.errors[0]  # as PCA will have more items
    assert len(judged.network) == 10  # the first judging fold is enough


def test_a_training_that_fails_judges_nothing():
    assert judge(items_of(50), Folds(50, 0), RANK, by_strength(np.ones(10)), lambda *_: None) is None


@pytest.mark.parametrize("gain", [0.5, 1.5])
def test_many_items_are_judged_by_the_first_fold(gain):
    items = items_of(FEW)
    folds = Folds(FEW, 0)
    kept, held = items.at(folds.kept(0)), items.at(folds.held(0))
    errors = gain * fit_floor(kept, held, RANK).at(RANK)
    judged = judge(items, folds, RANK, by_strength(errors, 9.0), lambda *_: pytest.fail("trained anew"))
    assert judged.pays == (gain < 1)


def test_the_strength_of_the_corrections_is_the_one_with_the_smallest_error():
    errors = np.tile([1.0, 0.8, 0.6, 0.8, 1.0], (30, 1))
    judged = Judgment.of(errors, np.ones(30), np.full(30, 2.0))
    assert judged.strength == STRENGTHS[2]
    assert judged.errors[0] == pytest.approx(0.6)
    assert judged.pays


@pytest.mark.parametrize("linear", [0.7, 0.705, 0.72, 1.0])
def test_a_network_that_owes_its_gain_to_another_subspace_does_not_pay(linear):
    judged = Judgment.of(by_strength(np.full(30, 0.7), linear), np.ones(30), np.full(30, 2.0))
    assert judged.gain_over(judged.pca)[0] > 0
    assert judged.pays == (linear > 0.7 / 0.98)
