"""Statistics of a training as lines of JSON, `stats.jsonl` in a run folder."""

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lorae.errors import LoraeError
from lorae.system.files import read_file, write_atomically


class StatisticsFile:
    """A file of records; lines that cannot be written wait in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._unwritten: list[str] = []

    def append(self, record: dict[str, Any]) -> None:
        """Append a line, after those that wait."""
        self._unwritten.append(json.dumps(record) + "\n")
        size = self.path.stat().st_size if self.path.exists() else 0
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.writelines(self._unwritten)
            self._unwritten.clear()
        except OSError:
            with contextlib.suppress(OSError):
                os.truncate(self.path, size)  # a full disk may have taken a part of a line

    def read(self, event: str | None = None) -> Iterator[dict[str, Any]]:
        """Yield the records, or those of one event."""
        content = read_file(self.path) if self.path.exists() else b""
        # A kill may have cut off the last line, which is left out, even within a character: hence bytes.
        *lines, _ = (content + "".join(self._unwritten).encode()).split(b"\n")
        for number, line in enumerate(lines, start=1):
            try:
                record = json.loads(line)
                wanted = event in (None, record["event"])
            except (ValueError, KeyError, TypeError) as error:
                raise LoraeError(f"{self.path}, line {number}: not a record of training ({error!r})") from None
            if wanted:
                yield record

    def replace(self, records: Iterable[dict[str, Any]]) -> None:
        """Write these records in place of all."""
        write_atomically(self.path, "".join(json.dumps(record) + "\n" for record in records).encode())
