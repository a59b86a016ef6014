"""Plot of settings by two measures, with the frontier of the best. Imports no torch."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from lorae.plotting.style import COLORS, FLOOR, GRID, MUTED, SMALL_TEXT, WIDTH, legend_below, log_axis, new_figure

Point = tuple[float, float]
# Pixels between two numbers, at `lorae.plotting.style.DPI`.
ROOM = 50


def frontier_figure(
    points: Sequence[Point],
    frontier: Sequence[Point],
    *,
    best: Point | None = None,
    labels: tuple[str, str] = ("rank", "held-out error"),
    numbers: Sequence[str] = (),
    width: float = WIDTH,
) -> Figure:
    """Draw settings as dots, small values at the lower left, and those of the frontier joined by a line.

    `numbers` are texts beside the points of the frontier, of which those that have no room are left out.
    """
    figure, (axes,) = new_figure(1, height=3.9, width=width)
    heights = [max(error, FLOOR) for _, error in points]
    handles: list[Line2D] = []
    names: list[str] = []
    look: dict[str, Any] = {"color": COLORS[5], "markersize": 6, "markeredgecolor": MUTED, "markeredgewidth": 0.6}
    handles += axes.plot([across for across, _ in points], heights, "o", **look)
    names.append("a setting")
    line = [(across, max(error, FLOOR)) for across, error in frontier]
    if line:
        handles += axes.plot(*zip(*line, strict=True), "o-", color=COLORS[0], linewidth=1.6, markersize=7)
        names.append("frontier: no other is better in both")
    if best is not None:
        at = best[0], max(best[1], FLOOR)
        handles += axes.plot(*at, "o", color=COLORS[1], markersize=10, markeredgecolor="white", zorder=4)
        names.append("best")
    log_axis(axes, min(heights), max(heights))
    axes.margins(x=0.08, y=0.14)
    if all(float(across).is_integer() for across, _ in points):
        axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, steps=[1, 2, 5, 10]))
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    figure.canvas.draw()
    taken: list[Point] = []
    for text, point in zip(numbers, line, strict=False):
        x, y = axes.transData.transform(point)
        if any(abs(x - a) < ROOM and abs(y - b) < ROOM for a, b in taken):
            continue
        taken.append((x, y))
        axes.annotate(
            text, point, (6, 6), textcoords="offset points", fontsize=SMALL_TEXT, color=MUTED, parse_math=False
        )
    axes.grid(True, which="major", color=GRID, linewidth=0.8)
    legend_below(figure, handles, names, columns=1 if width < WIDTH else 3)
    return figure
