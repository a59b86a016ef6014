"""Commands that describe the data sets and the methods: data, methods."""

import argparse
import json
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

from lorae import api
from lorae.cli.arguments import DATA_SETTINGS, add_settings, settings_field, settings_of


def add_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands; `add(name, function, meaning)` makes a subparser."""
    data = add("data", _data, "load a data set and print its counts, shapes, source and checksums")
    data.add_argument("data", metavar="DATA", help=settings_field("data").metadata["meaning"])
    add_settings(data, DATA_SETTINGS)

    add("methods", _methods, "list the methods and the penalties")


def _data(options: argparse.Namespace) -> None:
    described = api.load_data(options.data, **settings_of(options)).describe()
    if options.json:
        print(json.dumps(described))
        return
    table = Table.grid(padding=(0, 2))
    for name, value in described.items():
        table.add_row(name.replace("_", " "), _as_text(value))
    Console(soft_wrap=True).print(table)


def _as_text(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{key} {_as_text(item)}" for key, item in value.items()) or "none"
    if isinstance(value, list):
        return (" x " if all(isinstance(part, int) for part in value) else "\n").join(map(str, value)) or "none"
    if isinstance(value, int):
        return f"{value:,}"
    return "none" if value is None else str(value)


def _methods(options: argparse.Namespace) -> None:
    rows = api.list_methods()
    if options.json:
        print(json.dumps(rows))
        return
    for kind in ("method", "penalty"):
        table = Table(kind, "what it is", "source", box=None)
        for row in rows:
            if row["kind"] == kind:
                table.add_row(row["name"], row["summary"], row["source"])
        Console(soft_wrap=True).print(table)
