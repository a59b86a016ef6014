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
# Widths of the two versions of a figure on a page, which is 672 pixels wide, and on a phone of 390 pixels 358: the
# smallest text is then 12 pixels high in both.
WIDE, NARROW = 7.6, 4.2
FLOOR = 1e-12


def new_figure(
    panels: int, *, height: float, columns: int = 1, width: float = WIDTH, sharey: bool | None = None
) -> tuple[Figure, list[Axes]]:
    """Return an empty figure, `height` inches high, and its panels, row by row; without pyplot's global state."""
    layout = ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.05)
    figure = Figure(figsize=(width, height), dpi=DPI, layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    shared = columns > 1 if sharey is None else sharey
    grid = figure.subplots(-(-panels // columns), columns, squeeze=False, sharex=True, sharey=shared)
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


def legend_below(
    figure: Figure, handles: Sequence[Any], labels: Sequence[str], columns: int = 1, **options: Any
) -> None:
    """Add a legend below the axes, with options of matplotlib; labels are not parsed as mathematics."""
    # Below the axes, a legend can cover no curve. The texts are set afterwards and not parsed, because
    # matplotlib drops labels that begin with "_" and reads "$" as mathematics; run names may hold both.
    legend = figure.legend(
        handles, [" "] * len(handles), loc="outside lower left", frameon=False, ncols=columns, **options
    )
    for text, label in zip(legend.get_texts(), labels, strict=True):
        text.set(text=printable(label), parse_math=False, fontsize=SMALL_TEXT, color=INK)


def printable(name: str) -> str:
    r"""Return a name of a user without characters that no figure can show, which are written as Python does.

    >>> printable("a\tb")
    'a\\tb'
    """
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in name)


def shortened(name: str, length: int) -> str:
    """Return a name of a user for a figure, printable and at most `length` characters long."""
    shown = printable(name)
    return shown if len(shown) <= length else shown[: length - 1] + "…"


def format_tolerance(value: float) -> str:
    """Return a tolerance as text: a power of ten as 10⁻³, any other in the shortest form."""
    if value > 0 and math.isfinite(value):
        exponent = round(math.log10(value))
        if math.isclose(value, 10.0**exponent, rel_tol=1e-9):
            return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{value:g}"


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
