"""The commands that make a trained run smaller and hand it on: `lorae truncate`, `lorae export`."""

import argparse
import json
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

from lorae.api import export
from lorae.api import truncation as smaller_runs
from lorae.runs.run import Run


def add_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add both to the parser of all commands; add: makes a subparser of a name, a function and a meaning."""
    truncate = add("truncate", _truncate, "cut the latent of a run to the directions that M has left, as a new run")
    truncate.add_argument("run", metavar="RUN")
    truncate.add_argument("--rank", metavar="R", help="directions of largest variance to keep; all of M by default")
    truncate.add_argument("--out", metavar="RUN2", help="the new run folder; RUN-rank<r> by default")

    exported = add("export", _export, "write the model of a run, without M, for use elsewhere")
    exported.add_argument("run", metavar="RUN")
    formats = ",".join(export.FORMATS)
    exported.add_argument("--format", metavar=f"{{{formats}}}", default="safetensors", help="(default: safetensors)")
    exported.add_argument("--out", metavar="FOLDER", help="a new folder; RUN-<format> by default")
    exported.add_argument("--rank", metavar="R", help="directions to keep, as in `lorae truncate`")


def _truncate(options: argparse.Namespace) -> None:
    run = smaller_runs.truncate(options.run, options.rank, options.out)
    result = smaller_runs.describe_truncation(run)
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
    folder = export.export_run(options.run, options.format, out=options.out, rank=options.rank)
    files: dict[str, Any] = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    if options.json:
        print(json.dumps({"run": str(Run(options.run).path), "folder": str(folder), "files": files}))
        return
    for name, size in files.items():
        print(f"{folder / name} ({size:,} bytes)")
