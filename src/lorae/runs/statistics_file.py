"""Statistics of a training as lines of JSON, `stats.jsonl` in a run folder."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lorae.errors import LoraeError
from lorae.runs.schema import Statistic
from lorae.system.faults import reason_of
from lorae.system.files import read_file, write_atomically
from lorae.system.records import KEY, parse_record, record_text

# Bytes of a file of statistics: millions of lines.
LARGEST_STATISTICS = 2**30


class StatisticsFile:
    """A file of records; lines that cannot be written wait in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._unwritten: list[str] = []

    def append(self, record: dict[str, Any]) -> None:
        """Append a line, after those that wait; RecordError for a record that could not be read again."""
        line = _line(record)
        parse_record(line, Statistic, f"{self.path}: a record is not written")
        self._unwritten.append(line)
        size = self.path.stat().st_size if self.path.exists() else 0
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.writelines(self._unwritten)
            self._unwritten.clear()
        except OSError:
            with contextlib.suppress(OSError):
                os.truncate(self.path, size)  # a full disk may have taken a part of a line

    @property
    def lines(self) -> int:
        """Number of complete lines of the file."""
        return self._content().count(b"\n")

    def _content(self) -> bytes:
        try:
            return read_file(self.path, LARGEST_STATISTICS) if self.path.exists() else b""
        except OSError as error:
            raise LoraeError(f"{self.path}: cannot be read ({reason_of(error)})") from None

    def read(self, event: str | None = None, expected: int | None = None) -> Iterator[dict[str, Any]]:
        """Yield the records, or those of one event; LoraeError with the first line that is none.

        expected: number of lines, where it is known; LoraeError for another one
        """
        content = self._content()
        found = content.count(b"\n")
        if expected not in (None, found):
            raise LoraeError(
                f"{self.path}: has {found} lines, expected {expected}: it was cut after the training; restore it, or "
                f"delete the keys log_lines and {KEY} of evaluation.json to use it as it is"
            )
        # A kill may have cut off the last line, which is left out, even within a character: hence bytes.
        *lines, _ = (content + "".join(self._unwritten).encode()).split(b"\n")
        for number, line in enumerate(lines, start=1):
            record = parse_record(line, Statistic, f"{self.path}, line {number}: not a record of training")
            if event in (None, record["event"]):
                yield record

    def replace(self, records: Iterable[dict[str, Any]]) -> None:
        """Write these records in place of all."""
        write_atomically(self.path, "".join(map(_line, records)).encode())
        self._unwritten.clear()


def _line(record: dict[str, Any]) -> str:
    """Return the line of a record, with its checksum."""
    return record_text(record)
