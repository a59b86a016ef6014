"""Proposition 1: the rank against the penalty's weight, and a matrix of full rank with a small nuclear norm."""

import functools
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from lorae.metrics.ranks import rank_at
from lorae.reports.formatting import mean_and_deviation
from lorae.reproduction.pages.blocks import Block, ClaimResult, Grid, Page, Text, not_measured, plot
from lorae.reproduction.theory.plots import exponent_figure
from lorae.system.files import read_toml

TEXTS: dict[str, str] = read_toml("lorae.reproduction.theory", "theory.toml")["scaling"]["texts"]

# Definitions of the rank, and where a row has them.
DEFINITIONS: dict[str, Callable[[Mapping[str, Any]], float]] = {
    "covariance, 1e-3": lambda row: row["ranks"]["0.001"],
    "covariance, 1e-6": lambda row: row["ranks"]["1e-06"],
    "entropy rank": lambda row: row["entropy_rank"],
    "M, 1e-3": lambda row: row["matrix_ranks"]["0.001"],
}
MAIN, OF_MATRIX = "covariance, 1e-3", "M, 1e-3"

# Largest distance from -1 of an exponent that counts as -1.
NEAR = 0.1


@dataclass(frozen=True)
class Fit:
    """Power law y = factor x^exponent by least squares in logarithms.

    `error` is the standard error of the exponent, 0 through two points; `r2` is R squared.
    """

    exponent: float
    error: float
    factor: float
    r2: float


def fit_exponent(x: Sequence[float], y: Sequence[float]) -> Fit:
    """Fit a power law to positive points, at least two of them with different x.

    >>> round(fit_exponent([1, 2, 4], [3, 12, 48]).exponent, 6)
    2.0
    """
    u, v = np.log(np.asarray(x, dtype=float)), np.log(np.asarray(y, dtype=float))
    centered = u - u.mean()
    slope = float(centered @ v / (centered @ centered))
    intercept = float(v.mean() - slope * u.mean())
    rest = v - intercept - slope * u
    total = float(((v - v.mean()) ** 2).sum())
    degrees = len(u) - 2
    error = float(np.sqrt(rest @ rest / degrees / (centered @ centered))) if degrees > 0 else 0.0
    r2 = 1 - float(rest @ rest) / total if total > 0 else 1.0
    return Fit(slope, error, float(np.exp(intercept)), r2)


def fit_all(points: Mapping[Any, Sequence[float]]) -> Fit | None:
    """Fit all values of x -> values, without zeros, which have no logarithm; None with fewer than two x."""
    pairs = [(x, value) for x, values in points.items() for value in values if value > 0]
    if len({x for x, _ in pairs}) < 2:
        return None
    return fit_exponent([x for x, _ in pairs], [value for _, value in pairs])


def counterexample(latent_dim: int, scales: Sequence[float]) -> list[dict[str, float]]:
    """Return nuclear norm and rank of t I for several t, and the constant c that rank <= c norm needs."""
    rows = []
    for scale in scales:
        values = np.linalg.svd(scale * np.eye(latent_dim), compute_uv=False).astype(np.float64)
        rank = rank_at(values, 1e-3)
        rows.append({"scale": scale, "norm": float(values.sum()), "rank": rank, "constant": rank / float(values.sum())})
    return rows


def page(rows: Sequence[Mapping[str, Any]], folder: Path, weights: int) -> Page:
    """Build the page of the proposition from rows of weight, seed, published rank, and the ranks of a model.

    While there are fewer than `weights` weights, falling ranks are not judged.
    """
    if not rows:
        return not_measured("proposition1", TEXTS["title"], "The rank follows O(1 / weight) (proposition 1)")
    published = {row["weight"]: row["published"] for row in rows if row["published"] is not None}
    shown, line = {name: _by_weight(rows, name) for name in (MAIN, OF_MATRIX)}, fit_all(_by_weight(rows, MAIN))
    fitted = None if line is None else (line.factor, line.exponent)
    draw = functools.partial(exponent_figure, shown, published, fitted)
    caption = "Rank against the weight, both on logarithmic axes, with the slope that 1 / weight would have"
    blocks: tuple[Block, ...] = (
        Text(TEXTS["premise"]),
        _ranks(rows, published),
        plot(folder, "proposition1", caption, draw),
        _exponents(rows, published),
        _counterexample_grid(),
        *_judge_claims(rows, published, weights),
    )
    return Page("proposition1", TEXTS["title"], blocks)


def _by_weight(rows: Sequence[Mapping[str, Any]], definition: str) -> dict[float, list[float]]:
    found: dict[float, list[float]] = {}
    for row in sorted(rows, key=lambda row: float(row["weight"])):
        found.setdefault(row["weight"], []).append(float(DEFINITIONS[definition](row)))
    return found


def _ranks(rows: Sequence[Mapping[str, Any]], published: Mapping[float, float]) -> Grid:
    tables = {name: _by_weight(rows, name) for name in DEFINITIONS}
    paper = {weight: f"{rank:g}" for weight, rank in published.items()}
    lines = [
        (f"{weight:g}", paper.get(weight, "–"), *(_rank(found[weight]) for found in tables.values()))
        for weight in tables[MAIN]
    ]
    grid = Grid("Rank by weight, mean ± standard deviation", ("weight", "paper", *DEFINITIONS), tuple(lines))
    return grid.without_empty_columns()


def _rank(values: Sequence[float]) -> str:
    """Return mean and deviation of ranks as text: whole numbers, unless the definition gives fractions."""
    return mean_and_deviation(values, ".0f" if all(value.is_integer() for value in values) else ".1f")


def _exponents(rows: Sequence[Mapping[str, Any]], published: Mapping[float, float]) -> Grid:
    fits = {name: fit_all(_by_weight(rows, name)) for name in DEFINITIONS}
    fits["the paper's table 7"] = fit_all({weight: [rank] for weight, rank in published.items()})
    lines = [
        (name, f"{fit.exponent:.2f} ± {fit.error:.2f}", f"{fit.r2:.2f}")
        for name, fit in fits.items()
        if fit is not None
    ]
    return Grid("Exponent of the rank against the weight", ("rank", "exponent", "R squared"), tuple(lines))


def _counterexample_grid() -> Grid:
    rows = counterexample(128, (1.0, 1e-2, 1e-4, 1e-6))
    lines = [(f"{row['scale']:g}", f"{row['norm']:.3g}", f"{row['rank']}", f"{row['constant']:.3g}") for row in rows]
    return Grid("The matrix t I, 128 x 128", ("t", "nuclear norm", "rank", "rank / norm"), tuple(lines))


def _judge_claims(
    rows: Sequence[Mapping[str, Any]], published: Mapping[float, float], weights: int
) -> list[ClaimResult]:
    points = _by_weight(rows, MAIN)
    fit = fit_all(points)
    falls = {MAIN: TEXTS["falls"], OF_MATRIX: TEXTS["falls_of_matrix"]}
    if fit is None:
        return [ClaimResult(sentence, None, "not measured") for sentence in (*falls.values(), TEXTS["rate"])]
    theirs = fit_all({weight: [rank] for weight, rank in published.items()})
    seen = f"like weight^({fit.exponent:.2f} ± {fit.error:.2f})"
    if theirs is not None:
        seen += f", the paper's own ranks like weight^({theirs.exponent:.2f})"
    means = {weight: statistics.fmean(ranks) for weight, ranks in points.items()}
    low, high = min(means), max(means)
    # Some c / weight bounds every finite set of ranks; the bound is meaningful only if that c is small.
    constant = max(weight * mean for weight, mean in means.items())
    ends = {"low": low, "high": high, "first": means[low], "last": means[high]}
    seen += "; " + TEXTS["bound"].format(**ends, constant=constant, allowed=constant / low)
    full = "t I has rank 128 at every t, so c would have to exceed 1 / t for all t"
    return [
        *(_falling(sentence, _by_weight(rows, definition), weights) for definition, sentence in falls.items()),
        ClaimResult(TEXTS["rate"], abs(fit.exponent + 1) <= NEAR, seen),
        ClaimResult(TEXTS["constant"], False, full),
    ]


def _falling(sentence: str, points: Mapping[float, Sequence[float]], weights: int) -> ClaimResult:
    if len(points) < weights:
        return ClaimResult(sentence, None, "not measured")
    means = {weight: statistics.fmean(ranks) for weight, ranks in points.items()}
    seen = ", ".join(f"{mean:.0f} at {weight:g}" for weight, mean in means.items())
    return ClaimResult(sentence, all(first > second for first, second in pairwise(means.values())), seen)
