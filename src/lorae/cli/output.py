"""Output of commands: one JSON object, or lines and tables, on streams of any encoding."""

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

# A command returns what `--json` prints, and the lines and tables that are printed without it.
Output = tuple[Any, Iterable["str | Table"]]


def table(rows: Iterable[Iterable[object]], *header: str) -> Table:
    """Return a table of plain texts; without a header, of columns that are set apart by blanks."""
    # Texts, since rich reads brackets in strings as its markup.
    made = Table(box=None) if header else Table.grid(padding=(0, 2))
    for title in header:
        made.add_column(Text(title))
    for row in rows:
        made.add_row(*(Text(str(cell)) for cell in row))
    return made


def existing(path: str, title: str = "") -> list[str]:
    """Return the line of a file, or none if it is not there because its folder cannot be written."""
    return [f"{title}{path}"] if Path(path).exists() else []


def error_text(error: float | None) -> str:
    """Return a mean squared error, or that the data were not there to measure it."""
    return "not measured, without the data" if error is None else f"{error:.6f}"


def show(output: Output, *, as_json: bool) -> None:
    """Print the output of a command."""
    record, parts = output
    for part in [json.dumps(record)] if as_json else parts:
        print(part if isinstance(part, str) else _as_text(part))


def _as_text(drawn: Table) -> str:
    # Not printed by rich, which ends the process when the reader of its output has gone.
    console = Console(soft_wrap=True)
    with console.capture() as captured:
        console.print(drawn)
    return captured.get().removesuffix("\n")


def accept_all_characters() -> None:
    """Make the standard streams escape characters that their encoding lacks, such as bytes of names of files."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


# Characters of a message: several lines of a terminal. Longer ones lose their middle, where a value stands.
LONGEST = 1200


def one_line(message: str) -> str:
    """Return a message in one line that controls no terminal, whatever names and values are in it."""
    text = "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode() for char in message
    )
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} [...] {text[-LONGEST // 2 + 7 :]}"


def flush() -> None:
    """Write what is left; a reader that has gone, as in `lorae ... | head`, is no error."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except BrokenPipeError:
            # Python flushes once more at its end, which would print the error.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
