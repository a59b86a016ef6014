"""Commands that train: `lorae train`, `lorae resume`."""

import argparse
import dataclasses
import json
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from lorae import api
from lorae.cli.arguments import DATA_SETTINGS, add_settings, settings_field, settings_of
from lorae.config.settings import Settings
from lorae.reports.rank_selection import Choice, read_choice
from lorae.runs.run import Run


def add_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands; `add(name, function, meaning)` makes a subparser."""
    train = add("train", _train, "train a method on data into a new run folder")
    train.add_argument("data", metavar="DATA", help=settings_field("data").metadata["meaning"])
    train.add_argument("--out", metavar="RUN", help="the run folder; runs/DATA-METHOD-PENALTY by default")
    train.add_argument("--config", metavar="FILE.yaml", help="file with settings; flags take precedence over it")
    train.add_argument("--dry-run", action="store_true", help="print the resolved config and stop")
    own = [field.name for field in dataclasses.fields(Settings) if field.name not in ("data", *DATA_SETTINGS)]
    add_settings(train, [*own, *DATA_SETTINGS])

    resume = add("resume", _resume, "continue an interrupted run from its last checkpoint")
    resume.add_argument("run", metavar="RUN")


def _train(options: argparse.Namespace) -> None:
    arguments = {"out": options.out, "config": options.config, **settings_of(options)}
    if options.dry_run:
        print(json.dumps(api.plan(options.data, **arguments), indent=2))
        return
    _finish(lambda: api.train(options.data, **arguments), as_json=options.json)


def _resume(options: argparse.Namespace) -> None:
    _finish(lambda: api.resume(options.run), as_json=options.json)


def _finish(training: Callable[[], Run], *, as_json: bool) -> None:
    """Train, and print the summary."""
    summary = training().summary()
    if as_json:
        print(json.dumps(summary))
        return
    choice = read_choice(summary["schedule"])
    if choice is not None:
        _print_choice(choice)
    if summary["rank"] is not None:
        print(f"rank        {summary['rank']} (eigenvalues above {summary['tolerance']:g} of the largest, test data)")
        print(f"test error  {summary['test_mse']:.6f} (mean squared error)")
    print(f"time        {summary['seconds']:.0f} s, {summary['images_per_second']:,.0f} items a second")
    if choice is not None and choice.is_path:
        print(f"models      {summary['run']}/path")
    print(f"report      {summary['run']}/report.html")


def _print_choice(choice: Choice) -> None:
    table = Table(*choice.header, box=None)
    for row in choice.rows:
        table.add_row(*row)
    Console().print(table)
    if choice.is_path:
        print(f"* the knee, penalty {choice.chosen}: the model of the run")
    else:
        print(f"rank chosen {choice.chosen} (error on items set aside at most {choice.bound:.4g})")
