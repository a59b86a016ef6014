"""Plots of vectors in standardized units: reconstructions, samples and traversals. Imports no torch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from lorae.errors import LoraeError
from lorae.plotting.style import COLORS, GRID, INK, MUTED, SMALL_TEXT, TEXT, WIDTH, legend_below, new_figure, shortened

Vectors = NDArray[np.floating[Any]]

# As many panels fit a page; more columns are points of one curve.
FEW_COLUMNS = 6
# As many names fit below an axis; more columns are numbered.
NAMED = 24
LONGEST_NAME = 18
# Curves have at most twice as many points, those of evenly spaced columns: finer than a page can show.
POINTS = 200
# Vectors with a panel each.
PANELS = 4
UNIT = "value, standardized"


def reconstructions_figure(
    originals: Vectors, reconstructions: Vectors, names: Sequence[str] = (), *, width: float = WIDTH
) -> Figure:
    """Draw standardized vectors and their reconstructions, both (n, d): by column if these are few, else four of them.

    names: of the columns, or none
    """
    _check_pairs(originals, reconstructions)
    if originals.shape[1] <= FEW_COLUMNS:
        return _by_column({"original": originals, "reconstructed": reconstructions}, "test item", names, width)
    return items_figure(originals[:PANELS], reconstructions[:PANELS], names, width=width)


def items_figure(
    originals: Vectors,
    reconstructions: Vectors,
    names: Sequence[str] = (),
    titles: Sequence[str] = (),
    *,
    width: float = WIDTH,
) -> Figure:
    """Draw a panel for each standardized vector with its reconstruction, both (n, d), perhaps below a title."""
    _check_pairs(originals, reconstructions)
    count, columns = originals.shape
    few = columns <= NAMED
    figure, panels = new_figure(count, height=(1.5 if few and names else 0.8) + 1.45 * count, width=width)
    index, originals, reconstructions = _thinned(columns, originals, reconstructions)
    for number, (axes, original, reconstruction) in enumerate(zip(panels, originals, reconstructions, strict=True)):
        if titles:
            axes.set_title(titles[number], loc="left", fontsize=TEXT, color=INK, parse_math=False)
        axes.plot(
            index, original, "o", color=MUTED, markersize=5 if few else 3, label="original", markerfacecolor="none"
        )
        # Named columns have no order: a line between them would show one.
        look: dict[str, Any] = {"marker": "x", "linestyle": "", "markersize": 5} if few else {"linewidth": 1.4}
        axes.plot(index, reconstruction, color=COLORS[0], label="reconstructed", **look)
    _column_axis(panels[-1], columns, names)
    figure.supylabel(UNIT, fontsize=TEXT, color=INK)
    legend_below(figure, *panels[0].get_legend_handles_labels(), columns=2)
    return figure


def samples_figure(vectors: Vectors, names: Sequence[str] = (), *, width: float = WIDTH) -> Figure:
    """Draw standardized vectors (n, d): column by column if these are few, else as thin curves over their columns."""
    if vectors.shape[1] <= FEW_COLUMNS:
        return _by_column({"sample": vectors}, "sample", names, width)
    few = vectors.shape[1] <= NAMED
    figure, (axes,) = new_figure(1, height=3.8 if few and names else 3.0, width=width)
    index, shown = _thinned(vectors.shape[1], vectors)
    axes.plot(index, shown.T, color=COLORS[0], linewidth=0.8, alpha=0.35)
    _column_axis(axes, vectors.shape[1], names)
    axes.set_ylabel(UNIT)
    return figure


def traversals_figure(
    traversals: Vectors,
    shares: Sequence[float],
    positions: Sequence[float],
    names: Sequence[str] = (),
    *,
    width: float = WIDTH,
) -> Figure:
    """Draw decoded points (axes, steps, d) along latent axes, a panel for each axis: from its one end to its other.

    shares: of the variance of the latents, by axis
    positions: of the points, in standard deviations
    """
    count, _, columns = traversals.shape
    few = columns <= NAMED
    figure, panels = new_figure(count, height=(1.5 if few and names else 0.8) + 1.5 * count, width=width)
    index, traversals = _thinned(columns, traversals)
    ends = [f"{positions[0]:+.0f} deviations".replace("-", "−"), f"{positions[-1]:+.0f} deviations"]
    for number, (axes, points, share) in enumerate(zip(panels, traversals, shares, strict=True)):
        axes.set_title(f"axis {number + 1}: {share:.1%} of the variance", loc="left", fontsize=TEXT, color=INK)
        first, last = points[0], points[-1]
        if few:
            axes.vlines(index, np.minimum(first, last), np.maximum(first, last), color=MUTED, linewidth=1.2)
        for values, label, color, marker in zip((first, last), ends, (COLORS[1], COLORS[0]), "vo", strict=True):
            look: dict[str, Any] = {"marker": marker, "linestyle": "", "markersize": 5} if few else {"linewidth": 1.4}
            axes.plot(index, values, color=color, label=label, **look)
        axes.axhline(0, color=GRID, linewidth=1.0, zorder=0.5)
    _column_axis(panels[-1], columns, names)
    figure.supylabel(UNIT, fontsize=TEXT, color=INK)
    legend_below(figure, *panels[0].get_legend_handles_labels(), columns=2)
    return figure


def _by_column(kinds: Mapping[str, Vectors], items: str, names: Sequence[str], width: float) -> Figure:
    """Draw a panel for each column against the number of the item."""
    n, d = next(iter(kinds.values())).shape
    figure, panels = new_figure(d, height=0.9 + 1.3 * d, width=width)
    looks: list[dict[str, Any]] = [{"color": MUTED, "markersize": 6, "markerfacecolor": "none"}, {"color": COLORS[0]}]
    for column, axes in enumerate(panels):
        for (kind, vectors), look in zip(kinds.items(), looks[-len(kinds) :], strict=True):
            axes.plot(np.arange(1, n + 1), vectors[:, column], "o", **{"markersize": 3, "label": kind, **look})
        title = shortened(names[column], 40) if names else f"column {column + 1}"
        axes.set_title(title, loc="left", fontsize=TEXT, color=INK, parse_math=False)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=3))
    panels[-1].set_xlabel(items)
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[-1].set_xlim(0.5, n + 0.5)
    figure.supylabel(UNIT, fontsize=TEXT, color=INK)
    if len(kinds) > 1:
        legend_below(figure, *panels[0].get_legend_handles_labels(), columns=2)
    return figure


def _thinned(columns: int, *values: NDArray[Any]) -> list[NDArray[Any]]:
    """Return the numbers of evenly spaced columns, from 1 on, and the values (..., columns) of these columns."""
    chosen = slice(None, None, max(1, columns // POINTS))
    return [np.arange(1, columns + 1)[chosen], *(array[..., chosen] for array in values)]


def _column_axis(axes: Axes, count: int, names: Sequence[str]) -> None:
    """Label the horizontal axis by the names of few columns, else by their numbers."""
    axes.set_xlim(0.5, count + 0.5)
    if names and count <= NAMED:
        axes.set_xticks(range(1, count + 1), [shortened(name, LONGEST_NAME) for name in names], parse_math=False)
        axes.tick_params(axis="x", labelrotation=90, labelsize=SMALL_TEXT)
    else:
        axes.set_xlabel("column")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _check_pairs(originals: Vectors, reconstructions: Vectors) -> None:
    if originals.ndim != 2 or originals.shape != reconstructions.shape:
        raise LoraeError(
            f"originals and reconstructions have the shapes {originals.shape} and {reconstructions.shape}, "
            "expected the same (n, d)"
        )
