"""Command that reproduces the paper and other benchmarks."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lorae.cli.completion import suggest
from lorae.cli.output import Output
from lorae.reports.formatting import duration
from lorae.reproduction import run as paper
from lorae.reproduction.pages.blocks import OUTCOMES

if TYPE_CHECKING:
    from lorae.reproduction.jobs.store import State


def add_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command; `add(name, function, meaning)` makes a subparser."""
    reproduce = add("reproduce", _reproduce, "run a table of the paper or another benchmark; only missing jobs run")
    study = reproduce.add_argument(
        "study",
        metavar="STUDY",
        help="table1 to table8, table6-authors (as the authors' code measures), figure2, figure3, theorem1, theorem2, "
        "proposition1, or all of these; dimension: comparison of estimated and known dimensions of synthetic data",
    )
    suggest(study, paper.STUDIES)
    presets, protocols = (f"{{{','.join(words)}}}" for words in (paper.PRESETS, paper.PROTOCOLS))
    meaning = "smoke: a minute or two, to check that it runs; quick: an evening on 2 cores; paper: the paper's settings"
    preset = reproduce.add_argument("--preset", metavar=presets, default="quick", help=f"{meaning} (default: quick)")
    suggest(preset, paper.PRESETS)
    reproduce.add_argument("--seeds", metavar="N", help="number of seeds, 0 to N - 1; 3 by default, 1 for smoke")
    meaning = "paper: as in its text; authors_code: as in its authors' code where that differs"
    protocol = reproduce.add_argument(
        "--protocol", metavar=protocols, default="paper", help=f"{meaning} (default: paper)"
    )
    suggest(protocol, paper.PROTOCOLS)
    meaning = "folder with the files of CelebA; without it, MNIST only"
    reproduce.add_argument("--data-root", metavar="FOLDER", help=meaning)
    meaning = "the results; runs/paper-PRESET by default. An interrupted study continues, and studies share models"
    reproduce.add_argument("--out", metavar="FOLDER", help=meaning)
    reproduce.add_argument("--workers", metavar="N", help="processes of one thread each; one for each core by default")
    reproduce.add_argument("--draw-only", action="store_true", help="draw pages from existing records")
    reproduce.add_argument("--status", action="store_true", help="show progress and exit")


def _reproduce(options: argparse.Namespace) -> Output:
    names = ("preset", "seeds", "protocol", "data_root", "out")
    given: dict[str, Any] = {name: getattr(options, name) for name in names}
    if options.status:
        return _status(paper.status(options.study, **given))
    result = paper.reproduce(options.study, draw_only=options.draw_only, workers=options.workers, **given)
    return result, _shares(result) if "within_one" in result else _claims(result)


def _shares(result: dict[str, Any]) -> list[str]:
    shares = [f"  {method:<14}{share:4.0%}" for method, share in result["within_one"].items()]
    files = [f"{name:<8}{result[name]}" for name in ("records", "table", "figure")]
    return [*_note(result), "share of cells within 1 of the dimension", *shares, *files]


def _claims(result: dict[str, Any]) -> list[str]:
    claims = [
        f"{claim['study']}: {claim['claim']}\n  {OUTCOMES[claim['holds']]}: {claim['seen']}"
        for claim in result["claims"]
    ]
    pages = [f"page    {page['html']}" for page in result["pages"].values()]
    return [*_note(result), *claims, f"records {result['records']}", *pages]


def _note(result: dict[str, Any]) -> list[str]:
    return [result["note"]] if "note" in result else []


def _status(state: "State") -> Output:
    seconds = state.time_to_go(max(1, len(state.running)))
    record = {"done": state.done, "running": state.running, "left": state.left, "seconds_to_go": seconds}
    return record, [
        f"done    {state.done}",
        f"running {len(state.running)}",
        f"left    {state.left - len(state.running)}",
        f"to go   {'unknown before the first job is done' if seconds is None else duration(seconds)}",
        *(f"  {name}" for name in state.running),
    ]
