"""Results of the measures of a run as one record, `evaluation.json`, to which several processes may add."""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lorae.runs.schema import Evaluation, read_record, write_record
from lorae.system.files import CannotWriteError, wait_for_lock
from lorae.system.records import check_type

# Key of the number of lines of `stats.jsonl` at the end of the training, by which a cut one is noticed.
LOG_LINES = "log_lines"


class EvaluationFile:
    """A record of results by measure; results that cannot be written stay in memory."""

    def __init__(self, path: Path, lock: Path) -> None:
        self.path = path
        self._lock = lock
        self._unwritten: dict[str, Any] = {}

    def read(self) -> dict[str, Any]:
        """Return the results, with those that could not be written."""
        entries = self._record() | self._unwritten
        kept = {name: entry for name, entry in entries.items() if name not in ("schema", LOG_LINES)}
        return {name: entry for name, entry in kept.items() if entry is not None}

    @property
    def log_lines(self) -> int | None:
        """Number of lines of the statistics at the end of the training; None if it is not known."""
        lines: int | None = self._record().get(LOG_LINES)
        return lines

    def add(self, results: Mapping[str, Any], log_lines: int | None) -> None:
        """Add or replace results, after other writers; None removes one, unwritten ones stay."""
        # What readers refuse is not written: the file could not be read by anything afterwards.
        check_type(json.loads(json.dumps(dict(results))), Evaluation, f"{self.path}: the results are not written")
        self._unwritten |= results
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(CannotWriteError):  # the write below says it in its own words
                stack.enter_context(wait_for_lock(self._lock, f"run: cannot write to {str(self.path.parent)!r}", ""))
            write_record(self.path, {**self.read(), LOG_LINES: log_lines})
        self._unwritten.clear()

    def remove(self) -> None:
        """Delete all results."""
        self.path.unlink(missing_ok=True)
        self._unwritten.clear()

    def _record(self) -> dict[str, Any]:
        return read_record("evaluation", self.path) if self.path.exists() else {}
