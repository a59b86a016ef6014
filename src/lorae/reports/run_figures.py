"""Figures of a run's report, drawn from its records and kept arrays alone. Imports no torch."""

import contextlib
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lorae.plotting.latents import CLASSES, codes_figure, errors_figure
from lorae.plotting.plots import rank_error_figure, spectrum_figure
from lorae.plotting.style import save
from lorae.plotting.training_curves import curves_figure
from lorae.plotting.vectors import items_figure, reconstructions_figure, samples_figure, traversals_figure
from lorae.reports.formatting import count, number
from lorae.reports.page_figures import PageFigure, grid_rows, pair_rows, path_rows, picture_source, plotted
from lorae.reports.run_view import RunView
from lorae.runs.figure_data import FigureData, figure_items_path, read_figure_items
from lorae.system.faults import tolerated
from lorae.system.files import CannotWriteError, read_toml

if TYPE_CHECKING:  # lorae.plotting imports matplotlib first, in any environment
    from matplotlib.figure import Figure as Drawing

# Titles and captions of the figures that commands draw into a run folder; any other figure has its name as title.
CAPTIONS = read_toml("lorae.reports", "captions.toml")
# Figures that the report draws itself.
OWN = ("spectrum", "ranks", "curves", "reconstructions")
# Figures of other names that a page shows.
MOST = 4
# Vectors of one figure of the worst and the best.
EXTREME_VECTORS = 2


@dataclass
class RunFigures:
    """The figures of a run by their place in the report; None and empty ones are not there."""

    spectrum: PageFigure | None = None
    ranks: PageFigure | None = None
    reconstructions: PageFigure | None = None
    errors: tuple[PageFigure, ...] = ()
    traversals: PageFigure | None = None
    codes: PageFigure | None = None
    more: tuple[PageFigure, ...] = ()
    left_out: int = 0
    elsewhere: bool = False
    curves: PageFigure | None = None

    @property
    def comparable(self) -> list[PageFigure]:
        """Figures that several runs can be compared by, side by side."""
        found = (self.reconstructions, self.traversals, self.codes, *self.more)
        return [figure for figure in found if figure is not None]

    def leave_out(self, titles: Container[str]) -> None:
        """Take out the figures with some titles, which the page shows elsewhere."""
        for name in ("reconstructions", "traversals", "codes"):
            figure = getattr(self, name)
            if figure is not None and figure.title in titles:
                setattr(self, name, None)
                self.elsewhere = True
        self.more = tuple(figure for figure in self.more if figure.title not in titles)


def run_figures(run: RunView, key: str) -> RunFigures:
    """Draw the figures of a run; `key` is that of no other run of the page. One that cannot be drawn costs a warning.

    Spectrum, ranks and curves are written into the run folder too, where that can be written.
    """
    figures = RunFigures(more=tuple(_more(run, key)))
    figures.left_out = len(_other_names(run)) - len(_shown_names(run))
    with _drawing("spectrum"):
        figures.spectrum = _spectrum(run, key)
    with _drawing("ranks"):
        figures.ranks = _ranks(run, key)
    with _drawing("curves"):
        figures.curves = _curves(run, key)
    with _drawing("those of single items"):
        data = run.figure_data.read() or FigureData()
        with _drawing("reconstructions"):
            figures.reconstructions = _reconstructions(run, data, key)
        with _drawing("errors"):
            figures.errors = tuple(_errors(run, data, key))
        with _drawing("traversals"):
            figures.traversals = _traversals(run, data, key)
        with _drawing("codes"):
            figures.codes = _codes(run, data, key)
    return figures


@contextlib.contextmanager
def _drawing(name: str) -> Iterator[None]:
    with tolerated(f"figures: not drawn: {name}"):
        yield


def _in_folder_too(run: RunView, name: str, draw: "Callable[..., Drawing]") -> None:
    """Write a figure into the run folder, for use elsewhere; the page needs no file."""
    with contextlib.suppress(CannotWriteError):
        save(draw(), run.folder / "figures" / f"{name}.png")


def _spectrum(run: RunView, key: str) -> PageFigure | None:
    if not run.spectrum.get("eigenvalues"):
        return None

    def draw(**options: Any) -> "Drawing":
        return spectrum_figure(
            {run.name: run.curve},
            tolerance=run.tolerance,
            ranks={run.name: run.spectrum["rank"]},
            widths={run.name: len(run.spectrum["eigenvalues"])},
            **options,
        )

    _in_folder_too(run, "spectrum", draw)
    width = len(run.spectrum["eigenvalues"])
    rank = f"rank {count(run.spectrum['rank'])} of {width}"
    unused = " The shaded directions hold next to nothing." if run.spectrum["rank"] < width else ""
    return plotted(
        f"{key}-spectrum",
        "Latent spectrum",
        f"Spectrum of the latents of {run.name}: {rank}",
        "Variance of the latent codes along their principal directions, largest first, relative to the largest."
        + unused,
        lambda width: draw(width=width),
    )


def _ranks(run: RunView, key: str) -> PageFigure | None:
    choice = run.choice
    if choice is None:
        return None

    def draw(**options: Any) -> "Drawing":
        return rank_error_figure(choice.points, marked=choice.chosen, bound=choice.bound, **options)

    _in_folder_too(run, "ranks", draw)
    ending = ", labeled by its penalty." if choice.is_path else " that was tried."
    return plotted(
        f"{key}-ranks",
        "How the rank was chosen",
        f"Errors on items set aside against ranks of {run.name}",
        f"Mean squared error on training items set aside, at each rank{ending}",
        lambda width: draw(width=width),
    )


def _curves(run: RunView, key: str) -> PageFigure | None:
    if not run.stats:
        return None
    exact = run.settings.get("matrix_update") == "prox"

    def draw(**options: Any) -> "Drawing":
        return curves_figure(run.stats, of_matrix=exact, **options)

    _in_folder_too(run, "curves", draw)
    return plotted(
        f"{key}-curves",
        "Training",
        f"Loss terms and rank of {run.name} during training",
        "The terms of the loss, each before its weight is applied, and the rank.",
        lambda width: draw(width=width),
    )


def _reconstructions(run: RunView, data: FigureData, key: str) -> PageFigure | None:
    title, alt = "Reconstructions", f"Test items of {run.name} beside their reconstructions"
    if data.originals is None or data.reconstructions is None:
        path = run.folder / "figures" / "reconstructions.png"
        if not path.is_file():
            return None
        caption = "Originals; below each, what the autoencoder makes of it."
        return PageFigure("reconstructions", title, alt, caption, picture=picture_source(path))
    if run.items == "images":
        caption = "The first test images; below each line of them, what the autoencoder makes of it."
        return PageFigure("reconstructions", title, alt, caption, rows=pair_rows(data.originals, data.reconstructions))
    first, second = _in_rows(data.originals), _in_rows(data.reconstructions)
    return plotted(
        f"{key}-reconstructions",
        title,
        alt,
        f"The first test {run.items}, each column in units of its mean and standard deviation over the training data.",
        lambda width: reconstructions_figure(first, second, run.columns, width=width),
    )


def _errors(run: RunView, data: FigureData, key: str) -> Iterator[PageFigure]:
    """Yield the histogram of errors, and the items with the largest and the smallest errors."""
    errors = data.errors
    if errors is None or not len(errors):
        return
    middle, last = (number(float(np.quantile(errors, share))) for share in (0.5, 0.99))
    yield plotted(
        f"{key}-errors",
        "Errors of single items",
        f"Histogram of the errors of test items of {run.name}: median {middle}, 99% below {last}",
        f"Errors of {count(len(errors))} test {run.items}: half are below {middle}, 99% below {last}.",
        lambda width: errors_figure(errors, width=width),
    )
    if run.items != "images":
        yield _extreme_vectors(run, data, key)
        return
    kinds = (("worst", "largest", data.worst, data.worst_errors), ("best", "smallest", data.best, data.best_errors))
    for name, words, pairs, their in kinds:
        if pairs is not None and their is not None and len(pairs):
            title = f"{name.capitalize()} reconstructed"
            ends = f"{number(float(their[0]))} to {number(float(their[-1]))}"
            caption = f"The test images with the {words} errors, {ends}, above their reconstructions."
            rows = pair_rows(pairs[:, 0], pairs[:, 1])
            yield PageFigure(f"{name}", title, f"{title} test images of {run.name}", caption, rows=rows)


def _extreme_vectors(run: RunView, data: FigureData, key: str) -> PageFigure:
    parts = [("worst", data.worst, data.worst_errors), ("best", data.best, data.best_errors)]
    pairs: list[NDArray[Any]] = []
    titles: list[str] = []
    for name, found, errors in parts:
        for pair, error in zip([] if found is None else found, [] if errors is None else errors, strict=False):
            if sum(title.startswith(name) for title in titles) < EXTREME_VECTORS:
                pairs.append(pair)
                titles.append(f"{name}: error {number(float(error))}")
    both = np.stack(pairs)
    return plotted(
        f"{key}-extremes",
        "Worst and best reconstructed",
        f"Test {run.items} of {run.name} with the largest and the smallest errors, and their reconstructions",
        f"The test {run.items} with the largest and with the smallest errors, in standardized units.",
        lambda width: items_figure(_in_rows(both[:, 0]), _in_rows(both[:, 1]), run.columns, titles, width=width),
    )


def _traversals(run: RunView, data: FigureData, key: str) -> PageFigure | None:
    shares, positions, traversals = data.shares, data.positions, data.traversals
    if traversals is None or shares is None or positions is None:
        return None
    title, reach = "Along the first axes", f"{abs(float(positions[0])):g}"
    alt = f"Decoded points along the first {len(traversals)} axes of the latents of {run.name}"
    what = f"Decoded latents along the principal axes of the latents, from {reach} standard deviations below the mean"
    if run.items == "images":
        labels = [f"axis {number + 1}: {share:.1%} of the variance" for number, share in enumerate(shares)]
        rows = path_rows(traversals, labels)
        return PageFigure("traversals", title, alt, f"{what} (left) to {reach} above it (right).", rows=rows)
    points = traversals.reshape(*traversals.shape[:2], -1)
    return plotted(
        f"{key}-traversals",
        title,
        alt,
        f"{what} to {reach} above it, in standardized units.",
        lambda width: traversals_figure(points, list(shares), list(positions), run.columns, width=width),
    )


def _codes(run: RunView, data: FigureData, key: str) -> PageFigure | None:
    codes, labels = data.codes, data.labels
    if codes is None:
        return None
    of_test = data.codes_of_test is None or bool(data.codes_of_test[0])
    items = f"{count(len(codes))} {'test' if of_test else 'training'} {run.items}"
    by = "" if labels is None else ", by class"
    many = labels is not None and len(np.unique(labels)) > CLASSES
    ending = f" The {CLASSES} classes with the most of them have colors." if many else ""
    return plotted(
        f"{key}-codes",
        "Codes along the first two axes",
        f"Scatter plot of the codes of {items} of {run.name}{by}",
        f"Codes of {items} along the first two principal axes of the latents{by}.{ending}",
        lambda width: codes_figure(codes, labels, width=width),
    )


def _other_names(run: RunView) -> list[str]:
    """Return the names of the figures that commands have drawn into the run folder, known ones first."""
    drawn = {path.stem for path in (run.folder / "figures").glob("*.png")}
    known = [name for name in CAPTIONS if name in drawn]
    return known + sorted(drawn - {*CAPTIONS, *OWN})


def _shown_names(run: RunView) -> list[str]:
    """Return the known ones of these names, and the first others."""
    names = _other_names(run)
    unknown = [name for name in names if name not in CAPTIONS]
    return [name for name in names if name in CAPTIONS] + unknown[:MOST]


def _more(run: RunView, key: str) -> Iterator[PageFigure]:
    for name in _shown_names(run):
        with _drawing(name):
            yield _other(run, name, key)


def _other(run: RunView, name: str, key: str) -> PageFigure:
    """Return a figure that a command has drawn: from the items beside it, or else the PNG."""
    named = name.replace("_", " ").replace("-", " ").capitalize()
    texts = CAPTIONS.get(name, {"title": named, "caption": "From the run's folder figures."})
    title, caption, path = texts["title"], texts["caption"], run.folder / "figures" / f"{name}.png"
    alt = f"{title}, of {run.name}"
    if name not in CAPTIONS or not figure_items_path(path).is_file():
        return PageFigure(name, title, alt, caption, picture=picture_source(path))
    items = read_figure_items(path)
    if run.items != "images":
        rows = _in_rows(items)
        caption += " In standardized units."
        return plotted(
            f"{key}-{name}", title, alt, caption, lambda width: samples_figure(rows, run.columns, width=width)
        )
    shown = path_rows(items) if items.ndim == 5 else grid_rows(items)
    return PageFigure(name, title, alt, caption, rows=shown)


def _in_rows(items: NDArray[Any]) -> NDArray[Any]:
    return items.reshape(len(items), -1)


def overlay(runs: Sequence[RunView]) -> PageFigure | None:
    """Draw the spectra of all runs in one plot; None if there are none."""
    drawn = [run for run in runs if run.spectrum.get("eigenvalues")]
    if not drawn:
        return None
    # Ranks at different tolerances cannot share one dashed line: then all are counted at the first.
    shared = len({run.tolerance for run in drawn}) == 1
    with _drawing("spectra"):
        return plotted(
            "spectra",
            "Latent spectra",
            "Spectra of the latents of all runs",
            "Variance of the latent codes along their principal directions, largest first, each relative to its own "
            "largest. Shaded: below the tolerance.",
            lambda width: spectrum_figure(
                {run.name: run.curve for run in drawn},
                tolerance=drawn[0].tolerance,
                ranks={run.name: run.spectrum["rank"] for run in drawn} if shared else None,
                widths={run.name: len(run.spectrum["eigenvalues"]) for run in drawn},
                width=width,
            ),
        )
    return None
