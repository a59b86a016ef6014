"""The command that reproduces a benchmark: `lorae reproduce`."""

import argparse
import json
from collections.abc import Callable
from typing import Any

from lorae import paper


def add_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add it to the parser of all commands; add: makes a subparser of a name, a function and a meaning."""
    reproduce = add("reproduce", _reproduce, "run a benchmark, or what of it is missing: its records, table and plot")
    reproduce.add_argument(
        "study", metavar="STUDY", help="dimension: estimated against known dimensions of synthetic data"
    )
    presets = ",".join(paper.PRESETS)
    reproduce.add_argument(
        "--preset",
        metavar=f"{{{presets}}}",
        default="quick",
        help="smoke: a minute, to see that it runs; quick: three quarters of an hour on 2 cores; paper: a night "
        "(default: quick)",
    )
    reproduce.add_argument("--seeds", metavar="N", help="seeds 0 to N - 1 of data and training; 3, for smoke 1")
    reproduce.add_argument("--out", metavar="FOLDER", help="goes on where it stopped; runs/STUDY-PRESET by default")
    reproduce.add_argument("--workers", metavar="N", help="processes of one thread each; as many as cores by default")
    reproduce.add_argument("--draw-only", action="store_true", help="table and plot from the records that are there")


def _reproduce(options: argparse.Namespace) -> None:
    given: dict[str, Any] = {name: getattr(options, name) for name in ("preset", "seeds", "out", "workers")}
    result = paper.reproduce(options.study, draw_only=options.draw_only, **given)
    if options.json:
        print(json.dumps(result))
        return
    print("share of cells within 1 of the dimension")
    for method, share in result["within_one"].items():
        print(f"  {method:<14}{share:4.0%}")
    for name in ("records", "table", "figure"):
        print(f"{name:<8}{result[name]}")
