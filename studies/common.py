"""Shared parts of the study scripts: runs, records, and the sections of pages that are drawn from records.

The study `studies/SOME_NAME.py` is run by `make study-some-name`. It trains its models in `runs/some-name/`, writes one
record for each to `results/some-name/records.jsonl`, and draws its tables from these records.
"""

import argparse
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

import lorae
from lorae.config.methods import get_method
from lorae.errors import LoraeError
from lorae.reports.formatting import markdown_table as markdown_table
from lorae.reports.formatting import mean_and_deviation as mean_and_deviation
from lorae.runs.run import Run
from lorae.system.files import write_atomically

ROOT = Path(__file__).parents[1]
README = "README.md"
# Version of the layout of a record, see results/README.md.
SCHEMA = 1

Record = dict[str, Any]


def results_folder(study: str) -> Path:
    """Return the folder of a study's records and pictures."""
    return ROOT / "results" / study


def records_path(study: str) -> Path:
    """Return the path of a study's records, one JSON object a line."""
    return results_folder(study) / "records.jsonl"


def has_record(study: str, name: str) -> bool:
    """Whether a run has a record that was made by the current revision of its method."""
    record = _load(study).get(name)
    return record is not None and _is_current(record)


def read_record(study: str, name: str) -> Record:
    """Return the record of a run.

    Raises
    ------
    LoraeError
        If there is no such record, or if it predates the current revision of its method.
    """
    record = _load(study).get(name)
    if record is None:
        raise LoraeError(f"{records_path(study)}: no record {name!r}; run `make study-{study}`")
    return _checked(study, record)


def read_records(study: str, names: Sequence[str]) -> list[Record]:
    """Return the records of a study in the order of `names`; a name without a record is left out.

    Raises
    ------
    LoraeError
        If a record has another name, or predates the current revision of its method.
    """
    found = {name: _checked(study, record) for name, record in _load(study).items()}
    unknown = sorted(set(found) - set(names))
    if unknown:
        raise LoraeError(f"{records_path(study)}: the study has no model {', '.join(unknown)}; delete the line")
    return [found[name] for name in names if name in found]


def _load(study: str) -> dict[str, Record]:
    """Return name -> record, whatever its revision."""
    path = records_path(study)
    if not path.exists():
        return {}
    records: list[Record] = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for number, record in enumerate(records, start=1):
        if record.get("schema") != SCHEMA:
            raise LoraeError(f"{path}: line {number} has schema {record.get('schema')!r}, expected {SCHEMA}")
    return {record["name"]: record for record in records}


def _is_current(record: Record) -> bool:
    # Records without a revision were made when all methods were at their first.
    return bool(record.get("revision", 1) == get_method(record["settings"]["method"]).revision)


def _checked(study: str, record: Record) -> Record:
    if not _is_current(record):
        raise LoraeError(
            f"{records_path(study)}: the record {record['name']!r} predates the current revision of the method "
            f"{record['settings']['method']}; run `make study-{study}`"
        )
    return record


def finished_run(study: str, name: str, data: str = "mnist", **settings: Any) -> Run:
    """Train the run `runs/STUDY/NAME`, continue it, or return it if it is finished.

    A later revision of a method trains in a folder of its own.
    """
    revision = get_method(settings["method"]).revision
    title = slug(name) if revision == 1 else f"{slug(name)}-revision-{revision}"
    folder = ROOT / "runs" / study / title
    started = (folder / "config.json").exists()
    return lorae.resume(folder) if started else lorae.train(data, out=folder, **settings)


def write_evaluation(study: str, name: str, run: Run) -> None:
    """Record the summary and the whole evaluation of a run."""
    summary = run.summary()
    summary.pop("run")
    write_result(study, name, run, {"summary": summary, "evaluation": run.evaluation()})


def write_result(study: str, name: str, run: Run, result: dict[str, Any]) -> None:
    """Record a result of a run, with the settings and the machine that the run was trained with."""
    keep = ("version", "command", "created", "settings", "parameters", "machine")
    record: Record = {"name": name, **{key: dict(run.config)[key] for key in keep}}
    record["command"] = record["command"].split(" --out")[0]
    record["revision"] = get_method(run.settings.method).revision
    write_records(study, [record | {"result": result}])


def write_records(study: str, records: Iterable[Record]) -> None:
    """Write records to `results/STUDY/records.jsonl`, each in the place of an earlier one of its name."""
    path = records_path(study)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two processes may train different models of one study.
    with FileLock(path.with_suffix(".lock")):
        found = _load(study) | {record["name"]: {"schema": SCHEMA} | record for record in records}
        write_atomically(path, "".join(json.dumps(record) + "\n" for record in found.values()).encode())


def copy_figure(study: str, name: str, run: Run, figure: str) -> None:
    """Copy a figure of a run to `results/STUDY/NAME.png`, for a page that shows it."""
    shutil.copy(run.figure_path(figure), results_folder(study) / f"{slug(name)}.png")


def write_section(page: str, section: str, text: str) -> None:
    """Replace the text between `<!-- SECTION -->` and `<!-- end of SECTION -->` in a page.

    Parameters
    ----------
    page : str
        Path of the page, relative to the root of the repository.
    section : str
        Name of the section; the page has each of its two marks once.
    text : str
        Markdown, without a line break at its end.
    """
    begin, end = f"<!-- {section} -->", f"<!-- end of {section} -->"
    before, rest = (ROOT / page).read_text(encoding="utf-8").split(begin)
    content = f"{before}{begin}\n{text}\n{end}{rest.split(end)[1]}"
    write_atomically(ROOT / page, content.encode())


def run_study(
    description: str | None,
    train: Callable[..., None],
    draw: Callable[[], None],
    parts: tuple[str, Sequence[Any]] | None = None,
) -> None:
    """Run the command line of a study: train what has no record, unless `--draw-only` is given, then draw.

    Parameters
    ----------
    description : str or None
        Text of `--help`.
    train : callable
        Trains, measures and records what is missing. Takes a list of strings if `parts` is given, else nothing.
    draw : callable
        Draws the tables and pictures from the records.
    parts : tuple of str and sequence, optional
        Name and values of an option that selects some parts: `--NAME A,B` calls `train(["A", "B"])`.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--draw-only", action="store_true", help="draw from the records, train nothing")
    if parts is not None:
        title, values = parts
        parser.add_argument(f"--{title}", default=",".join(map(str, values)), help="some of these, separated by commas")
    options = parser.parse_args()
    if not options.draw_only:
        train(*([] if parts is None else [getattr(options, parts[0]).split(",")]))
    draw()


def lowest_to_highest(ranks: Iterable[int]) -> str:
    """Return a range as text, or one number if all are equal.

    >>> lowest_to_highest([23, 21, 25]), lowest_to_highest([12, 12])
    ('21 to 25', '12')
    """
    found = sorted(set(ranks))
    return " to ".join(map(str, dict.fromkeys((found[0], found[-1]))))


def error_and_distances(evaluations: Sequence[dict[str, Any]]) -> list[str]:
    """Return three cells of a table: test error, Frechet distance of a Gaussian's samples and of a mixture's."""
    errors = [values["reconstruction"]["mse"] for values in evaluations]
    distances = [[values["fid"][name]["value"] for values in evaluations] for name in ("gaussian", "mixture")]
    return [mean_and_deviation(errors, ".5f"), *(mean_and_deviation(found, ".1f") for found in distances)]


def slug(name: str) -> str:
    """Return a name as a file name.

    >>> slug("LoRAE, seed 0")
    'lorae-seed-0'
    """
    return name.lower().replace(",", "").replace(" ", "-")
