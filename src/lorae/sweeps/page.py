"""The page of a sweep: its frontier, the best settings as a command, and a table of all trials. Imports no torch."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorae.plotting.frontier import frontier_figure
from lorae.reports.formatting import NOTHING, count, duration, number, plain
from lorae.reports.page_figures import PageFigure, plotted
from lorae.reports.templating import environment
from lorae.runs.run import Run
from lorae.sweeps.definition import Definition, SweepFolder, space_of
from lorae.sweeps.results import Outcome, Setting, TrialRecord, importances, measures_of, read_records, records_of
from lorae.system.faults import tolerated
from lorae.system.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from optuna import Study

# Measures with their names on the page, in the order of columns.
MEASURES = {"rank": "rank", "error": "held-out error", "fid": "FID"}
# Rows of the table of trials: a page of some thousand rows takes a second to open.
MOST_ROWS = 2000


def write_page(folder: SweepFolder, study: "Study | None", out: Path | None = None) -> Path:
    """Write `report.html` from the study, or without it from `records.jsonl`; return its path."""
    definition = folder.read()
    records = read_records(folder) if study is None else records_of(study)
    _add_later_distances(folder, records)
    outcome = Outcome.of(definition, records)
    path = out or folder.path / "report.html"
    text = (
        environment()
        .get_template("sweep.html")
        .render(
            name=folder.path.absolute().name,
            lead=_lead(definition),
            headline=_headline(outcome),
            note=_note(outcome),
            best=_best_table(outcome),
            several=len(definition["objective"]) > 1,
            command=outcome.command(outcome.best[0]) if outcome.best else None,
            figures=_figures(outcome),
            importances={} if study is None else _importances(study, definition),
            trials=_trial_table(folder, outcome, path.parent),
            left_out=max(0, len(records) - MOST_ROWS),
            failures=[(record["number"], record["reason"] or "no reason was kept") for record in outcome.failures],
            facts=_facts(definition),
        )
    )
    write_atomically(path, text.encode(errors="backslashreplace"))
    return path


def _add_later_distances(folder: SweepFolder, records: Sequence[TrialRecord]) -> None:
    """Add the FID of runs that were evaluated after the sweep."""
    for record in records:
        path = folder.run_path(record["number"])
        if record["state"] == "complete" and "fid" not in record["measured"] and (path / "evaluation.json").is_file():
            with tolerated(f"trial {record['number']}: its distances are left out"):
                found = measures_of(Run(path))
                record["measured"] = {**record["measured"], **({"fid": found["fid"]} if "fid" in found else {})}


def _lead(definition: Definition) -> str:
    data = Path(str(definition["settings"]["data"])).name
    seeds = len(definition["seeds"])
    held = f"{definition['settings']['holdout']:,} held-out training items"
    return f"{data} · {definition['sampler']} · {seeds} seed{'s' * (seeds > 1)} · measured on {held}"


def _headline(outcome: Outcome) -> str:
    trained, pruned, failed = (outcome.count(state) for state in ("complete", "pruned", "failed"))
    left = outcome.count("running", "waiting")
    parts = [f"{trained} trials trained to the end"]
    parts += [f"{pruned} pruned"] if pruned else []
    parts += [f"{failed} failed"] if failed else []
    parts += [f"{left} not ended"] if left else []
    return ", ".join(parts) + "."


def _note(outcome: Outcome) -> str | None:
    """Return the remark on why there is no best setting, or whose seeds are missing; None without one."""
    if not outcome.settings:
        return "No trial has been trained to the end yet."
    if not outcome.candidates:
        return "No setting is within the bounds on rank and error."
    if not outcome.candidates[0].complete:
        return "No setting has been trained with all seeds yet: the means are of those that are there."
    return None


def _measured(outcome: Outcome) -> list[str]:
    return [name for name in MEASURES if any(setting.mean(name) is not None for setting in outcome.settings)]


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{value:.4g}" if name != "fid" else f"{value:.1f}"


def _value(value: Any) -> str:
    """Return the value of a setting; a number with four digits, which the command has in full."""
    return number(value) if isinstance(value, float) else plain(value)


def _best_table(outcome: Outcome) -> dict[str, Any] | None:
    """Return header and rows of the best settings, for one objective with those of the frontier."""
    settings = outcome.best
    if len(outcome.definition["objective"]) == 1:
        settings = [*settings, *(found for found in outcome.frontier("rank", "error") if found not in settings)]
    if not settings:
        return None
    names, measures = list(outcome.definition["space"]), _measured(outcome)
    rows = [
        [
            ", ".join(str(trial["number"]) for trial in setting.trials),
            *(_shown(measure, setting.mean(measure)) for measure in measures),
            *(_value(setting.parameters.get(name)) for name in names),
        ]
        for setting in settings
    ]
    return {"header": ["trials", *(MEASURES[name] for name in measures), *names], "rows": rows, "n": len(measures)}


def _points(outcome: Outcome, across: str, up: str) -> list[tuple[float, float]]:
    found = [(setting.mean(across), setting.mean(up)) for setting in outcome.settings]
    return [(x, y) for x, y in found if x is not None and y is not None]


def _figures(outcome: Outcome) -> list[PageFigure]:
    figures = []
    for across, up in [("rank", "error"), ("rank", "fid"), ("error", "fid")]:
        title = f"Frontier of {MEASURES[across]} and {MEASURES[up]}"
        points = _points(outcome, across, up)
        if points:
            with tolerated(f"figures: not drawn: {title}"):
                figures.append(_frontier(outcome, points, across, up, title))
    return figures


def _frontier(outcome: Outcome, points: list[tuple[float, float]], across: str, up: str, title: str) -> PageFigure:
    """Return the plot of two measures of all settings, with those that no other one beats in both."""
    names = MEASURES[across], MEASURES[up]
    frontier = outcome.frontier(across, up)
    line = [_pair(setting, across, up) for setting in frontier]
    numbers = [str(setting.trials[0]["number"]) for setting in frontier]
    single = outcome.best[0] if outcome.best and len(outcome.definition["objective"]) == 1 else None
    best = None if single is None or single.mean(up) is None else _pair(single, across, up)

    def draw(width: float) -> "Figure":
        return frontier_figure(points, line, best=best, labels=names, numbers=numbers, width=width)

    alt = f"{len(points)} settings by {names[0]} and {names[1]}; {len(frontier)} are on the frontier"
    caption = (
        "Each dot is a setting, the mean over its seeds, on held-out training items. The line joins those of which no "
        f"other has at most their {names[0]} and their {names[1]}; the numbers are those of trials."
    )
    return plotted(f"frontier-{across}-{up}", title, alt, caption, draw)


def _pair(setting: Setting, across: str, up: str) -> tuple[float, float]:
    x, y = setting.mean(across), setting.mean(up)
    assert x is not None
    assert y is not None
    return x, y


def _importances(study: "Study", definition: Definition) -> dict[str, dict[str, str]]:
    """Return the share of each setting by measure, as text."""
    names = dict.fromkeys(["error", "rank", *definition["objective"]])
    found: dict[str, Mapping[str, float]] = {}
    for name in names:
        shares = importances(study, name)
        if shares:
            found[MEASURES[name]] = shares
    settings = list(dict.fromkeys(setting for shares in found.values() for setting in shares))
    return {
        setting: {
            measure: f"{shares[setting]:.0%}" if setting in shares else NOTHING for measure, shares in found.items()
        }
        for setting in settings
    }


def _trial_table(folder: SweepFolder, outcome: Outcome, place: Path) -> dict[str, Any]:
    """Return header and rows of the trials for a page in a folder."""
    names, measures = list(outcome.definition["space"]), _measured(outcome)
    rows = []
    for record in outcome.records[:MOST_ROWS]:
        path, measured = folder.run_path(record["number"]), record["measured"]
        page = path / "report.html"
        state = record["state"] if record["same_as"] is None else f"as trial {record['same_as']}"
        rows.append(
            {
                "number": record["number"],
                "link": Path(os.path.relpath(page, place)).as_posix() if page.is_file() else None,
                "state": state,
                "reason": record["reason"],
                "measures": [_shown(name, measured.get(name)) for name in measures],
                "seed": record["seed"],
                "values": [_value(record["parameters"].get(name)) for name in names],
                "epoch": count(record["epoch"]),
                "there": number(record["error_there"]),
                "time": duration(measured.get("seconds")),
            }
        )
    return {"measures": [MEASURES[name] for name in measures], "names": names, "rows": rows}


def _facts(definition: Definition) -> dict[str, Any]:
    """Return the definition of the sweep, for a table."""
    space = space_of(definition)
    facts: dict[str, Any] = {name: str(values) for name, values in space.searched.items()}
    facts |= {name: value for name, value in space.fixed.items() if value is not None}
    facts |= {
        "seeds": ", ".join(map(str, definition["seeds"])),
        "objective": ", ".join(definition["objective"]),
        "largest number of trials": definition["trials"] or "each combination once",
        "sampler": definition["sampler"],
        "pruner": definition["pruner"],
        "largest rank": definition["max_rank"],
        "largest error": definition["max_error"],
        "database": definition["storage"] or "study.db in the folder",
        "lorae version": definition["version"],
        "created": definition["created"],
    }
    return {name: value for name, value in facts.items() if value is not None}
