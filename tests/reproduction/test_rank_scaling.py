"""Proposition 1: the exponent of ranks, two points, ranks of zero, what a bound says."""

from typing import Any

import numpy as np
import pytest
import scipy.stats

from lorae.reproduction.pages.blocks import Grid, Picture
from lorae.reproduction.theory import rank_scaling as exponent
from tests.reproduction.pages import check_pictures, outcomes, verdicts


def rows(ranks: dict[float, list[int]]) -> list[dict]:
    return [
        {
            "weight": weight,
            "seed": seed,
            "published": None,
            "ranks": {"0.001": rank, "1e-06": rank + 1},
            "matrix_ranks": {"0.001": rank},
            "entropy_rank": float(rank),
        }
        for weight, seeds in ranks.items()
        for seed, rank in enumerate(seeds)
    ]


def test_units_do_not_change_the_exponent():
    x: Any = np.logspace(-5, -1, 9)
    y: Any = np.array([65, 60, 40, 30, 18, 12, 8, 8, 7])
    plain, scaled = exponent.fit_exponent(x, y), exponent.fit_exponent(1e3 * x, 7 * y)
    assert (scaled.exponent, scaled.error, scaled.r2) == pytest.approx((plain.exponent, plain.error, plain.r2))


def test_a_line_through_two_points_has_no_error():
    fit = exponent.fit_exponent([1.0, 4.0], [8.0, 2.0])
    assert (fit.exponent, fit.factor, fit.r2) == pytest.approx((-1.0, 8.0, 1.0))
    assert fit.error == 0.0


def test_the_fit_agrees_with_polyfit_on_the_published_ranks():
    x, y = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1], [65, 40, 18, 8, 7]
    slope, intercept = np.polyfit(np.log(x), np.log(y), 1)
    fit = exponent.fit_exponent(x, y)
    assert (fit.exponent, fit.factor) == pytest.approx((slope, np.exp(intercept)), rel=1e-9)
    assert fit.exponent == pytest.approx(-0.26, abs=0.01)


def test_a_rank_of_zero_is_shown_and_left_out_of_the_fit(tmp_path):
    page = exponent.page(rows({1e-3: [16, 16], 1e-2: [4, 4], 1e-1: [0, 2]}), tmp_path, 3)
    falls, of_matrix, rate, _ = verdicts(page)
    assert of_matrix.holds is True
    assert falls.holds is True
    assert "1 at 0.1" in falls.seen
    expected = exponent.fit_exponent([1e-3, 1e-3, 1e-2, 1e-2, 1e-1], [16, 16, 4, 4, 2]).exponent
    assert rate.seen.startswith(f"like weight^({expected:.2f}")
    assert any(isinstance(block, Picture) for block in page.blocks)


@pytest.mark.parametrize("ranks", [{1e-3: [16]}, {1e-3: [16], 1e-1: [0]}, {1e-3: [0], 1e-1: [0]}])
def test_without_two_weights_that_left_something_nothing_is_judged(ranks, tmp_path):
    page = exponent.page(rows(ranks), tmp_path, len(ranks))
    assert [verdict.holds for verdict in verdicts(page)] == [None, None, None]
    fitted = next(block for block in page.blocks if isinstance(block, Grid) and "Exponent" in block.caption)
    assert [row[0] for row in fitted.rows if "1e-3" in row[0]] == []


def test_the_page_says_what_a_bound_of_all_weights_would_allow(tmp_path):
    page = exponent.page(rows({1e-4: [50], 1e-2: [10]}), tmp_path, 2)
    # c = 10 * 1e-2, divided by the smallest weight.
    assert "c = 0.1 or more, which at 0.0001 allows a rank of 1,000" in verdicts(page)[2].seen


def test_whether_ranks_fall_is_judged_of_all_weights_alone(tmp_path):
    page = exponent.page(rows({1e-4: [50], 1e-2: [10]}), tmp_path, 3)
    assert [verdict.holds for verdict in verdicts(page)] == [None, None, False, False]


@pytest.mark.parametrize("slope", [-1.0, -0.26, 0.5])
def test_a_power_law_is_found_exactly(slope):
    x: Any = np.logspace(-5, -1, 5)
    fit = exponent.fit_exponent(x, 3.0 * x**slope)
    assert (fit.exponent, fit.factor, fit.r2) == pytest.approx((slope, 3.0, 1.0), rel=1e-9)
    assert fit.error == pytest.approx(0, abs=1e-9)


def test_the_fit_agrees_with_scipy_on_noisy_points():
    generator = np.random.default_rng(0)
    x: Any = np.logspace(-5, -1, 12)
    y: Any = x**-0.3 * np.exp(0.2 * generator.standard_normal(12))
    fit, expected = exponent.fit_exponent(x, y), scipy.stats.linregress(np.log(x), np.log(y))
    assert (fit.exponent, fit.error, fit.r2) == pytest.approx((expected.slope, expected.stderr, expected.rvalue**2))


def test_a_multiple_of_the_identity_has_full_rank_and_a_vanishing_norm():
    rows = exponent.counterexample(16, (1.0, 1e-3, 1e-9))
    assert [row["rank"] for row in rows] == [16, 16, 16]
    assert [row["norm"] for row in rows] == pytest.approx([16.0, 16e-3, 16e-9])
    assert [row["constant"] for row in rows] == pytest.approx([1.0, 1e3, 1e9])


def rows_of_proposition_1(slope: float, of_matrix: float) -> list[dict]:
    return [
        {
            "weight": weight,
            "seed": seed,
            "published": rank,
            "ranks": {"0.001": 100 * (weight / 1e-5) ** slope, "1e-06": 100},
            "matrix_ranks": {"0.001": 100 * (weight / 1e-5) ** of_matrix},
            "entropy_rank": 5.0,
        }
        for weight, rank in {1e-5: 65, 1e-4: 40, 1e-3: 18, 1e-2: 8, 1e-1: 7}.items()
        for seed in range(2)
    ]


@pytest.mark.parametrize(
    ("slope", "of_matrix", "holds"),
    [
        (-0.3, -0.1, [True, True, False, False]),
        (-1.0, 0.1, [True, False, True, False]),
        (0.1, -0.1, [False, True, False, False]),
    ],
)
def test_the_page_of_proposition_1_judges_the_exponent(slope, of_matrix, holds, tmp_path):
    page = exponent.page(rows_of_proposition_1(slope, of_matrix), tmp_path, 5)
    assert outcomes(page) == holds
    check_pictures(page, tmp_path)
    exponents = next(block for block in page.blocks if isinstance(block, Grid) and "Exponent" in block.caption)
    published = next(row for row in exponents.rows if "paper" in row[0])
    # What the paper's table 7 gives by the textbook formula.
    x, y = np.log10([1e-5, 1e-4, 1e-3, 1e-2, 1e-1]), np.log10([65, 40, 18, 8, 7])
    assert published[1].startswith(f"{np.polyfit(x, y, 1)[0]:.2f}")


def test_a_page_of_nothing_says_so(tmp_path):
    page = exponent.page([], tmp_path, 5)
    assert outcomes(page) == [None]
    assert not any(isinstance(block, Picture) for block in page.blocks)
