"""Plots of spectra and of errors by rank. Imports no torch."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from lorae.errors import LoraeError
from lorae.plotting.style import (
    COLORS,
    FLOOR,
    GRID,
    INK,
    LINE_STYLES,
    MUTED,
    SMALL_TEXT,
    WIDTH,
    format_tolerance,
    legend_below,
    log_axis,
    new_figure,
    save,
    shortened,
)

LONGEST_LABEL = 34
# Variances below this share of the largest are rounding of float32, squared: they would take half of the axis.
LOWEST = 1e-8
# A dashed line behind the curves.
THRESHOLD: dict[str, Any] = {"color": INK, "linewidth": 1.1, "linestyle": (0, (5, 3)), "zorder": 1.5}


def plot_spectrum(spectra: Mapping[str, Sequence[float]], path: str | Path, **options: Any) -> Path:
    """Draw a `spectrum_figure` to a PNG."""
    return save(spectrum_figure(spectra, **options), path)


def spectrum_figure(
    spectra: Mapping[str, Sequence[float]],
    *,
    tolerance: float = 1e-3,
    ranks: Mapping[str, int] | None = None,
    widths: Mapping[str, int] | None = None,
    width: float = WIDTH,
) -> Figure:
    """Draw eigenvalues of latent covariances relative to the largest, down to 1e-8, by the name of their curve.

    A line is drawn at `tolerance`, the share of the largest at which a rank is counted that `ranks` does not give. The
    rank is written beside its dot, and what lies beyond it is shaded. A curve may end before the width of its latent in
    `widths`, with the directions that its items span. `width` is that of the figure, in inches.
    """
    if not 0 < tolerance < 1:
        raise LoraeError(f"tolerance {tolerance!r} is not between 0 and 1; use for example 1e-3")
    if not spectra:
        raise LoraeError("no spectrum to plot; give at least one list of eigenvalues")
    curves = {name: _relative(name, values) for name, values in spectra.items()}
    longest = max(curve.size for curve in curves.values())
    lowest = min(LOWEST, tolerance / 10)
    figure, (axes,) = new_figure(1, height=3.3 + 0.22 * len(curves), width=width)
    handles, labels, dots = [], [], []
    for number, (name, curve) in enumerate(curves.items()):
        index = np.arange(1, curve.size + 1)
        heights = np.maximum(curve, FLOOR)
        rank = int((curve > tolerance).sum()) if ranks is None or name not in ranks else int(ranks[name])
        color, style = COLORS[number % len(COLORS)], LINE_STYLES[number // len(COLORS) % len(LINE_STYLES)]
        # A single eigenvalue is a line of no length: only a marker shows it.
        (line,) = axes.plot(
            index, heights, color=color, linestyle=style, linewidth=1.8, marker="." if curve.size < 3 else ""
        )
        if 1 <= rank <= curve.size:
            height = max(heights[rank - 1], lowest)
            axes.plot(rank, height, "o", color=color, markersize=8, markeredgecolor="white", zorder=4)
            dots.append((rank, height))
        handles.append(line)
        width_of = curve.size if widths is None else widths.get(name, curve.size)
        ending = f" ({curve.size + 1} items show {curve.size})" if curve.size < width_of else ""
        labels.append(f"{shortened(name, LONGEST_LABEL)}: rank {rank} of {width_of}{ending}")
    handles.append(axes.axhline(tolerance, **THRESHOLD))
    labels.append(f"tolerance {format_tolerance(tolerance)}; a dot marks each rank")
    margin = max(0.5, 0.015 * longest)
    _shade_unused(axes, dots if len(curves) == 1 else [], longest + margin, lowest, tolerance)
    axes.set_yscale("log")
    axes.set_ylim(lowest, 4.0 if len(dots) < 2 else 12.0)
    axes.yaxis.set_major_locator(LogLocator(base=10, numticks=6))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_tolerance(value)))
    axes.set_xlim(1 - margin, longest + margin)
    axes.set_xticks(_index_ticks(longest))
    axes.set_xlabel("index of the direction")
    axes.set_ylabel("variance (relative to largest)")
    _label_ranks(axes, dots, longest)
    legend_below(figure, handles, labels)
    return figure


def _shade_unused(axes: Axes, dots: Sequence[tuple[int, float]], end: float, lowest: float, tolerance: float) -> None:
    """Shade the directions after the rank of a single curve, else the variances below the tolerance."""
    look: dict[str, Any] = {"facecolor": GRID, "alpha": 0.45, "linewidth": 0, "zorder": 0.5}
    if not dots:
        axes.axhspan(lowest, tolerance, **look)
    elif dots[0][0] + 0.5 < end - 0.5:
        axes.axvspan(dots[0][0] + 0.5, end, **look)
        middle = (dots[0][0] + 0.5 + end) / 2
        if end - dots[0][0] > 0.3 * end:
            axes.text(middle, 1.4, "unused", ha="center", va="center", fontsize=SMALL_TEXT, color=INK)


def _label_ranks(axes: Axes, dots: Sequence[tuple[int, float]], longest: int) -> None:
    """Write the rank of a single curve beside its dot, those of several in a line above the curves."""
    look: dict[str, Any] = {"fontsize": SMALL_TEXT, "color": INK, "zorder": 5}
    if len(dots) == 1:
        ((rank, height),) = dots
        side, shift = ("right", -7) if rank > 0.75 * longest else ("left", 7)
        axes.annotate(f"rank {rank}", (rank, height), (shift, 5), textcoords="offset points", ha=side, **look)
        return
    lowest = -math.inf
    for rank, height in sorted(set(dots)):
        across = max(rank, lowest + 0.06 * longest)
        lowest = across
        if across > longest:  # the legend has it too
            break
        line = {"arrowstyle": "-", "color": MUTED, "linewidth": 0.7, "shrinkA": 0, "shrinkB": 0}
        axes.annotate(str(rank), (rank, height), (across, 3.0), ha="center", va="center", arrowprops=line, **look)


def plot_rank_error(points: Sequence[Mapping[str, Any]], path: str | Path, **options: Any) -> Path:
    """Draw a `rank_error_figure` to a PNG."""
    return save(rank_error_figure(points, **options), path)


def rank_error_figure(
    points: Sequence[Mapping[str, Any]], *, marked: str | None = None, bound: float | None = None, width: float = WIDTH
) -> Figure:
    """Draw the `mse` of points against their `rank`, the one with the label `marked`, and the bound."""
    if not points:
        raise LoraeError("no rank to plot; expected at least one point")
    # Along the axis, whatever the order of trials; of equal ranks the larger error first, as on a path.
    rows = sorted(points, key=lambda point: (point["rank"], -point["mse"]))
    ranks, errors = [row["rank"] for row in rows], [max(row["mse"], FLOOR) for row in rows]
    figure, (axes,) = new_figure(1, height=3.5, width=width)
    axes.plot(ranks, errors, "o-", color=COLORS[0], linewidth=1.4, markersize=5, markeredgecolor="white")
    handles, labels = [], []
    for row, rank, error in zip(rows, ranks, errors, strict=True):
        if row["label"] == marked:
            handles += axes.plot(rank, error, "o", color=COLORS[1], markersize=9, markeredgecolor="white", zorder=4)
            labels.append(f"chosen: {marked}")
    _label_points(axes, rows, errors, marked)
    shown = errors if bound is None else [*errors, max(bound, FLOOR)]
    if bound is not None:
        handles.append(axes.axhline(shown[-1], **THRESHOLD))
        labels.append(f"allowed: {bound:.4g}")
    log_axis(axes, min(shown), max(shown))
    axes.set_xlim(0, max(1, ranks[-1]) * 1.16)  # room for the last label
    axes.margins(y=0.12)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, steps=[1, 2, 5, 10]))
    axes.set_xlabel("rank")
    axes.set_ylabel("error on items set aside")
    if handles:
        legend_below(figure, handles, labels, columns=2)
    return figure


def _label_points(axes: Axes, rows: Sequence[Mapping[str, Any]], errors: Sequence[float], first: str | None) -> None:
    """Write the label of each point beside it, that of `first` always, others if there is room."""
    x = np.array([row["rank"] for row in rows], dtype=np.float64)
    y = np.log10(errors)
    places = [(values - values.min()) / max(float(np.ptp(values)), 1e-9) for values in (x, y)]
    taken: list[tuple[float, float]] = []
    order = sorted(range(len(rows)), key=lambda index: (rows[index]["label"] != first, -index))
    for index in order:
        across, up = (float(values[index]) for values in places)
        if any(abs(across - a) < 0.14 and abs(up - b) < 0.09 for a, b in taken):
            continue
        taken.append((across, up))
        label, point = rows[index]["label"], (x[index], errors[index])
        axes.annotate(
            label, point, (5, 5), textcoords="offset points", fontsize=SMALL_TEXT, color=MUTED, parse_math=False
        )


def _relative(name: str, values: Sequence[float]) -> NDArray[np.float64]:
    eigenvalues = np.asarray(values, dtype=np.float64).ravel()
    if eigenvalues.size == 0:
        raise LoraeError(f"the spectrum {name!r} is empty; expected at least one eigenvalue")
    # A diverged run must still give a page.
    finite = np.sort(np.nan_to_num(eigenvalues, nan=0.0, posinf=0.0, neginf=0.0))[::-1]
    return finite / finite[0] if finite[0] > 0 else np.zeros_like(finite)


def _index_ticks(longest: int) -> list[int]:
    ticks = [int(tick) for tick in MaxNLocator(nbins=6, integer=True).tick_values(0, longest)]
    step = ticks[1] - ticks[0]
    return [1] + [tick for tick in ticks if 1 + step / 2 <= tick <= longest]
