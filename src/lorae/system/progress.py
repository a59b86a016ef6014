"""Progress bars on standard error or in a notebook."""

import sys

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from lorae.system.processes import is_first

# The longest of the columns beside bar and note: description, count, elapsed time, time to go.
FIXED = 56


def progress_bar(quiet: bool = False) -> Progress:
    """Return a rich progress bar, silent unless standard error is a terminal or a notebook, and in the first process.

    Use it as `with progress_bar() as bar: task = bar.add_task("decode", total=10, note="")`. The note gets what other
    columns leave of a line, and is cut off there.
    """
    console = Console(stderr=True)
    hidden = quiet or not is_first() or not (sys.stderr.isatty() or console.is_jupyter)
    console.quiet = hidden  # before rich 14.3, a hidden bar ends with an empty line
    return Progress(
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
        BarColumn(bar_width=max(6, min(24, console.width - FIXED - 12))),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TimeElapsedColumn(table_column=Column(no_wrap=True)),
        TextColumn("eta", table_column=Column(no_wrap=True)),
        TimeRemainingColumn(table_column=Column(no_wrap=True)),
        TextColumn(
            "{task.fields[note]}", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")
        ),
        console=console,
        expand=True,
        disable=hidden,
    )
