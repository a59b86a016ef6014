"""Report of one or several runs: one HTML page without JavaScript, which needs no other file and no network."""

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lorae.plotting.plots import format_tolerance, plot_rank_error, plot_spectrum
from lorae.plotting.training_curves import plot_curves
from lorae.reports.comparison import marked_cells, one_protocol, shown_columns
from lorae.reports.formatting import count, duration, number, plain
from lorae.reports.run_view import Figure, RunView, load_all
from lorae.reports.templating import data_uri, environment
from lorae.system.faults import tolerated
from lorae.system.files import CannotWriteError, read_toml, write_atomically

# Titles and captions of the figures that commands draw into a run folder; any other figure has its name as title.
CAPTIONS = read_toml("lorae.reports", "captions.toml")


def write_report(runs: Sequence[str | Path], out: str | Path | None = None) -> Path:
    """Write a page about the runs, by default RUN/report.html or lorae-report.html, and plots into RUN/figures."""
    loaded = load_all(runs)
    target = Path(out or (loaded[0].folder / "report.html" if len(loaded) == 1 else "lorae-report.html"))
    figures = [_figures(run) for run in loaded]
    several = len(loaded) > 1
    page = _template().render(
        runs=loaded,
        figures=figures,
        overlay=_overlay(loaded) if several else None,
        side_by_side=_side_by_side(loaded, figures) if several else [],
        comparison=_comparison(loaded) if several else None,
        same_data=len({json.dumps(run.data.get("fingerprint")) for run in loaded}) == 1,
        tolerances=sorted({run.tolerance for run in loaded if run.spectrum}),
    )
    write_atomically(target, page.encode(errors="backslashreplace"))
    return target


def _figures(run: RunView) -> dict[str, Any]:
    """Return the images of a run as data URIs; those that the report draws are written into the run folder."""
    folder, choice = run.folder / "figures", run.choice
    images: dict[str, Any] = {"spectrum": None, "ranks": None, "curves": None, "reconstructions": None}
    if run.spectrum.get("eigenvalues"):
        spectra, ranks = {run.name: run.curve}, {run.name: run.spectrum["rank"]}
        widths = {run.name: len(run.spectrum["eigenvalues"])}
        images["spectrum"] = _drawn(
            folder / "spectrum.png",
            lambda path: plot_spectrum(spectra, path, tolerance=run.tolerance, ranks=ranks, widths=widths),
        )
    if choice is not None:
        images["ranks"] = _drawn(
            folder / "ranks.png",
            lambda path: plot_rank_error(choice.points, path, marked=choice.chosen, bound=choice.bound),
        )
    if run.stats:
        exact = run.settings.get("matrix_update") == "prox"
        images["curves"] = _drawn(folder / "curves.png", lambda path: plot_curves(run.stats, path, of_matrix=exact))
    drawn = {path.stem: path for path in sorted(folder.glob("*.png"))}
    if "reconstructions" in drawn:
        images["reconstructions"] = data_uri(drawn["reconstructions"])
    known = [key for key in CAPTIONS if key in drawn]
    others = [key for key in drawn if key not in CAPTIONS and key not in images]
    images["more"] = [_figure(key, drawn[key]) for key in known + others]
    return images


def _drawn(path: Path, draw: Callable[[Path], Path]) -> str | None:
    """Return a figure that is drawn into a run folder, as a data URI; None with a warning if it cannot be drawn."""
    with tolerated(f"figures: {path.name} is not drawn"):
        try:
            return data_uri(draw(path))
        except CannotWriteError:  # the page needs no file
            with tempfile.TemporaryDirectory() as folder:
                return data_uri(draw(Path(folder) / path.name))
    return None


def _figure(key: str, path: Path) -> Figure:
    named = key.replace("_", " ").replace("-", " ").capitalize()
    texts = CAPTIONS.get(key, {"title": named, "caption": "From the run's folder figures."})
    return Figure(key, texts["title"], texts["caption"], data_uri(path))


def _side_by_side(
    runs: Sequence[RunView], figures: Sequence[dict[str, Any]]
) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the title of each kind of figure that several runs have, with the names and figures of these runs."""
    found: dict[str, tuple[str, list[tuple[str, str]]]] = {}
    for run, images in zip(runs, figures, strict=True):
        for figure in images["more"]:
            found.setdefault(figure.key, (figure.title, []))[1].append((run.name, figure.source))
    return [shown for shown in found.values() if len(shown[1]) > 1]


def _comparison(runs: Sequence[RunView]) -> dict[str, Any]:
    """Return the table of measures, with a row for each measure and the best value of a row marked."""
    table = [run.row for run in runs]
    return {
        "rows": [(column.title, marked_cells(table, column)) for column in shown_columns(table)],
        "one_protocol": one_protocol(table),
    }


def _overlay(runs: Sequence[RunView]) -> str | None:
    """Draw the spectra of all runs in one plot, as a data URI."""
    drawn = [run for run in runs if run.spectrum.get("eigenvalues")]
    if not drawn:
        return None
    # Ranks at different tolerances cannot share one dashed line: then all are counted at the first.
    shared = len({run.tolerance for run in drawn}) == 1
    with tempfile.TemporaryDirectory() as folder:
        return _drawn(
            Path(folder) / "spectra.png",
            lambda path: plot_spectrum(
                {run.name: run.curve for run in drawn},
                path,
                tolerance=drawn[0].tolerance,
                ranks={run.name: run.spectrum["rank"] for run in drawn} if shared else None,
                widths={run.name: len(run.spectrum["eigenvalues"]) for run in drawn},
            ),
        )


def _template() -> Any:
    templates = environment()
    templates.filters.update(number=number, count=count, duration=duration, plain=plain)
    templates.filters["tolerance"] = _tolerance
    return templates.get_template("report.html")


def _tolerance(text: str) -> str:
    """Return a tolerance, a key of `evaluation.json`, for a table; as it is if it is no number."""
    try:
        return format_tolerance(float(text))
    except ValueError:
        return text
