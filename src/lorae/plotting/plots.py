"""Plots of spectra, errors by rank, vectors and estimated dimensions. Imports no torch."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from lorae.errors import LoraeError
from lorae.plotting.style import (
    COLORS,
    FLOOR,
    INK,
    LINE_STYLES,
    MUTED,
    SMALL_TEXT,
    TEXT,
    legend_below,
    log_axis,
    new_figure,
    save,
)

LONGEST_LABEL = 34
# As many panels fit a page; more columns are points of one curve.
FEW_COLUMNS = 6
# Columns whose deviations differ by more than this factor are standardized, or the smallest would look constant.
SAME_UNIT = 10.0
# A dashed line behind the curves.
THRESHOLD: dict[str, Any] = {"color": INK, "linewidth": 1.1, "linestyle": (0, (5, 3)), "zorder": 1.5}


def format_tolerance(value: float) -> str:
    """Return a tolerance as text: a power of ten as 10⁻³, any other in the shortest form."""
    if value > 0 and math.isfinite(value):
        exponent = round(math.log10(value))
        if math.isclose(value, 10.0**exponent, rel_tol=1e-9):
            return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{value:g}"


def plot_spectrum(
    spectra: Mapping[str, Sequence[float]],
    path: str | Path,
    *,
    tolerance: float = 1e-3,
    ranks: Mapping[str, int] | None = None,
    widths: Mapping[str, int] | None = None,
) -> Path:
    """Draw eigenvalues of latent covariances relative to the largest, by the name of their curve, to a PNG.

    A line is drawn at `tolerance`, the share of the largest at which a rank is counted that `ranks` does not give. A
    curve may end before the width of its latent in `widths`, with the directions that its items span.
    """
    if not 0 < tolerance < 1:
        raise LoraeError(f"tolerance {tolerance!r} is not between 0 and 1; use for example 1e-3")
    if not spectra:
        raise LoraeError("no spectrum to plot; give at least one list of eigenvalues")
    curves = {name: _relative(name, values) for name, values in spectra.items()}
    longest = max(curve.size for curve in curves.values())
    figure, (axes,) = new_figure(1, height=3.5 + 0.22 * len(curves))
    handles, labels = [], []
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
            axes.plot(rank, heights[rank - 1], "o", color=color, markersize=8, markeredgecolor="white", zorder=4)
        handles.append(line)
        width = curve.size if widths is None else widths.get(name, curve.size)
        ending = f" ({curve.size + 1} items show {curve.size})" if curve.size < width else ""
        labels.append(f"{_shortened(name)}: rank {rank} of {width}{ending}")
    handles.append(axes.axhline(tolerance, **THRESHOLD))
    labels.append(f"tolerance {format_tolerance(tolerance)}; a dot marks each rank")
    axes.set_yscale("log")
    axes.set_ylim(_bottom(curves.values(), tolerance), 3.0)
    margin = max(0.5, 0.015 * longest)
    axes.set_xlim(1 - margin, longest + margin)
    axes.set_xticks(_index_ticks(longest))
    axes.set_xlabel("index of the eigenvalue")
    axes.set_ylabel("eigenvalue / largest")
    legend_below(figure, handles, labels)
    return save(figure, path)


def plot_rank_error(
    points: Sequence[Mapping[str, Any]], path: str | Path, *, marked: str | None = None, bound: float | None = None
) -> Path:
    """Draw the `mse` of points against their `rank`, the one with the label `marked`, and the bound, to a PNG."""
    if not points:
        raise LoraeError("no rank to plot; expected at least one point")
    # Along the axis, whatever the order of trials; of equal ranks the larger error first, as on a path.
    rows = sorted(points, key=lambda point: (point["rank"], -point["mse"]))
    ranks, errors = [row["rank"] for row in rows], [max(row["mse"], FLOOR) for row in rows]
    figure, (axes,) = new_figure(1, height=3.5)
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
    return save(figure, path)


def plot_vector_reconstructions(
    originals: NDArray[np.floating[Any]], reconstructions: NDArray[np.floating[Any]], path: str | Path
) -> Path:
    """Draw vectors and their reconstructions, both (n, d), to a PNG: column by column if these are few, else as curves.

    Few columns have a panel each, in the unit of the column; otherwise the columns of four vectors share an axis.
    """
    if originals.ndim != 2 or originals.shape != reconstructions.shape:
        raise LoraeError(
            f"originals and reconstructions have the shapes {originals.shape} and {reconstructions.shape}, "
            "expected the same (n, d)"
        )
    if originals.shape[1] <= FEW_COLUMNS:
        return _plot_columns({"original": originals, "reconstructed": reconstructions}, "test item", path)
    count = min(len(originals), 4)
    figure, panels = new_figure(count, height=0.6 + 1.5 * count)
    columns = np.arange(1, originals.shape[1] + 1)
    (first, second), unit = _in_one_unit(originals, reconstructions)
    for axes, original, reconstruction in zip(panels, first, second, strict=False):
        axes.plot(columns, original, "o", color=MUTED, markersize=3.5, label="original")
        axes.plot(columns, reconstruction, color=COLORS[0], linewidth=1.6, label="reconstructed")
    _label_columns(figure, panels[-1], len(columns), unit)
    legend_below(figure, *panels[0].get_legend_handles_labels())
    return save(figure, path)


def plot_vector_samples(vectors: NDArray[np.floating[Any]], path: str | Path) -> Path:
    """Draw vectors (n, d) to a PNG: column by column if these are few, else as thin curves over their columns."""
    if vectors.shape[1] <= FEW_COLUMNS:
        return _plot_columns({"sample": vectors}, "sample", path)
    figure, (axes,) = new_figure(1, height=3.0)
    (shown,), unit = _in_one_unit(vectors)
    axes.plot(np.arange(1, vectors.shape[1] + 1), shown.T, color=COLORS[0], linewidth=0.8, alpha=0.35)
    _label_columns(figure, axes, vectors.shape[1], unit)
    return save(figure, path)


def _plot_columns(kinds: Mapping[str, NDArray[np.floating[Any]]], items: str, path: str | Path) -> Path:
    """Draw a panel for each column, in its own unit, against the number of the item."""
    n, d = next(iter(kinds.values())).shape
    figure, panels = new_figure(d, height=0.9 + 1.25 * d)
    looks: list[dict[str, Any]] = [{"color": MUTED, "markersize": 6, "markerfacecolor": "none"}, {"color": COLORS[0]}]
    for column, axes in enumerate(panels):
        for (kind, vectors), look in zip(kinds.items(), looks[-len(kinds) :], strict=True):
            axes.plot(np.arange(1, n + 1), vectors[:, column], "o", **{"markersize": 3, "label": kind, **look})
        axes.set_ylabel(f"column {column + 1}")
        axes.yaxis.set_major_locator(MaxNLocator(nbins=3))
    panels[-1].set_xlabel(f"{items}; each column in its own unit")
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[-1].set_xlim(0.5, n + 0.5)
    if len(kinds) > 1:
        legend_below(figure, *panels[0].get_legend_handles_labels(), columns=2)
    return save(figure, path)


def _in_one_unit(
    vectors: NDArray[np.floating[Any]], *others: NDArray[np.floating[Any]]
) -> tuple[list[NDArray[np.floating[Any]]], str]:
    """Return vectors in units that share an axis, and its label: standardized if one column would hide the others."""
    deviations = vectors.std(axis=0)
    varying = deviations[deviations > 0]
    if varying.size == 0 or varying.max() <= SAME_UNIT * varying.min():
        return [vectors, *others], "value, own units"
    scale = np.where(deviations > 0, deviations, 1.0)
    return [(values - vectors.mean(axis=0)) / scale for values in (vectors, *others)], "value, standardized"


def _label_columns(figure: Figure, axes: Axes, count: int, unit: str) -> None:
    axes.set_xlabel("column")
    axes.set_xlim(0.5, count + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.supylabel(unit, fontsize=TEXT, color=INK)


def plot_dimensions(estimates: Sequence[Mapping[str, Any]], path: str | Path) -> Path:
    """Draw estimated against known dimensions, a panel for each method, to a PNG; dots of noisy data are hollow."""
    rows = [row for row in estimates if row["value"] is not None]
    if not rows:
        raise LoraeError("no dimension to plot; expected at least one estimate")
    methods = list(dict.fromkeys(row["method"] for row in estimates))
    families = list(dict.fromkeys(row["family"] for row in rows))
    known = sorted({row["dimension"] for row in rows})
    figure, panels = new_figure(len(methods), height=1.1 + 1.6 * math.ceil(len(methods) / 2), columns=2)
    for axes, method in zip(panels, methods, strict=True):
        axes.set_title(method, loc="left", fontsize=TEXT, color=INK, parse_math=False)
        # Straight because both axes are logarithmic.
        ends = [known[0] / 1.2, known[-1] * 1.2]
        axes.plot(ends, ends, color=MUTED, linewidth=1.0)
        _estimates(axes, [row for row in rows if row["method"] == method], families)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log", base=2)
        axes.yaxis.set_major_locator(LogLocator(base=2, numticks=8))
        axes.xaxis.set_major_locator(FixedLocator(known))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_locator(NullLocator())
    for axes in panels[-2:]:
        axes.set_xlabel("known dimension")
        axes.tick_params(labelbottom=True)
    for axes in panels[::2]:
        axes.set_ylabel("estimate")
    dot: dict[str, Any] = {"marker": "o", "linestyle": ""}
    handles = [Line2D([], [], color=COLORS[number % len(COLORS)], **dot) for number in range(len(families))]
    if any(row["noise"] > 0 for row in rows):
        handles.append(Line2D([], [], color=INK, markerfacecolor="none", **dot))
        families.append("with noise")
    handles.append(Line2D([], [], color=MUTED, linewidth=1.0))
    legend_below(figure, handles, [*families, "estimate = known"], columns=3)
    return save(figure, path)


def _estimates(axes: Axes, rows: Sequence[Mapping[str, Any]], families: Sequence[str]) -> None:
    """Draw dots, hollow for data with noise, with the families side by side so that equal values do not overlap."""
    for number, family in enumerate(families):
        shift = 1.03 ** (number - (len(families) - 1) / 2)
        color = COLORS[number % len(COLORS)]
        for noisy in (False, True):
            shown = [row for row in rows if row["family"] == family and (row["noise"] > 0) == noisy]
            x, y = [row["dimension"] * shift for row in shown], [max(row["value"], 0.5) for row in shown]
            face = "none" if noisy else color
            axes.plot(x, y, "o", color=color, markerfacecolor=face, markersize=4, alpha=0.55)


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


def _bottom(curves: Iterable[NDArray[np.float64]], tolerance: float) -> float:
    lowest = min(float(np.maximum(curve, FLOOR).min()) for curve in curves)
    # Room below the lowest point, or the curve would run along the frame.
    return float(10.0 ** (math.floor(math.log10(min(lowest, tolerance))) - 0.5))


def _index_ticks(longest: int) -> list[int]:
    ticks = [int(tick) for tick in MaxNLocator(nbins=6, integer=True).tick_values(0, longest)]
    step = ticks[1] - ticks[0]
    return [1] + [tick for tick in ticks if 1 + step / 2 <= tick <= longest]


def _shortened(name: str) -> str:
    return name if len(name) <= LONGEST_LABEL else name[: LONGEST_LABEL - 1] + "…"
