"""What of proposition 1 `test_theory.py` leaves open: two points, ranks of zero, what a bound says."""

import numpy as np
import pytest

from lorae.paper import exponent
from lorae.paper.page import Grid, Page, Picture, Verdict


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


def verdicts(page: Page) -> list[Verdict]:
    return [block for block in page.blocks if isinstance(block, Verdict)]


def test_units_do_not_change_the_exponent():
    x, y = np.logspace(-5, -1, 9), np.array([65, 60, 40, 30, 18, 12, 8, 8, 7])
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
    page = exponent.page(rows({1e-3: [16, 16], 1e-2: [4, 4], 1e-1: [0, 1]}), tmp_path)
    falls, rate, _ = verdicts(page)
    assert falls.holds is True
    assert "0.5 at 0.1" in falls.seen
    expected = exponent.fit_exponent([1e-3, 1e-3, 1e-2, 1e-2, 1e-1], [16, 16, 4, 4, 1]).exponent
    assert rate.seen.startswith(f"like weight^({expected:.2f}")
    assert any(isinstance(block, Picture) for block in page.blocks)


@pytest.mark.parametrize("ranks", [{1e-3: [16]}, {1e-3: [16], 1e-1: [0]}, {1e-3: [0], 1e-1: [0]}])
def test_without_two_weights_that_left_something_nothing_is_judged(ranks, tmp_path):
    page = exponent.page(rows(ranks), tmp_path)
    assert [verdict.holds for verdict in verdicts(page)] == [None, None]
    fitted = next(block for block in page.blocks if isinstance(block, Grid) and "Exponent" in block.caption)
    assert [row[0] for row in fitted.rows if "1e-3" in row[0]] == []


def test_the_page_says_what_a_bound_of_all_weights_would_allow(tmp_path):
    page = exponent.page(rows({1e-4: [50], 1e-2: [10]}), tmp_path)
    # c = 10 * 1e-2, divided by the smallest weight.
    assert "c = 0.1 or more, which at 0.0001 allows a rank of 1,000" in verdicts(page)[1].seen
