"""Theorem 2: distance contrast of latents with and without the penalty, compared with the claimed bound."""

import functools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae.metrics.neighbors import distance_rows
from lorae.metrics.ranks import rank_at
from lorae.models.autoencoder import Autoencoder
from lorae.reports.formatting import mean_and_deviation
from lorae.reproduction.pages.blocks import Block, ClaimResult, Grid, Page, Text, not_measured, plot
from lorae.reproduction.theory.plots import contrast_figure
from lorae.system.files import read_toml

# Numbers of the theorem's x and x_1 ... x_N, whose distances are measured.
QUERIES, POINTS = 100, 1000

TEXTS: dict[str, str] = read_toml("lorae.reproduction.theory", "theory.toml")["contrast"]["texts"]

TOLERANCES = (1e-2, 1e-3, 1e-6)


def measure_contrast(
    model: Autoencoder,
    items: NDArray[Any],
    *,
    initial_error: float,
    initial_norm: float,
    final_error: float,
    weight: float,
) -> dict[str, Any]:
    """Return the min-max distance ratio of latents and of items, and with a matrix M every quantity of the bound.

    The items are raw test items; the errors are those of equation 1 before and after training. `ratio`, and the numbers
    that depend on it, are None if all latents are equal.
    """
    items = items[:POINTS]
    smallest, largest = extreme_distances(model.encode(items))
    found = {
        "ratio": _averages(smallest, largest),
        "items": _averages(*extreme_distances(np.asarray(items).reshape(len(items), -1))),
    }
    values = model.singular_values()
    if values is None:
        return found
    norm, rank = float(values.sum()), rank_at(values, TOLERANCES[1])
    # A matrix of zeros satisfies rank <= c norm with any c.
    constant = rank / norm if norm > 0 else None
    # The proof divides only the smallest distance by the rank.
    spread = rank * largest / smallest
    bound = weight * spread / (constant * initial_error) if weight and constant and len(spread) else None
    return found | {
        "matrix_ranks": {f"{tolerance:g}": rank_at(values, tolerance) for tolerance in TOLERANCES},
        "norm": norm,
        "constant": constant,
        "initial_error": initial_error,
        "final_error": final_error,
        "initial_norm": initial_norm,
        # Equation 15 of the supplement, which needs a penalty.
        "norm_bound": (initial_error - final_error) / weight + initial_norm if weight else None,
        "bound": None if bound is None else float(bound.mean()),
        "bound_holds": None if bound is None else bool(((largest - smallest) / smallest >= bound).all()),
    }


def _averages(smallest: NDArray[np.float64], largest: NDArray[np.float64]) -> dict[str, float] | None:
    """Return mean and median of the ratio over the queries; None without a query."""
    if len(smallest) == 0:
        return None
    ratios = (largest - smallest) / smallest
    return {"mean": float(ratios.mean()), "median": float(np.median(ratios))}


def extreme_distances(points: NDArray[Any], queries: int = QUERIES) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return distances of the first of points (n, d) to their nearest and farthest others; duplicates are ignored.

    Both results are float64 (queries,), without queries that equal all points.
    """
    smallest: list[float] = []
    largest: list[float] = []
    for _, rows in distance_rows(points[:queries], points):
        for distances in rows.sqrt().numpy():
            if distances.any():
                smallest.append(float(distances[distances > 0].min()))
                largest.append(float(distances.max()))
    return np.asarray(smallest), np.asarray(largest)


def page(rows: Sequence[Mapping[str, Any]], folder: Path) -> Page:
    """Build the page of the theorem from rows of weight (0 for none), label, seed and result of `measure_contrast`."""
    weights = sorted({row["weight"] for row in rows if row["weight"]})
    without = _ratios(rows, 0.0)
    ratios = {weight: found for weight in weights if (found := _ratios(rows, weight))}
    if not (without and ratios):
        return not_measured("theorem2", TEXTS["title"], "The penalty raises the min-max distance ratio (theorem 2)")
    draw = functools.partial(contrast_figure, ratios, without)
    caption = "The ratio by the penalty's weight; the line is the same model without the penalty"
    blocks: tuple[Block, ...] = (
        Text(TEXTS["ratio"].format(queries=QUERIES, others=POINTS - 1)),
        Text(TEXTS["bound"]),
        _ratio_grid(rows, [0.0, *weights]),
        plot(folder, "theorem2", caption, draw),
        _ingredients(rows, weights),
        *_judge_claims(rows, without, ratios),
    )
    return Page("theorem2", TEXTS["title"], blocks)


def _of(rows: Sequence[Mapping[str, Any]], weight: float) -> list[Mapping[str, Any]]:
    return [row["contrast"] for row in rows if row["weight"] == weight]


def _ratios(rows: Sequence[Mapping[str, Any]], weight: float) -> list[float]:
    """Return the median ratios of the seeds whose latents are not all equal."""
    return [row["ratio"]["median"] for row in _of(rows, weight) if row["ratio"] is not None]


def _ratio_grid(rows: Sequence[Mapping[str, Any]], weights: Sequence[float]) -> Grid:
    columns: dict[str, Callable[[Mapping[str, Any]], float | None]] = {
        "ratio, median": lambda row: (row["ratio"] or {}).get("median"),
        "ratio, mean": lambda row: (row["ratio"] or {}).get("mean"),
        "claimed bound": lambda row: row.get("bound"),
        "ratio of the items, mean": lambda row: (row.get("items") or {}).get("mean"),
    }
    return _grid("The ratio and its claimed bound", columns, rows, weights)


def _ingredients(rows: Sequence[Mapping[str, Any]], weights: Sequence[float]) -> Grid:
    columns: dict[str, Callable[[Mapping[str, Any]], float | None]] = {
        "rank of M": lambda row: row["matrix_ranks"]["0.001"],
        "norm of M": lambda row: row["norm"],
        "its bound": lambda row: row["norm_bound"],
        "c": lambda row: row["constant"],
        "weight x first norm": lambda row: row["weight"] * row["initial_norm"] if "initial_norm" in row else None,
        "last error": lambda row: row.get("final_error"),
    }
    return _grid("Quantities of the bound", columns, rows, weights)


def _grid(
    caption: str,
    columns: Mapping[str, Callable[[Mapping[str, Any]], float | None]],
    rows: Sequence[Mapping[str, Any]],
    weights: Sequence[float],
) -> Grid:
    """Return a table with a line for each weight, and for each column a title and where a result has its value."""
    lines = []
    for weight in weights:
        found = [{"weight": weight, **row} for row in _of(rows, weight)]
        lines.append((f"{weight:g}", *(_mean([read(row) for row in found]) for read in columns.values())))
    grid = Grid(f"{caption}, mean ± standard deviation of the seeds", ("weight", *columns), tuple(lines))
    return grid.without_empty_columns()


def _mean(values: Sequence[float | None]) -> str:
    """Return mean and deviation of numbers of very different sizes as text; of ranks, as whole numbers."""
    if all(value is None or isinstance(value, int) for value in values):
        return mean_and_deviation(values, ".0f")
    return mean_and_deviation(values, ".3g", ".2g")


def _judge_claims(
    rows: Sequence[Mapping[str, Any]], without: Sequence[float], ratios: Mapping[float, Sequence[float]]
) -> list[ClaimResult]:
    level = statistics.fmean(without)
    means = {weight: statistics.fmean(values) for weight, values in ratios.items()}
    listed = ", ".join(f"{_mean(values)} at {weight:g}" for weight, values in ratios.items())
    # No claim about a ratio holds if all latents are equal.
    lost = sorted({row["weight"] for row in rows if row["weight"] and row["contrast"]["ratio"] is None})
    if lost:
        listed += "; all latents the same at " + ", ".join(f"{weight:g}" for weight in lost)
    order = list(means.values())
    raises = not lost and all(mean > level for mean in order)
    grows = not lost and all(first < second for first, second in pairwise(order))
    return [
        ClaimResult(TEXTS["raises"], raises, f"{_mean(without)} without; {listed}"),
        ClaimResult(TEXTS["grows"], grows if len(order) + len(lost) > 1 else None, listed),
        *_judge_bound([row["contrast"] for row in rows if row["weight"]]),
    ]


def _judge_bound(found: Sequence[Mapping[str, Any]]) -> list[ClaimResult]:
    """Judge the bound and its premise, from the results of models with the penalty."""
    bounded = [row for row in found if row["bound"] is not None]
    gaps = [math.log10(row["ratio"]["mean"] / row["bound"]) for row in bounded]
    constants = [row["constant"] for row in found if row["constant"] is not None]
    here = f"it is {min(constants):.3g} to {max(constants):.3g} here, and " if constants else ""
    here += "no constant is large enough: t I has full rank at every t (see `proposition1`)"
    holds, seen = None, "not measured"
    if bounded:
        holds = all(row["bound_holds"] for row in bounded)
        seen = TEXTS["gap"].format(smallest=min(gaps), largest=max(gaps))
    return [ClaimResult(TEXTS["exceeds"], holds, seen), ClaimResult(TEXTS["constant"], False, here)]
