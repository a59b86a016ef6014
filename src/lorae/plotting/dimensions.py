"""Plot of the errors of estimated dimensions. Imports no torch."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from lorae.errors import LoraeError
from lorae.plotting.style import COLORS, INK, MUTED, TEXT, legend_below, new_figure, save

# Largest shift of a dot to either side, as a factor, so that equal values do not hide each other.
JITTER = 1.12
TICKS = (-64, -16, -4, -1, 0, 1, 4, 16, 64)


def plot_dimensions(estimates: Sequence[Mapping[str, Any]], path: str | Path) -> Path:
    """Draw errors of estimates, estimate minus known dimension, a panel for each method, to a PNG.

    Dots are shifted at random along the axis of known dimensions, those of noisy data are hollow. The vertical axis is
    linear between -1 and 1, and logarithmic beyond.
    """
    rows = [row for row in estimates if row["value"] is not None]
    if not rows:
        raise LoraeError("no dimension to plot; expected at least one estimate")
    methods = list(dict.fromkeys(row["method"] for row in estimates))
    families = list(dict.fromkeys(row["family"] for row in rows))
    known = sorted({row["dimension"] for row in rows})
    largest = max(abs(row["value"] - row["dimension"]) for row in rows)
    figure, panels = new_figure(len(methods), height=1.1 + 1.7 * math.ceil(len(methods) / 2), columns=2)
    for axes, method in zip(panels, methods, strict=True):
        axes.set_title(method, loc="left", fontsize=TEXT, color=INK, parse_math=False)
        axes.axhline(0, color=MUTED, linewidth=1.0)
        _errors(axes, [row for row in rows if row["method"] == method], families)
        axes.set_xscale("log", base=2)
        axes.set_xlim(known[0] / 1.3, known[-1] * 1.3)
        axes.set_yscale("symlog", linthresh=1)
        axes.set_ylim(-1.5 * max(largest, 1), 1.5 * max(largest, 1))
        axes.xaxis.set_major_locator(FixedLocator(known))
        axes.yaxis.set_major_locator(FixedLocator(TICKS))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_major_formatter(
            FuncFormatter(lambda value, _: f"{value:+g}".replace("+0", "0").replace("-", "−"))
        )
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_locator(NullLocator())
    for axes in panels[-2:]:
        axes.set_xlabel("known dimension")
        axes.tick_params(labelbottom=True)
    for axes in panels[::2]:
        axes.set_ylabel("estimate − known")
    dot: dict[str, Any] = {"marker": "o", "linestyle": ""}
    handles = [Line2D([], [], color=COLORS[number % len(COLORS)], **dot) for number in range(len(families))]
    if any(row["noise"] > 0 for row in rows):
        handles.append(Line2D([], [], color=INK, markerfacecolor="none", **dot))
        families.append("with noise")
    legend_below(figure, handles, families, columns=3)
    return save(figure, path)


def _signed(value: float, _: int) -> str:
    """Return an error with its sign, as the label of a tick."""
    return f"{value:+g}".replace("-", "−") if value else "0"


def _errors(axes: Axes, rows: Sequence[Mapping[str, Any]], families: Sequence[str]) -> None:
    """Draw dots with random shifts, which are those of every panel and every drawing."""
    shifts = JITTER ** np.random.default_rng(0).uniform(-1, 1, len(rows))
    for number, family in enumerate(families):
        color = COLORS[number % len(COLORS)]
        for noisy in (False, True):
            shown = [
                (row["dimension"] * shift, row["value"] - row["dimension"])
                for row, shift in zip(rows, shifts, strict=True)
                if row["family"] == family and (row["noise"] > 0) == noisy
            ]
            x, y = [point[0] for point in shown], [point[1] for point in shown]
            face = "none" if noisy else color
            axes.plot(x, y, "o", color=color, markerfacecolor=face, markersize=4, alpha=0.55)
