"""What the studies behind the README share: runs trained or continued, records kept, tables put between two marks."""

import argparse
import json
import shutil
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lorae
from lorae.errors import LoraeError
from lorae.methods import get_method
from lorae.runs import Run

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
RUNS = ROOT / "runs"
README = ROOT / "README.md"


def has_record(study: str, name: str) -> bool:
    """Whether there is a record, of what the method does today."""
    path = record_path(study, name)
    return path.exists() and _is_current(json.loads(path.read_text()))


def record_path(study: str, name: str) -> Path:
    """Where a record is, or would be."""
    return RESULTS / study / f"{slug(name)}.json"


def _is_current(record: dict[str, Any]) -> bool:
    return bool(record.get("revision", 1) == get_method(record["settings"]["method"]).revision)


def finished_run(study: str, name: str, data: str = "mnist", **settings: Any) -> Run:
    """The run `runs/STUDY/NAME`, trained now, continued, or as it is; a later revision has a folder of its own."""
    revision = get_method(settings["method"]).revision
    folder = RUNS / study / (slug(name) if revision == 1 else f"{slug(name)}-revision-{revision}")
    done = (folder / "config.json").exists()
    return lorae.resume(folder) if done else lorae.train(data, out=folder, **settings)


def write_record(study: str, name: str, run: Run, pictures: Sequence[str]) -> None:
    """Everything that is said of a run, as `results/STUDY/NAME.json`, and some of its figures beside it."""
    summary = run.summary()
    summary.pop("run")
    write_result(study, name, run, {"summary": summary, "evaluation": run.evaluation()})
    for picture in pictures:
        suffix = "" if picture == pictures[0] else f"-{picture}"
        shutil.copy(run.figure_path(picture), RESULTS / study / f"{slug(name)}{suffix}.png")


def write_result(study: str, name: str, run: Run, result: dict[str, Any]) -> None:
    """A result of a run with how the run was made, as `results/STUDY/NAME.json`."""
    keep = ("version", "command", "created", "settings", "parameters", "machine")
    record = {"name": name, **{key: run.config[key] for key in keep}}
    record["command"] = record["command"].split(" --out")[0]
    record["revision"] = get_method(run.settings.method).revision
    path = record_path(study, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record | result, indent=2) + "\n")


def read_record(study: str, name: str) -> dict[str, Any]:
    """One committed record; LoraeError where it is of an earlier revision of its method."""
    return _read(record_path(study, name))


def read_records(study: str, names: Sequence[str]) -> list[dict[str, Any]]:
    """The committed records of a study, in the order of `names`; LoraeError as above."""
    found = [_read(path) for path in (RESULTS / study).glob("*.json")]
    return sorted(found, key=lambda record: list(names).index(record["name"]))


def _read(path: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(path.read_text())
    if not _is_current(record):
        method = record["settings"]["method"]
        raise LoraeError(f"{path.name}: {method} trains otherwise by now; run `make {path.parent.name}`")
    return record


def put_between(path: Path, mark: str, text: str) -> None:
    """Replace what stands between `<!-- MARK -->` and `<!-- end of MARK -->`."""
    begin, end = f"<!-- {mark} -->", f"<!-- end of {mark} -->"
    before, rest = path.read_text().split(begin)
    path.write_text(f"{before}{begin}\n{text}\n{end}{rest.split(end)[1]}")


def train_and_draw(
    description: str | None,
    train: Callable[..., None],
    draw: Callable[[], None],
    parts: tuple[str, Sequence[Any]] | None = None,
) -> None:
    """The command line of a study: train what is missing, unless `--draw-only`, then draw.

    parts: what `train` is given a list of, as strings, and what there is of it: `--PARTS A,B` names some.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--draw-only", action="store_true", help="do not train")
    if parts is not None:
        title, names = parts
        parser.add_argument(f"--{title}", default=",".join(map(str, names)), help="some of them, with commas between")
    options = parser.parse_args()
    if not options.draw_only:
        train(*([] if parts is None else [getattr(options, parts[0]).split(",")]))
    draw()


def spread(values: Sequence[float], shape: str) -> str:
    """Mean and standard deviation in a format such as `.2f`; one value alone has none."""
    mean = f"{statistics.mean(values):{shape}}"
    return f"{mean} ± {statistics.stdev(values):{shape}}" if len(values) > 1 else mean


def error_and_distances(evaluations: Sequence[dict[str, Any]]) -> list[str]:
    """Three cells of a table: test error, and distance of samples from a Gaussian and from a mixture."""
    errors = [values["reconstruction"]["mse"] for values in evaluations]
    distances = [[values["fid"][name]["value"] for values in evaluations] for name in ("gaussian", "mixture")]
    return [spread(errors, ".5f"), *(spread(found, ".1f") for found in distances)]


def slug(name: str) -> str:
    """A name as a file name."""
    return name.lower().replace(",", "").replace(" ", "-")
