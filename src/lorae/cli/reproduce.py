"""Command that reproduces the paper and other benchmarks."""

import argparse
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lorae.reports.formatting import duration
from lorae.reproduction import run as paper
from lorae.reproduction.pages.blocks import OUTCOMES

if TYPE_CHECKING:
    from lorae.reproduction.jobs.store import State


def add_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command; `add(name, function, meaning)` makes a subparser."""
    reproduce = add("reproduce", _reproduce, "run a table of the paper or another benchmark; only missing jobs run")
    reproduce.add_argument(
        "study",
        metavar="STUDY",
        help="table1 to table8, table6-authors (as the authors' code measures), figure2, figure3, theorem1, theorem2, "
        "proposition1, or all of these; dimension: comparison of estimated and known dimensions of synthetic data",
    )
    reproduce.add_argument(
        "--preset",
        metavar=_braced(paper.PRESETS),
        default="quick",
        help="smoke: a minute or two, to check that it runs; quick: an evening on 2 cores; paper: the paper's settings "
        "(default: quick)",
    )
    reproduce.add_argument("--seeds", metavar="N", help="number of seeds, 0 to N - 1; 3 by default, 1 for smoke")
    reproduce.add_argument(
        "--protocol",
        metavar=_braced(paper.PROTOCOLS),
        default="paper",
        help="paper: as in its text; authors_code: as in its authors' code where that differs (default: paper)",
    )
    reproduce.add_argument(
        "--data-root", metavar="FOLDER", help="folder with the files of CelebA; without it, MNIST only"
    )
    reproduce.add_argument(
        "--out",
        metavar="FOLDER",
        help="the results; runs/paper-PRESET by default. An interrupted study continues, and studies share models",
    )
    reproduce.add_argument("--workers", metavar="N", help="processes of one thread each; one for each core by default")
    reproduce.add_argument("--draw-only", action="store_true", help="draw pages from existing records")
    reproduce.add_argument("--status", action="store_true", help="show progress and exit")


def _braced(words: tuple[str, ...]) -> str:
    return f"{{{','.join(words)}}}"


def _reproduce(options: argparse.Namespace) -> None:
    names = ("preset", "seeds", "protocol", "data_root", "out")
    given: dict[str, Any] = {name: getattr(options, name) for name in names}
    if options.status:
        _print_status(paper.status(options.study, **given), options.json)
        return
    result = paper.reproduce(options.study, draw_only=options.draw_only, workers=options.workers, **given)
    if options.json:
        print(json.dumps(result))
    elif "within_one" in result:
        print("share of cells within 1 of the dimension")
        for method, share in result["within_one"].items():
            print(f"  {method:<14}{share:4.0%}")
        for name in ("records", "table", "figure"):
            print(f"{name:<8}{result[name]}")
    else:
        _print_claims(result)


def _print_claims(result: dict[str, Any]) -> None:
    for claim in result["claims"]:
        print(f"{claim['study']}: {claim['claim']}\n  {OUTCOMES[claim['holds']]}: {claim['seen']}")
    print(f"records {result['records']}")
    for page in result["pages"].values():
        print(f"page    {page['html']}")


def _print_status(state: "State", as_json: bool) -> None:
    seconds = state.time_to_go(max(1, len(state.running)))
    if as_json:
        print(json.dumps({"done": state.done, "running": state.running, "left": state.left, "seconds_to_go": seconds}))
        return
    print(f"done    {state.done}\nrunning {len(state.running)}\nleft    {state.left - len(state.running)}")
    print(f"to go   {'unknown before the first job is done' if seconds is None else duration(seconds)}")
    for name in state.running:
        print(f"  {name}")
