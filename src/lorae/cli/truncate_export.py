"""Commands that truncate and export a run."""

import argparse
import json
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

from lorae import api
from lorae.api.export import FORMATS
from lorae.api.truncation import describe_truncation
from lorae.runs.run import Run


def add_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands; `add(name, function, meaning)` makes a subparser."""
    truncate = add("truncate", _truncate, "truncate the latent of a run to its leading principal axes, as a new run")
    truncate.add_argument("run", metavar="RUN")
    truncate.add_argument("--rank", metavar="R", help="number of principal axes to keep; the rank of M by default")
    truncate.add_argument("--out", metavar="RUN2", help="the new run folder; RUN-rank<r> by default")

    exported = add("export", _export, "write the model of a run, without M, for use in other programs")
    exported.add_argument("run", metavar="RUN")
    formats = ",".join(FORMATS)
    exported.add_argument(
        "--format", metavar=f"{{{formats}}}", default="safetensors", help="file format (default: safetensors)"
    )
    exported.add_argument("--out", metavar="FOLDER", help="a new folder; RUN-<format> by default")
    exported.add_argument("--rank", metavar="R", help="number of principal axes to keep, as in `lorae truncate`")


def _truncate(options: argparse.Namespace) -> None:
    run = api.truncate(options.run, options.rank, options.out)
    result = describe_truncation(run)
    if options.json:
        print(json.dumps(result))
        return
    print(f"rank {result['rank']} of {result['latent_dim']}")
    table = Table("", "before", "after", box=None)
    before, after = result["before"], result["after"]
    for part in before["parameters"]:
        table.add_row(f"{part} parameters", *(f"{side['parameters'][part]:,}" for side in (before, after)))
    table.add_row("model.safetensors", *(f"{side['bytes']:,} bytes" for side in (before, after)))
    table.add_row("test error", *(f"{side['test_mse']:.6f}" for side in (before, after)))
    Console(soft_wrap=True).print(table)
    print(f"run {run.path}")


def _export(options: argparse.Namespace) -> None:
    folder = api.export_run(options.run, options.format, out=options.out, rank=options.rank)
    files: dict[str, Any] = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    if options.json:
        print(json.dumps({"run": str(Run(options.run).path), "folder": str(folder), "files": files}))
        return
    for name, size in files.items():
        print(f"{folder / name} ({size:,} bytes)")
