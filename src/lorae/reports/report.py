"""Report of one or several runs: one HTML page without JavaScript, which needs no other file and no network."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lorae.plotting.style import format_tolerance
from lorae.reports.comparison import marked_cells, one_protocol, shown_columns
from lorae.reports.next_steps import SECTIONS, next_steps
from lorae.reports.page_figures import PageFigure
from lorae.reports.run_figures import RunFigures, overlay, run_figures
from lorae.reports.run_view import RunView, load_all
from lorae.reports.templating import environment
from lorae.runs.run import Run
from lorae.system.files import write_atomically


def write_report(runs: Sequence[str | Path | Run], out: str | Path | None = None) -> Path:
    """Write a page about the runs, by default RUN/report.html or lorae-report.html, and plots into RUN/figures."""
    loaded = load_all(runs)
    several = len(loaded) > 1
    target = Path(out or ("lorae-report.html" if several else loaded[0].folder / "report.html"))
    figures = [run_figures(run, f"run-{place}") for place, run in enumerate(loaded, start=1)]
    page = _template().render(
        runs=loaded,
        figures=figures,
        steps=[next_steps(run) for run in loaded],
        sections=SECTIONS,
        overlay=overlay(loaded) if several else None,
        side_by_side=_side_by_side(loaded, figures) if several else [],
        comparison=_comparison(loaded) if several else None,
        same_data=len({json.dumps(run.data.get("fingerprint")) for run in loaded}) == 1,
        tolerances=sorted({run.tolerance for run in loaded if run.spectrum}),
    )
    write_atomically(target, page.encode(errors="backslashreplace"))
    return target


def _side_by_side(
    runs: Sequence[RunView], figures: Sequence[RunFigures]
) -> list[tuple[str, list[tuple[str, PageFigure]]]]:
    """Return the title of each kind of figure that several runs have, with the names and figures of these runs.

    These figures are taken out of the sections of the runs, so that the page has each once.
    """
    found: dict[str, list[tuple[str, PageFigure]]] = {}
    for run, drawn in zip(runs, figures, strict=True):
        for figure in drawn.comparable:
            found.setdefault(figure.title, []).append((run.name, figure))
    shared = {title: shown for title, shown in found.items() if len(shown) > 1}
    for drawn in figures:
        drawn.leave_out(shared)
    return list(shared.items())


def _comparison(runs: Sequence[RunView]) -> dict[str, Any]:
    """Return the table of measures, with a row for each measure and the best value of a row marked."""
    table = [run.row for run in runs]
    return {
        "rows": [(column.title, marked_cells(table, column)) for column in shown_columns(table)],
        "one_protocol": one_protocol(table),
    }


def _template() -> Any:
    templates = environment()
    templates.filters["tolerance"] = _tolerance
    return templates.get_template("report.html")


def _tolerance(text: str) -> str:
    """Return a tolerance, a key of `evaluation.json`, for a table; as it is if it is no number."""
    try:
        return format_tolerance(float(text))
    except ValueError:
        return text
