"""Style of all plots: sizes, colors, empty figures, axes, legends and files. Imports no torch."""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from lorae.system.files import write_atomically

# Okabe and Ito's palette, which stays distinct with the common forms of color blindness; the line styles
# change too, each time the colors have been used up.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
LINE_STYLES = ("-", "--", ":", "-.")
INK, MUTED, GRID = "#1f2328", "#59636e", "#dde1e6"
# Narrow with large text: shown 360 pixels wide on a phone, the smallest text is still about 9 pixels high.
WIDTH, DPI, TEXT, SMALL_TEXT = 5.6, 180, 11.0, 10.0
FLOOR = 1e-12


def new_figure(panels: int, *, height: float, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """Return an empty figure, `height` inches high, and its panels, row by row; without pyplot's global state."""
    layout = ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.05)
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.subplots(-(-panels // columns), columns, squeeze=False, sharex=True, sharey=columns > 1)
    every, left_over = list(grid.flat[:panels]), grid.flat[panels:]
    for axes in left_over:
        axes.set_visible(False)
    for axes in every:
        axes.set_axisbelow(True)
        axes.grid(True, which="major", color=GRID, linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(MUTED)
        axes.tick_params(which="both", colors=MUTED, labelcolor=INK, labelsize=SMALL_TEXT)
        axes.xaxis.label.set(fontsize=TEXT, color=INK)
        axes.yaxis.label.set(fontsize=TEXT, color=INK)
    return figure, every


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure as a PNG and return the path; equal figures have equal bytes."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DPI, metadata={"Software": None})
    write_atomically(Path(path), content.getvalue())
    return Path(path)


def legend_below(figure: Figure, handles: Sequence[Any], labels: Sequence[str], columns: int = 1) -> None:
    """Add a legend below the axes; labels are not parsed as mathematics."""
    # Below the axes, a legend can cover no curve. The texts are set afterwards and not parsed, because
    # matplotlib drops labels that begin with "_" and reads "$" as mathematics; run names may hold both.
    legend = figure.legend(handles, [" "] * len(handles), loc="outside lower left", frameon=False, ncols=columns)
    for text, label in zip(legend.get_texts(), labels, strict=True):
        shown = label.encode(errors="backslashreplace").decode()  # names may have bytes that are not UTF-8
        text.set(text=shown, parse_math=False, fontsize=SMALL_TEXT, color=INK)


def log_axis(axes: Axes, lowest: float, highest: float) -> None:
    """Make the vertical axis logarithmic, with few plain numbers as labels even if it spans few decades or none."""
    if lowest == highest:  # first, because a change of scale fits the axis to the values
        axes.set_ylim(lowest / 2, highest * 2)
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
