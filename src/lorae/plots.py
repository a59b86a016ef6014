"""The plots of a report: eigenvalue spectra, training curves and grids of reconstructions.

Figures are built with matplotlib's object interface (no pyplot), so that drawing one changes no global
state of the caller's. Nothing here imports torch.
"""

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from lorae.errors import LoraeError
from lorae.files import write_atomically

# Okabe and Ito's palette, which stays distinct with the common forms of colour blindness; the line styles
# change too, each time the colours have been used up.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
LINE_STYLES = ("-", "--", ":", "-.")
INK, MUTED, GRID = "#1f2328", "#59636e", "#dde1e6"
# Narrow with large text: shown 360 pixels wide on a phone, the smallest text is still about 9 pixels high.
WIDTH, DPI, TEXT, SMALL_TEXT = 5.6, 180, 11.0, 10.0
FLOOR = 1e-12
LONGEST_LABEL = 34


def format_tolerance(value: float) -> str:
    """The tolerance as text: a power of ten as 10⁻³, anything else in the shortest usual form."""
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
) -> Path:
    """Draw the eigenvalues of latent covariances, each divided by its largest, on a log axis, to a PNG.

    `spectra` maps a name to its eigenvalues in any order; `ranks` maps a name to its rank at `tolerance` and
    is counted from the eigenvalues where it is absent. Values below 1e-12 are drawn at 1e-12. Returns the
    path. Raises LoraeError for no spectrum, an empty one, or a tolerance that is not in (0, 1).
    """
    if not 0 < tolerance < 1:
        raise LoraeError(f"tolerance {tolerance!r} is not between 0 and 1; use for example 1e-3")
    if not spectra:
        raise LoraeError("no spectrum to plot; give at least one list of eigenvalues")
    curves = {name: _relative(name, values) for name, values in spectra.items()}
    longest = max(curve.size for curve in curves.values())
    figure, (axes,) = _figure(1, height=3.5 + 0.22 * len(curves))
    handles, labels = [], []
    for number, (name, curve) in enumerate(curves.items()):
        index = np.arange(1, curve.size + 1)
        heights = np.maximum(curve, FLOOR)
        rank = int((curve > tolerance).sum()) if ranks is None or name not in ranks else int(ranks[name])
        colour, style = COLOURS[number % len(COLOURS)], LINE_STYLES[number // len(COLOURS) % len(LINE_STYLES)]
        # A single eigenvalue is a line of no length: only a marker shows it.
        (line,) = axes.plot(
            index, heights, color=colour, linestyle=style, linewidth=1.8, marker="." if curve.size < 3 else ""
        )
        if 1 <= rank <= curve.size:
            axes.plot(rank, heights[rank - 1], "o", color=colour, markersize=8, markeredgecolor="white", zorder=4)
        handles.append(line)
        labels.append(f"{_shortened(name)}: rank {rank} of {curve.size}")
    handles.append(axes.axhline(tolerance, color=INK, linewidth=1.1, linestyle=(0, (5, 3)), zorder=1.5))
    labels.append(f"tolerance {format_tolerance(tolerance)}; a dot marks each rank")
    axes.set_yscale("log")
    axes.set_ylim(_bottom(curves.values(), tolerance), 3.0)
    margin = max(0.5, 0.015 * longest)
    axes.set_xlim(1 - margin, longest + margin)
    axes.set_xticks(_index_ticks(longest))
    axes.set_xlabel("index of the eigenvalue")
    axes.set_ylabel("eigenvalue / largest")
    _legend_below(figure, handles, labels)
    return _save(figure, path)


def plot_curves(records: Sequence[Mapping[str, Any]], path: str | Path) -> Path:
    """Draw the terms of the loss and the rank against epochs, one small panel each, to a PNG.

    `records` are the lines of a run's stats.jsonl. Before the first epoch has ended, the horizontal axis
    counts steps. Returns the path. Raises LoraeError where no record can be drawn.
    """
    steps = [record for record in records if record.get("event") == "step"]
    epochs = [record for record in records if record.get("event") == "epoch"]
    terms = list(dict.fromkeys(name for record in steps for name in record.get("terms") or {}))
    penalties = [name for name in terms if name != "reconstruction"]
    if not steps and not epochs:
        raise LoraeError("no training records to plot; expected lines of stats.jsonl with an event step or epoch")
    per_epoch = _steps_per_epoch(epochs)

    def series(rows: list[Mapping[str, Any]], *keys: str) -> tuple[list[float], list[float]]:
        found = [(row["step"] / per_epoch, _number(row, keys)) for row in rows]
        kept = [(x, y) for x, y in found if y is not None]
        return [x for x, _ in kept], [y for _, y in kept]

    figure, panels = _figure(2 + len(penalties), height=0.5 + 1.75 * (2 + len(penalties)))
    _panel(
        panels[0],
        "reconstruction loss",
        ("training batch", series(steps, "terms", "reconstruction")),
        ("test MSE", series(epochs, "test_mse")),
        log=True,
    )
    for axes, name in zip(panels[1:-1], penalties, strict=True):
        weight = _number(steps[-1], ("weights", name))
        title = f"{name} penalty, unweighted" + ("" if weight is None else f" (its weight: {weight:g})")
        _panel(axes, title, ("", series(steps, "terms", name)))
    rank_axes = panels[-1]
    ranks = (("training", series(steps, "rank")), ("test set", series(epochs, "rank")))
    _panel(rank_axes, "rank", *ranks, log=False)
    if any(heights for _, (_, heights) in ranks):
        rank_axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
        rank_axes.set_ylim(bottom=0)
    furthest = max(record["step"] for record in records) / per_epoch
    for axes in panels:
        axes.set_xlim(0, furthest * 1.015 if furthest > 0 else 1)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=furthest >= 3, steps=[1, 2, 5, 10]))
    for axes in panels[:-1]:
        axes.tick_params(labelbottom=False)
    rank_axes.set_xlabel("epoch" if epochs else "step")
    return _save(figure, path)


def plot_vector_reconstructions(
    originals: NDArray[np.floating[Any]], reconstructions: NDArray[np.floating[Any]], path: str | Path
) -> Path:
    """Write a PNG with the columns of up to four vectors as curves, originals dots and reconstructions lines.

    Both arrays are float of shape (n, d). Returns the path. Raises LoraeError for arrays of another shape.
    """
    if originals.ndim != 2 or originals.shape != reconstructions.shape:
        raise LoraeError(
            f"originals and reconstructions have the shapes {originals.shape} and {reconstructions.shape}, "
            "expected the same (n, d)"
        )
    count = min(len(originals), 4)
    figure, panels = _figure(count, height=0.6 + 1.5 * count)
    columns = np.arange(1, originals.shape[1] + 1)
    for axes, original, reconstruction in zip(panels, originals, reconstructions, strict=False):
        axes.plot(columns, original, "o", color=MUTED, markersize=3.5, label="original")
        axes.plot(columns, reconstruction, color=COLOURS[0], linewidth=1.6, label="reconstructed")
    panels[-1].set_xlabel("column")
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend_below(figure, *panels[0].get_legend_handles_labels())
    return _save(figure, path)


def plot_vector_samples(vectors: NDArray[np.floating[Any]], path: str | Path) -> Path:
    """Write a PNG with the columns of vectors (n, d) as thin curves over each other. Returns the path."""
    figure, (axes,) = _figure(1, height=3.0)
    axes.plot(np.arange(1, vectors.shape[1] + 1), vectors.T, color=COLOURS[0], linewidth=0.8, alpha=0.35)
    axes.set_xlabel("column")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return _save(figure, path)


def _figure(panels: int, *, height: float) -> tuple[Figure, list[Axes]]:
    layout = ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.05)
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.subplots(panels, 1, squeeze=False, sharex=True)
    every = [grid[row, 0] for row in range(panels)]
    for axes in every:
        axes.set_axisbelow(True)
        axes.grid(True, which="major", color=GRID, linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(MUTED)
        axes.tick_params(which="both", colors=MUTED, labelcolor=INK, labelsize=SMALL_TEXT)
        axes.xaxis.label.set(fontsize=TEXT, color=INK)
        axes.yaxis.label.set(fontsize=TEXT, color=INK)
    return figure, every


def _save(figure: Figure, path: str | Path) -> Path:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DPI)
    write_atomically(Path(path), content.getvalue())
    return Path(path)


def _relative(name: str, values: Sequence[float]) -> NDArray[np.float64]:
    eigenvalues = np.sort(np.asarray(values, dtype=np.float64).ravel())[::-1]
    if eigenvalues.size == 0:
        raise LoraeError(f"the spectrum {name!r} is empty; expected at least one eigenvalue")
    # sort puts NaN last, so reversed they come first; a diverged run must still give a page.
    finite = np.nan_to_num(eigenvalues, nan=0.0, posinf=0.0, neginf=0.0)
    finite = np.sort(finite)[::-1]
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


def _legend_below(figure: Figure, handles: Sequence[Any], labels: Sequence[str]) -> None:
    # Below the axes, a legend can cover no curve. The texts are set afterwards and not parsed, because
    # matplotlib drops labels that begin with "_" and reads "$" as mathematics; run names may hold both.
    legend = figure.legend(handles, [" "] * len(handles), loc="outside lower left", frameon=False)
    for text, label in zip(legend.get_texts(), labels, strict=True):
        text.set(text=label, parse_math=False, fontsize=SMALL_TEXT, color=INK)


Series = tuple[list[float], list[float]]


def _panel(
    axes: Axes,
    title: str,
    line: tuple[str, Series],
    points: tuple[str, Series] | None = None,
    *,
    log: bool | None = None,
) -> None:
    """Draw a line and, where there are any, dots; the title is above at the left, the legend at the right."""
    axes.set_title(title, loc="left", fontsize=TEXT, color=INK, parse_math=False)
    handles, labels = [], []
    label, (x, y) = line
    heights = list(y)
    if x:
        single = "." if len(x) == 1 else ""
        handles += axes.plot(x, y, color=COLOURS[0], linewidth=1.4, marker=single)
        labels.append(label)
    if points is not None and points[1][0]:
        label, (x, y) = points
        heights += y
        handles += axes.plot(x, y, "o", color=COLOURS[1], markersize=5, markeredgecolor="white")
        labels.append(label)
    if not heights:
        axes.text(0.5, 0.5, "not recorded", transform=axes.transAxes, ha="center", va="center", color=MUTED)
        axes.set_yticks([])
        return
    # Left open, it is decided here: a penalty may fall by decades. Zero has no place on a log axis.
    wide = max(heights) > 50 * min(heights) if log is None else log
    if wide and min(heights) > 0:
        _log_axis(axes, min(heights), max(heights))
    if any(labels):
        axes.legend(
            handles,
            labels,
            loc="lower right",
            bbox_to_anchor=(1.0, 0.99),
            ncols=2,
            frameon=False,
            fontsize=SMALL_TEXT,
            labelcolor=INK,
            handlelength=1.2,
            columnspacing=1.0,
            borderaxespad=0.0,
        )


def _log_axis(axes: Axes, lowest: float, highest: float) -> None:
    """A log axis labelled with plain numbers, which matplotlib would crowd where it spans few decades."""
    axes.set_yscale("log")
    decades = math.log10(highest / lowest)
    if decades < 0.8:
        ticks = MaxNLocator(nbins=4).tick_values(lowest, highest)
        inside = [float(tick) for tick in ticks if lowest <= tick <= highest]
        axes.yaxis.set_major_locator(FixedLocator(inside or [lowest]))
    else:
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 2.5 else (1.0,), numticks=6))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _steps_per_epoch(epochs: Sequence[Mapping[str, Any]]) -> float:
    for record in reversed(epochs):
        if record.get("epoch") and record.get("step"):
            return float(record["step"] / record["epoch"])
    return 1.0


def _number(record: Mapping[str, Any], keys: Sequence[str]) -> float | None:
    value: Any = record
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    usable = isinstance(value, (int, float)) and math.isfinite(value)
    return float(value) if usable else None
