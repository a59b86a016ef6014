"""Command that trains many settings: `lorae sweep`."""

import argparse
import dataclasses
from collections.abc import Callable
from typing import Any

from lorae import sweeps
from lorae.cli.arguments import DATA_SETTINGS, MEANING_OF_DATA, PARTS, add_settings, settings_of
from lorae.cli.completion import suggest
from lorae.cli.output import Output, existing, table
from lorae.cli.train import COMMON
from lorae.config.datasets import DATASETS
from lorae.config.settings import Settings
from lorae.reports.formatting import plain
from lorae.sweeps.options import OPTION_NAMES, SweepOptions

MEANING = "train many settings in several processes: a,b are choices, LOW:HIGH and LOW:HIGH:log are ranges"


def add_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command; `add(name, function, meaning)` makes a subparser."""
    sweep = add("sweep", _sweep, MEANING, usage="lorae sweep DATA [--out SWEEP] [--SETTING a,b | LOW:HIGH[:log] ...]")
    suggest(sweep.add_argument("data", metavar="DATA", nargs="?", help=MEANING_OF_DATA), DATASETS)
    group = sweep.add_argument_group("sweep")
    group.add_argument("--out", metavar="FOLDER", help="folder of the sweep; sweeps/DATA by default")
    group.add_argument(
        "--config", metavar="FILE.yaml", help="YAML or TOML file of settings and options; flags take precedence"
    )
    group.add_argument("--resume", metavar="FOLDER", help="continue a sweep with its settings, or join it")
    group.add_argument("--retry", action="store_true", help="train failed trials once more")
    meaning = "with --resume: import the file of networks that the sweep names; it can do anything that you can"
    group.add_argument("--trust-code", action="store_true", help=meaning)
    add_settings(sweep, OPTION_NAMES, SweepOptions, title="options of the sweep")
    add_settings(sweep, COMMON, title="settings that most trainings need")
    names = [field.name for field in dataclasses.fields(Settings) if field.name not in ("data", *COMMON)]
    parts = [name for name in names if name in PARTS]
    add_settings(sweep, [name for name in names if name not in (*parts, *DATA_SETTINGS)], title="more settings")
    add_settings(sweep, [name for name in DATA_SETTINGS if name in names], title="settings of the data")
    add_settings(sweep, parts, title="weights of penalties, options of bottlenecks")


def _sweep(options: argparse.Namespace) -> Output:
    given: dict[str, Any] = {
        name: getattr(options, name) for name in ("out", "config", "resume", "retry", "trust_code")
    }
    settings = settings_of(options) | settings_of(options, SweepOptions)
    found = sweeps.sweep(options.data, **given, **settings)
    summary = found.summary()
    counts = ", ".join(f"{number} {state}" for state, number in summary["trials"].items() if number)
    shown: list[Any] = [f"trials      {counts}"]
    for title in ("best", "frontier"):
        if summary[title]:
            shown += [title, _table(summary[title])]
    command = [f"train it    {summary['command']}"] if summary["command"] else []
    return summary, [*shown, *command, *existing(summary["report"], "report      ")]


def _table(settings: list[dict[str, Any]]) -> Any:
    measures = [name for name in ("rank", "error", "fid") if any(name in found for found in settings)]
    names = list(dict.fromkeys(name for found in settings for name in found["parameters"]))
    rows = [
        (
            ",".join(map(str, found["trials"])),
            *(f"{found[name]:.4g}" if name in found else "" for name in measures),
            *(plain(found["parameters"].get(name)) for name in names),
        )
        for found in settings
    ]
    return table(rows, "trials", *measures, *names)
