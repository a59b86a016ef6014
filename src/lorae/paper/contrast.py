"""Theorem 2: how much near and far differ among latents, with and without the penalty, beside the claimed bound."""

import math
import statistics
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae.metrics.neighbours import distance_rows
from lorae.model import Autoencoder
from lorae.paper.page import Block, Grid, Page, Picture, Text, Verdict
from lorae.paper.theory_plots import plot_contrast

# Distances from so many points to so many others: the theorem's x and x_1 ... x_N.
QUERIES, POINTS = 100, 1000

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
    """The min-max distance ratio of latents and of items, and every ingredient of the theorem's bound.

    model: with a matrix M. items: test items as they are. The errors are the mean squared ones of equation 1 before
    and after training; initial_norm is the nuclear norm of M before it.
    """
    items = items[:POINTS]
    values = model.singular_values()
    assert values is not None
    norm = float(values.sum())
    ranks = {f"{tolerance:g}": model.matrix_rank(tolerance) for tolerance in TOLERANCES}
    rank = int((values > TOLERANCES[1] * values.max()).sum())
    smallest, largest = extreme_distances(model.encode(items))
    ratios = (largest - smallest) / smallest
    flat_smallest, flat_largest = extreme_distances(np.asarray(items).reshape(len(items), -1).astype(np.float64))
    constant = rank / norm
    # The proof divides the smallest distance by the rank, and not the largest.
    spread = largest / (smallest / rank)
    bound = weight * spread / (constant * initial_error)
    return {
        "ratio": {"mean": float(ratios.mean()), "median": float(np.median(ratios))},
        "items": {"mean": float(((flat_largest - flat_smallest) / flat_smallest).mean())},
        "matrix_ranks": ranks,
        "norm": norm,
        "constant": constant,
        "initial_error": initial_error,
        "final_error": final_error,
        "initial_norm": initial_norm,
        # Equation 15 of the supplement; without a penalty it says nothing.
        "norm_bound": (initial_error - final_error) / weight + initial_norm if weight else None,
        "spread": float(spread.mean()),
        "bound": float(bound.mean()) if weight else None,
        "bound_holds": bool((ratios >= bound).all()) if weight else None,
    }


def extreme_distances(points: NDArray[Any], queries: int = QUERIES) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distances of the first points to their nearest and farthest others, float64 (queries,); equal points count not.

    points: (n, d).
    """
    smallest: list[float] = []
    largest: list[float] = []
    for _, rows in distance_rows(points[:queries], points):
        for distances in rows.sqrt().numpy():
            smallest.append(float(distances[distances > 0].min()))
            largest.append(float(distances.max()))
    return np.asarray(smallest), np.asarray(largest)


def page(rows: Sequence[Mapping[str, Any]], folder: Path) -> Page:
    """The page of the theorem. rows: weight (0 for none), label, seed, and a result of `measure_contrast`."""
    title = "Contrast of distances between latents"
    without = _of(rows, 0.0)
    weights = sorted({row["weight"] for row in rows if row["weight"]})
    if not (without and weights):
        nothing = Verdict("The penalty raises the min-max distance ratio (theorem 2)", None, "not measured")
        return Page("theorem2", title, (Text("Nothing has been measured yet."), nothing))
    place = Path("pictures") / "theorem2.png"
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    ratios = {weight: [row["ratio"]["mean"] for row in _of(rows, weight)] for weight in weights}
    plot_contrast(ratios, [row["ratio"]["mean"] for row in without], folder / place)
    blocks: tuple[Block, ...] = (
        Text(
            f"(largest - smallest distance) / smallest, from each of {QUERIES} test latents to {POINTS - 1} others. "
            "Dividing distances by the rank, as the theorem does, cancels in this ratio; in the proof only the "
            "smallest distance is divided by it. c is the smallest constant with rank(M) <= c |M|_* for this M."
        ),
        _grid(rows, [0.0, *weights]),
        Picture(place, "The ratio by the penalty's weight; the line is the same model without the penalty"),
        *_verdicts(rows, without, ratios),
    )
    return Page("theorem2", title, blocks)


def _of(rows: Sequence[Mapping[str, Any]], weight: float) -> list[Mapping[str, Any]]:
    return [row["contrast"] for row in rows if row["weight"] == weight]


def _grid(rows: Sequence[Mapping[str, Any]], weights: Sequence[float]) -> Grid:
    lines = []
    for weight in weights:
        found = _of(rows, weight)
        lines.append(
            (
                f"{weight:g}",
                _mean([row["ratio"]["mean"] for row in found]),
                _mean([float(row["matrix_ranks"]["0.001"]) for row in found]),
                _mean([row["norm"] for row in found]),
                _mean([row["norm_bound"] for row in found]) if weight else "–",
                _mean([row["constant"] for row in found]),
                _mean([row["bound"] for row in found]) if weight else "–",
            )
        )
    header = ("weight", "ratio", "rank of M", "norm of M", "bound on the norm", "c", "claimed bound on the ratio")
    return Grid("The ratio and the ingredients of its bound, mean ± standard deviation", header, tuple(lines))


def _mean(values: Sequence[float]) -> str:
    mean = f"{statistics.fmean(values):.3g}"
    return mean + (f" ± {statistics.stdev(values):.2g}" if len(values) > 1 else "")


def _verdicts(
    rows: Sequence[Mapping[str, Any]], without: Sequence[Mapping[str, Any]], ratios: Mapping[float, Sequence[float]]
) -> list[Verdict]:
    level = statistics.fmean(row["ratio"]["mean"] for row in without)
    means = {weight: statistics.fmean(values) for weight, values in ratios.items()}
    listed = ", ".join(f"{mean:.2f} at {weight:g}" for weight, mean in means.items())
    order = list(means.values())
    bounded = [row["contrast"] for row in rows if row["weight"]]
    constants = [row["constant"] for row in bounded]
    gaps = [math.log10(row["ratio"]["mean"] / row["bound"]) for row in bounded]
    return [
        Verdict(
            "With the penalty, near and far differ more than without it, at every weight (section 5.2)",
            all(mean > level for mean in order),
            f"{level:.2f} without; {listed}",
        ),
        Verdict(
            "The ratio grows with the weight, as the bound does",
            all(first < second for first, second in pairwise(order)),
            listed,
        ),
        Verdict(
            "The ratio exceeds the claimed bound (theorem 2)",
            all(row["bound_holds"] for row in bounded),
            f"the ratio is 10^{min(gaps):.1f} to 10^{max(gaps):.1f} times the bound, with the smallest c that "
            "each M allows",
        ),
        Verdict(
            "One constant c gives rank(M) <= c |M|_* whatever the training (supplement, equation 16)",
            False,
            f"c is {min(constants):.3g} to {max(constants):.3g} here, and has no upper limit: t I has full rank at "
            "every t (see `proposition1`)",
        ),
    ]
