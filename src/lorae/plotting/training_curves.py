"""Plot of the losses and the rank during a training. Imports no torch."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lorae.errors import LoraeError
from lorae.plotting.style import COLORS, INK, MUTED, SMALL_TEXT, TEXT, WIDTH, log_axis, new_figure, save, shortened

# A curve has at most twice as many points: finer than a page can show.
POINTS = 300

Series = tuple[list[float], list[float]]


def plot_curves(records: Sequence[Mapping[str, Any]], path: str | Path, **options: Any) -> Path:
    """Draw a `curves_figure` to a PNG."""
    return save(curves_figure(records, **options), path)


def curves_figure(records: Sequence[Mapping[str, Any]], *, of_matrix: bool = False, width: float = WIDTH) -> Figure:
    """Draw the loss terms and the rank of `stats.jsonl` by epoch, or by step before one has ended.

    The rank of a step is that of M, if `of_matrix`, else that of recent latents; the rank of an epoch is of test items.
    """
    steps = [record for record in records if record.get("event") == "step"]
    epochs = [record for record in records if record.get("event") == "epoch"]
    terms = list(dict.fromkeys(name for record in steps for name in record.get("terms") or {}))
    penalties = [name for name in terms if name != "reconstruction"]
    if not steps and not epochs:
        raise LoraeError("no training records to plot; expected lines of stats.jsonl with an event step or epoch")
    per_epoch = _steps_per_epoch(epochs)

    def series(rows: list[Mapping[str, Any]], *keys: str) -> Series:
        kept = [(row["step"] / per_epoch, y) for row in rows if (y := _number(row, keys)) is not None]
        kept = kept[:: max(1, len(kept) // POINTS)]
        return [x for x, _ in kept], [y for _, y in kept]

    figure, panels = new_figure(2 + len(penalties), height=0.5 + 1.75 * (2 + len(penalties)), width=width)
    narrow = width < WIDTH
    errors = ("training batch", series(steps, "terms", "reconstruction")), ("test MSE", series(epochs, "test_mse"))
    _panel(panels[0], "reconstruction loss", *errors, log=True, narrow=narrow)
    for axes, name in zip(panels[1:-1], penalties, strict=True):
        weight = _number(steps[-1], ("weights", name))
        title = f"{name} penalty, unweighted" + ("" if weight is None else f" (its weight: {weight:g})")
        if narrow:
            title = f"{name}, unweighted" + ("" if weight is None else f" (weight {weight:g})")
        _panel(axes, title, ("", series(steps, "terms", name)), narrow=narrow)
    rank_axes = panels[-1]
    line = "M" if of_matrix else "training batches"
    ranks = ((line, series(steps, "rank")), ("latents, test set", series(epochs, "rank")))
    _panel(rank_axes, "rank", *ranks, log=False, narrow=narrow)
    heights = [height for _, (_, found) in ranks for height in found]
    if heights:
        rank_axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
        rank_axes.set_ylim(0, 1.08 * max(1, *heights))
    furthest = max(record["step"] for record in records) / per_epoch
    for axes in panels:
        axes.set_xlim(0, furthest * 1.015 if furthest > 0 else 1)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=furthest >= 3, steps=[1, 2, 5, 10]))
    for axes in panels[:-1]:
        axes.tick_params(labelbottom=False)
    rank_axes.set_xlabel("epoch" if epochs else "step")
    return figure


def _panel(
    axes: Axes,
    title: str,
    line: tuple[str, Series],
    points: tuple[str, Series] | None = None,
    *,
    log: bool | None = None,
    narrow: bool = False,
) -> None:
    """Draw a line and dots, with the title above at the left and the legend at the right."""
    # On a narrow figure, title and legend do not fit beside each other.
    above = SMALL_TEXT * 1.8 if narrow and points is not None else 6.0
    name = shortened(title, 44 if narrow else 80)
    axes.set_title(name, loc="left", fontsize=TEXT, color=INK, parse_math=False, pad=above)
    handles, labels = [], []
    label, (x, y) = line
    heights = list(y)
    if x:
        single = "." if len(x) == 1 else ""
        handles += axes.plot(x, y, color=COLORS[0], linewidth=1.4, marker=single)
        labels.append(label)
    if points is not None and points[1][0]:
        label, (x, y) = points
        heights += y
        handles += axes.plot(x, y, "o", color=COLORS[1], markersize=5, markeredgecolor="white")
        labels.append(label)
    if not heights:
        axes.text(0.5, 0.5, "not recorded", transform=axes.transAxes, ha="center", va="center", color=MUTED)
        axes.set_yticks([])
        return
    # Left open, it is decided here: a penalty may fall by decades. Zero has no place on a log axis.
    wide = max(heights) > 50 * min(heights) if log is None else log
    if wide and min(heights) > 0:
        log_axis(axes, min(heights), max(heights))
    if any(labels):
        place: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1.0, 0.99), "borderaxespad": 0.0}
        look: dict[str, Any] = {"frameon": False, "fontsize": SMALL_TEXT, "labelcolor": INK}
        axes.legend(handles, labels, ncols=2, handlelength=1.2, columnspacing=1.0, **place, **look)


def _steps_per_epoch(epochs: Sequence[Mapping[str, Any]]) -> float:
    whole = (record for record in reversed(epochs) if record.get("epoch") and record.get("step"))
    return next((record["step"] / record["epoch"] for record in whole), 1.0)


def _number(record: Mapping[str, Any], keys: Sequence[str]) -> float | None:
    value: Any = record
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    usable = isinstance(value, (int, float)) and math.isfinite(value)
    return float(value) if usable else None
