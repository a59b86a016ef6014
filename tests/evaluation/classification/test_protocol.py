import numpy as np
import pytest

from lorae.errors import LoraeError
from lorae.evaluation.classification import classify, probe, total_steps
from lorae.evaluation.classification.protocol import draw_rows, plan, summary, validation_size

BALANCED = np.arange(1000) % 10
SKEWED = np.repeat([0, 1, 2], [900, 95, 5])


@pytest.mark.parametrize("n", [10, 100, 300])
def test_labelled_items_are_balanced_seeded_and_apart_from_validation(n):
    rows, validation = draw_rows(BALANCED, n, 3, "validation")
    assert len(set(rows.tolist())) == n
    assert np.bincount(BALANCED[rows]).tolist() == [n // 10] * 10
    assert np.bincount(BALANCED[validation]).tolist() == [10] * 10
    assert not set(rows.tolist()) & set(validation.tolist())
    again, other = draw_rows(BALANCED, n, 3, "validation")[0], draw_rows(BALANCED, n, 4, "validation")[0]
    assert (rows == again).all()
    assert set(rows.tolist()) != set(other.tolist())


def test_smaller_draws_are_part_of_larger_ones_with_one_validation_set():
    small, large = draw_rows(SKEWED, 14, 0, "validation"), draw_rows(SKEWED, 50, 0, "validation")
    assert set(small[0].tolist()) < set(large[0].tolist())
    assert (small[1] == large[1]).all()


def test_a_remainder_is_spread_by_seed_and_a_rare_class_gives_what_it_has():
    extra = {tuple(np.bincount(BALANCED[draw_rows(BALANCED, 12, seed, "validation")[0]])) for seed in range(8)}
    assert len(extra) > 1
    assert all(sorted(counts) == [1] * 8 + [2] * 2 for counts in extra)
    rows, validation = draw_rows(SKEWED, 60, 0, "validation")
    rare = 5 - int((SKEWED[validation] == 2).sum())
    assert sorted(np.bincount(SKEWED[rows]).tolist()) == sorted([rare, (60 - rare) // 2, 60 - rare - (60 - rare) // 2])
    # An even share of validation items would have taken every rare one.
    assert np.bincount(SKEWED[validation], minlength=3).tolist() in ([90, 10, 0], [90, 9, 1])


def test_all_is_all_that_validation_leaves():
    rows, validation = draw_rows(SKEWED, 900, 0, "validation")
    assert sorted([*rows, *validation]) == list(range(1000))


def test_the_authors_code_takes_the_first_items():
    rows, validation = draw_rows(BALANCED, 25, 7, "authors_code")
    assert rows.tolist() == list(range(25))
    assert len(validation) == 0


def test_five_thousand_are_set_aside_or_a_tenth():
    assert [validation_size(n) for n in (60_000, 50_000, 49_999, 600, 3)] == [5000, 5000, 4999, 60, 1]


def test_plans():
    paper = plan(60_000, epochs=500, max_steps=None)
    assert (paper.batch, paper.steps, paper.epochs, len(paper.judged_after)) == (100, 300_000, 500, 100)
    assert plan(55_000, 500, 30_000).epochs == pytest.approx(30_000 / 550, abs=1e-3)
    ten = plan(10, 500, 30_000)
    assert (ten.batch, ten.steps, sorted(ten.judged_after)) == (10, 500, list(range(5, 501, 5)))
    assert sorted(plan(150, 3, None).judged_after) == [1, 2, 3, 4, 5, 6]
    assert max(plan(1001, 7, 1234, judged=30).judged_after) == 77


def test_total_steps_by_hand():
    assert total_steps(60_000) == 500 + 500 + 5000 + 30_000 + 30_000
    assert total_steps(60_000, counts=["all"], protocol="authors_code", epochs=2, max_steps=None) == 1200
    assert total_steps(500, counts=[10, 10_000], epochs=3) == 3


def test_summary():
    assert summary([0.5, 0.7, 0.9], 10) == {
        "mean": pytest.approx(0.7),
        "sd": pytest.approx(0.2),
        "values": [0.5, 0.7, 0.9],
        "n": 10,
    }
    assert summary([0.5], 10)["sd"] == 0


LATENTS, LABELS = np.zeros((30, 2), np.float32), np.arange(30) % 3
NOT_FINITE = np.full((30, 2), np.nan)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_labels": None}, "train_labels: got None"),
        ({"test_labels": None}, "test_labels: got None"),
        ({"train_labels": LABELS[:20]}, r"train_labels: got shape \(20,\), expected \(30,\)"),
        ({"test_labels": LABELS + 0.5}, "test_labels: got dtype float64"),
        ({"test_labels": LABELS + 1}, "test_labels: got class 3"),
        ({"train_labels": LABELS * 0}, "train_labels: got 1 class, expected at least 2"),
        ({"train_latents": NOT_FINITE}, "train_latents: got values that are not finite"),
        ({"test_latents": NOT_FINITE}, "test_latents: got values that are not finite"),
        ({"test_latents": np.zeros((30, 3))}, r"test items: got shape \(30, 3\), expected \(n, 2\)"),
        ({"train_latents": np.zeros((30, 2, 2))}, r"train_latents: got shape \(30, 2, 2\)"),
        ({"test_latents": np.zeros((0, 2))}, r"test_latents: got shape \(0, 2\)"),
        ({"counts": [2]}, "counts: got 2, expected a whole number of at least 3"),
        ({"counts": ["every"]}, "counts: got 'every'"),
        ({"seeds": []}, r"seeds: got \[\]"),
        ({"seeds": [1, 1]}, r"seeds: got \[1, 1\]"),
        ({"seeds": [-1]}, "seeds: got -1"),
    ],
)
@pytest.mark.parametrize("measure", [classify, probe])
def test_bad_input_is_refused(measure, changes, message):
    arrays = {"train_latents": LATENTS, "train_labels": LABELS, "test_latents": LATENTS, "test_labels": LABELS}
    with pytest.raises(LoraeError, match=message):
        measure(**arrays | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocol": "ours"}, "protocol: got 'ours', expected one of validation, authors_code"),
        ({"epochs": 0}, "epochs: got 0"),
        ({"max_steps": 0}, "max_steps: got 0"),
    ],
)
def test_bad_protocols_are_refused(changes, message):
    with pytest.raises(LoraeError, match=message):
        classify(LATENTS, LABELS, LATENTS, LABELS, **changes)
    with pytest.raises(LoraeError, match=message):
        total_steps(100, **changes)


def test_too_few_items_for_the_classes_are_refused():
    # Ten items of ten classes: one of them is set aside, and nine cannot show ten classes.
    latents, labels = np.zeros((10, 2)), np.arange(10)
    with pytest.raises(LoraeError, match="got 9 that may be labeled, expected at least one for each of 10 classes"):
        classify(latents, labels, latents, labels)
