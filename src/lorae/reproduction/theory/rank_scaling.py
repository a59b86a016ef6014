"""Proposition 1: the rank against the penalty's weight, and a matrix of full rank with a small nuclear norm."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from lorae.metrics.ranks import rank_at
from lorae.reports.formatting import mean_and_deviation
from lorae.reproduction.pages.blocks import Block, ClaimResult, Grid, Page, Picture, Text
from lorae.reproduction.theory.plots import plot_exponent

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


def counterexample(latent_dim: int, scales: Sequence[float]) -> list[dict[str, float]]:
    """Return nuclear norm and rank of t I for several t, and the constant c that rank <= c norm needs."""
    rows = []
    for scale in scales:
        values = np.linalg.svd(scale * np.eye(latent_dim), compute_uv=False).astype(np.float64)
        rank = rank_at(values, 1e-3)
        rows.append({"scale": scale, "norm": float(values.sum()), "rank": rank, "constant": rank / float(values.sum())})
    return rows


def page(rows: Sequence[Mapping[str, Any]], folder: Path, weights: int) -> Page:
    """Build the page of the proposition.

    rows: weight, seed, published rank, and the ranks of a model by every definition
    weights: number of weights of the study; while some are missing, falling ranks are not judged
    """
    title = "The rank against the penalty's weight"
    if not rows:
        nothing = ClaimResult("The rank follows O(1 / weight) (proposition 1)", None, "not measured")
        return Page("proposition1", title, (Text("Nothing has been measured yet."), nothing))
    place = Path("pictures") / "proposition1.png"
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    published = {row["weight"]: row["published"] for row in rows if row["published"] is not None}
    shown, line = {name: _by_weight(rows, name) for name in (MAIN, OF_MATRIX)}, _fit(_by_weight(rows, MAIN))
    plot_exponent(shown, published, folder / place, None if line is None else (line.factor, line.exponent))
    blocks: tuple[Block, ...] = (
        Text(
            "The proof assumes rank(M) <= c |M|_* for a constant c. There is none: t I has full rank for every t > 0, "
            "while its nuclear norm goes to zero with t. The proposition can therefore only be tested by measurement."
        ),
        _ranks(rows, published),
        Picture(place, "Rank against the weight, both on logarithmic axes, with the slope that 1 / weight would have"),
        _exponents(rows, published),
        _counterexample_grid(),
        *_judge_claims(rows, published, weights),
    )
    return Page("proposition1", title, blocks)


def _by_weight(rows: Sequence[Mapping[str, Any]], definition: str) -> dict[float, list[float]]:
    found: dict[float, list[float]] = {}
    for row in sorted(rows, key=lambda row: float(row["weight"])):
        found.setdefault(row["weight"], []).append(float(DEFINITIONS[definition](row)))
    return found


def _fit(points: Mapping[float, Sequence[float]]) -> Fit | None:
    """Fit positive ranks; return None with fewer than two weights. Collapsed latents have rank 0 and no logarithm."""
    pairs = [(weight, rank) for weight, ranks in points.items() for rank in ranks if rank > 0]
    if len({weight for weight, _ in pairs}) < 2:
        return None
    return fit_exponent([weight for weight, _ in pairs], [rank for _, rank in pairs])


def _ranks(rows: Sequence[Mapping[str, Any]], published: Mapping[float, float]) -> Grid:
    tables = {name: _by_weight(rows, name) for name in DEFINITIONS}
    lines = []
    for weight in tables[MAIN]:
        paper = f"{published[weight]:g}" if weight in published else "–"
        lines.append((f"{weight:g}", paper, *(mean_and_deviation(tables[name][weight]) for name in DEFINITIONS)))
    return Grid("Rank by weight, mean ± standard deviation", ("weight", "paper", *DEFINITIONS), tuple(lines))


def _exponents(rows: Sequence[Mapping[str, Any]], published: Mapping[float, float]) -> Grid:
    fits = {name: _fit(_by_weight(rows, name)) for name in DEFINITIONS}
    fits["the paper's table 7"] = _fit({weight: [rank] for weight, rank in published.items()})
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
    fit = _fit(points)
    falls = {
        MAIN: "The rank of the latents falls as the weight grows (section 5.3)",
        OF_MATRIX: "The rank of M, which the proof bounds, falls as the weight grows",
    }
    rate = "The rank is proportional to 1 / weight, as a tight O(1 / weight) means"
    if fit is None:
        return [ClaimResult(sentence, None, "not measured") for sentence in (*falls.values(), rate)]
    theirs = _fit({weight: [rank] for weight, rank in published.items()})
    seen = f"like weight^({fit.exponent:.2f} ± {fit.error:.2f})"
    if theirs is not None:
        seen += f", the paper's own ranks like weight^({theirs.exponent:.2f})"
    means = {weight: statistics.fmean(ranks) for weight, ranks in points.items()}
    low, high = min(means), max(means)
    # Some c / weight bounds every finite set of ranks; the bound is meaningful only if that c is small.
    constant = max(weight * mean for weight, mean in means.items())
    seen += (
        f"; from weight {low:g} to {high:g} the rank changes from {means[low]:.1f} to {means[high]:.1f}. An "
        f"upper bound c / weight on all of these needs c = {constant:.2g} or more, which at {low:g} allows a rank of "
        f"{constant / low:,.0f}; a smaller c fails, first at the large weights if ranks fall slower than 1 / weight"
    )
    return [
        *(_falling(sentence, _by_weight(rows, definition), weights) for definition, sentence in falls.items()),
        ClaimResult(rate, abs(fit.exponent + 1) <= NEAR, seen),
        ClaimResult(
            "rank(M) <= c |M|_* for some constant c (used by proposition 1 and theorem 2)",
            False,
            "t I has rank 128 at every t, so c would have to exceed 1 / t for all t",
        ),
    ]


def _falling(sentence: str, points: Mapping[float, Sequence[float]], weights: int) -> ClaimResult:
    if len(points) < weights:
        return ClaimResult(sentence, None, "not measured")
    means = {weight: statistics.fmean(ranks) for weight, ranks in points.items()}
    seen = ", ".join(f"{mean:.1f} at {weight:g}" for weight, mean in means.items())
    return ClaimResult(sentence, all(first > second for first, second in pairwise(means.values())), seen)
