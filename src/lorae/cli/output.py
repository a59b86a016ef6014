"""Output of commands: one JSON object, or lines and tables."""

import json
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table

# A command returns what `--json` prints, and the lines and tables that are printed without it.
Output = tuple[Any, Iterable["str | Table"]]


def table(rows: Iterable[Iterable[object]], *header: str) -> Table:
    """Return a table; without a header, of two columns or more that are set apart by blanks."""
    made = Table(*header, box=None) if header else Table.grid(padding=(0, 2))
    for row in rows:
        made.add_row(*map(str, row))
    return made


def show(output: Output, *, as_json: bool) -> None:
    """Print the output of a command."""
    record, parts = output
    for part in [json.dumps(record)] if as_json else parts:
        if isinstance(part, str):
            print(part)
        else:
            Console(soft_wrap=True).print(part)
