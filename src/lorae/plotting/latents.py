"""Plots of codes by class and of the errors of single items. Imports no torch."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from lorae.plotting.style import COLORS, INK, MUTED, WIDTH, legend_below, new_figure, shortened

# Classes with a color and a marker of their own; of more, those with the most items have them.
CLASSES = 12
MARKERS = ("o", "^")
BINS = 40
# Fewer points have larger markers.
FEW = 200


def codes_figure(codes: NDArray[Any], labels: NDArray[Any] | None, *, width: float = WIDTH) -> Figure:
    """Draw codes (n, 2) of items, or (n, 1) along a line, by class if labels (n,) are given."""
    figure, (axes,) = new_figure(1, height=4.4, width=width)
    x, y = codes[:, 0], codes[:, 1] if codes.shape[1] > 1 else np.zeros(len(codes))
    size = 5.0 if len(codes) < FEW else 3.5
    look: dict[str, Any] = {"linestyle": "", "markersize": size, "alpha": 0.8, "markeredgewidth": 0}
    if labels is None:
        axes.plot(x, y, "o", color=COLORS[0], **look)
    else:
        found, counts = np.unique(labels, return_counts=True)
        named = np.sort(found[np.argsort(-counts, kind="stable")][:CLASSES])
        rest = ~np.isin(labels, named)
        if rest.any():
            axes.plot(x[rest], y[rest], "o", color=MUTED, label="other", **look)
        for number, label in enumerate(named):
            marker, of_class = MARKERS[number // len(COLORS)], labels == label
            color = COLORS[number % len(COLORS)]
            axes.plot(x[of_class], y[of_class], marker, color=color, label=str(label), **look)
        handles, names = axes.get_legend_handles_labels()
        spacing = {"markerscale": 1.8, "columnspacing": 1.0, "handletextpad": 0.1}
        legend_below(figure, handles, [shortened(name, 8) for name in names], columns=6, **spacing)
    axes.set_xlabel("first axis")
    axes.set_ylabel("second axis" if codes.shape[1] > 1 else "")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=5))
    axes.grid(False)
    return figure


def errors_figure(errors: NDArray[Any], *, width: float = WIDTH) -> Figure:
    """Draw a histogram of the errors (n,) of items, with their mean, on a logarithmic axis if they span decades."""
    errors = np.asarray(errors, dtype=np.float64)
    figure, (axes,) = new_figure(1, height=3.0, width=width)
    lowest, highest = float(errors.min()), float(errors.max())
    logarithmic = lowest > 0 and highest > 20 * lowest
    if logarithmic:
        edges = np.geomspace(lowest, highest, min(BINS, len(errors)) + 1)
        edges[[0, -1]] = lowest, highest  # rounding must not lose the ends
    elif highest > lowest:
        edges = np.linspace(lowest, highest, min(BINS, len(errors)) + 1)
    else:
        edges = np.array([0.5, 1.5]) * (lowest or 1.0)
        edges -= 0.0 if lowest else 1.0
    axes.stairs(np.histogram(errors, edges)[0], edges, fill=True, color=COLORS[0])
    mean = axes.axvline(errors.mean(), color=INK, linewidth=1.2, linestyle=(0, (5, 3)))
    if logarithmic:
        axes.set_xscale("log")
        if highest < 1000 * lowest:
            ticks = [factor * 10.0**power for power in range(-12, 13) for factor in (1, 2, 5)]
            axes.xaxis.set_major_locator(FixedLocator([tick for tick in ticks if lowest <= tick <= highest]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("mean squared error of an item")
    axes.set_ylabel("items")
    legend_below(figure, [mean], [f"mean {errors.mean():.4g}"])
    return figure
