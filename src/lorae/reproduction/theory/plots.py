"""Plots of the theorems and the proposition. Imports no torch."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from lorae.plotting.style import COLORS, INK, MUTED, WIDTH, format_tolerance, legend_below, new_figure

DASHED = (0, (5, 3))


def convergence_figure(
    points: Mapping[int, Sequence[float]], curves: Sequence[Sequence[Sequence[float]]], *, width: float = WIDTH
) -> Figure:
    """Draw the smallest gradients of all seeds by steps, their curves at a constant rate, and T^(-1/4)."""
    figure, (axes,) = new_figure(1, height=3.8, width=width)
    for number, curve in enumerate(curves):
        label = "constant rate, a line for each seed" if number == 0 else None
        axes.plot(*zip(*curve, strict=True), color=MUTED, linewidth=1.0, label=label)
    _spread(axes, points, COLORS[0], "rate of the theorem, mean of the seeds")
    steps = list(points)
    start = statistics.fmean(points[steps[0]])
    claimed = [start * (count / steps[0]) ** -0.25 for count in steps]
    axes.plot(steps, claimed, color=INK, linewidth=1.2, linestyle=DASHED, label="T^(-1/4)")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("steps T")
    axes.set_ylabel("smallest gradient norm")
    legend_below(figure, *axes.get_legend_handles_labels())
    return figure


def contrast_figure(
    ratios: Mapping[float, Sequence[float]], without: Sequence[float], *, width: float = WIDTH
) -> Figure:
    """Draw the min-max distance ratios of all seeds by weight, and those without a penalty."""
    figure, (axes,) = new_figure(1, height=3.4, width=width)
    axes.axhline(
        statistics.fmean(without), color=INK, linewidth=1.2, linestyle=DASHED, label="no penalty, mean; thin: each seed"
    )
    for level in without:
        axes.axhline(level, color=MUTED, linewidth=0.5)
    _spread(axes, ratios, COLORS[0], "with the penalty, mean of the seeds")
    _weight_axis(axes, list(ratios))
    axes.set_ylabel("min-max distance ratio")
    every = [*without, *(ratio for seeds in ratios.values() for ratio in seeds)]
    if max(every) > 50 * min(every) > 0:  # at ranks near 1 the smallest distances vanish
        axes.set_yscale("log")
    else:
        axes.set_ylim(0, 1.08 * max(every))
    legend_below(figure, *axes.get_legend_handles_labels())
    return figure


def exponent_figure(
    ranks: Mapping[str, Mapping[float, Sequence[float]]],
    published: Mapping[float, float],
    fitted: tuple[float, float] | None = None,
    *,
    width: float = WIDTH,
) -> Figure:
    """Draw the ranks of all seeds by definition and weight, without those of 0, and the published ones.

    Lines are the slope of 1 / weight, and the power law `fitted` to the first definition: its factor and exponent.
    """
    figure, (axes,) = new_figure(1, height=4.0, width=width)
    for (name, points), color in zip(ranks.items(), COLORS, strict=False):
        left = {weight: kept for weight, seeds in points.items() if (kept := [rank for rank in seeds if rank > 0])}
        _spread(axes, left, color, f"ours: {name}")
    if published:
        weights = sorted(published)
        shown = [published[weight] for weight in weights]
        axes.plot(weights, shown, "s--", color=COLORS[3], linewidth=1.4, markersize=5, label="the paper's table 7")
    weights = sorted(next(iter(ranks.values())))
    if fitted is not None:
        factor, exponent = fitted
        heights = [factor * weight**exponent for weight in weights]
        axes.plot(weights, heights, color=MUTED, linewidth=1.2, linestyle=":", label=f"fit: weight^({exponent:.2f})")
    start = statistics.fmean(next(iter(ranks.values()))[weights[0]])
    if start > 1:  # the line ends at rank 1
        ends = [weights[0], min(weights[0] * start, weights[-1])]
        inverse = [start * weights[0] / weight for weight in ends]
        axes.plot(ends, inverse, color=INK, linewidth=1.2, linestyle=DASHED, label="slope of 1 / weight")
    axes.set_yscale("log")
    _weight_axis(axes, weights)
    axes.yaxis.set_major_locator(FixedLocator([1, 2, 4, 8, 16, 32, 64, 128]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylabel("rank")
    legend_below(figure, *axes.get_legend_handles_labels())
    return figure


def _spread(axes: Axes, points: Mapping[Any, Sequence[float]], color: str, label: str) -> None:
    """Draw a line through the means, and a dot for every seed."""
    means = [statistics.fmean(seeds) for seeds in points.values()]
    axes.plot(list(points), means, color=color, linewidth=1.8, label=label)
    for value, seeds in points.items():
        axes.plot([value] * len(seeds), seeds, "o", color=color, markersize=4, alpha=0.6)


def _weight_axis(axes: Axes, weights: Sequence[float]) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(sorted(weights)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: format_tolerance(value)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("weight of the penalty")
