"""The cells of a study: each measured once by its whole configuration, kept on disk, worked off by many processes.

There is no queue to keep: a cell is open where its file is missing, and taken where its lock (`filelock`) is held; the
system lets go of that when a process dies. Optuna, the usual choice, keeps a killed trial as running: its storage in a
shared folder had no heartbeat in 2026 (github.com/optuna/optuna/issues/6615). Its databases have one, which frees a
trial after a grace period and may take a living one for dead (issues/4234), and on several machines they need a server.
"""

import contextlib
import hashlib
import json
import platform
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorae import __version__
from lorae.errors import LoraeError
from lorae.system.files import try_lock, write_atomically
from lorae.system.hardware import card

Configuration = dict[str, Any]
Record = dict[str, Any]
# Configuration -> result, plain JSON values. A function of a module, so that another process can be told its name.
Measure = Callable[[Configuration], dict[str, Any]]

# Version of the layout of a record.
SCHEMA = 1


class BusyError(Exception):
    """A cell needs something that another process is at: it is tried again later."""


@dataclass(frozen=True)
class Job:
    """One measurement: a name for people, and everything that decides the result, as plain JSON values."""

    name: str
    configuration: Configuration

    @property
    def key(self) -> str:
        """Hexadecimal digest of the configuration, whatever the order of its entries."""
        return digest(self.configuration, 16)


def digest(configuration: Configuration, size: int) -> str:
    """`size` bytes that tell configurations apart, as hexadecimal digits; the order of entries plays no part."""
    text = json.dumps(configuration, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=size).hexdigest()


@dataclass(frozen=True)
class State:
    """How far a plan is. done: cells; running: names; left: cells, with those running; seconds: of the finished."""

    done: int
    running: list[str]
    left: int
    seconds: list[float]

    def time_to_go(self, workers: int) -> float | None:
        """Seconds that the cells left would take as long as the finished ones did; None before there is one."""
        return self.left * statistics.fmean(self.seconds) / workers if self.seconds else None


class ResultStore:
    """A study's folder: `cells/KEY.json` while cells are worked off, then `records.jsonl`, a line for each of the plan.

    A line of an earlier `records.jsonl` is a finished cell as well: a folder under version control needs no `cells/`.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.records_path = self.folder / "records.jsonl"

    def records(self) -> list[Record]:
        """What `records.jsonl` holds; LoraeError where it is not there or not readable."""
        try:
            lines = self.records_path.read_text(encoding="utf-8").splitlines()
            records: list[Record] = [json.loads(line) for line in lines]
        except FileNotFoundError:
            hint = "it is written when a study ends or is interrupted"
            raise LoraeError(f"out: {str(self.folder)!r} holds no {self.records_path.name}; {hint}") from None
        except (OSError, ValueError) as error:
            raise LoraeError(f"{self.records_path}: not readable as lines of JSON ({error})") from None
        for number, record in enumerate(records, start=1):
            if not _is_record(record):
                raise LoraeError(f"{self.records_path}: line {number} is no record of a cell")
        return records

    def finished(self) -> dict[str, Record]:
        """Every record there is, by its key; of a cell whose file is damaged there is none."""
        found = self.records() if self.records_path.exists() else []
        found += [record for path in (self.folder / "cells").glob("*.json") if (record := _read(path)) is not None]
        return {record["key"]: record for record in found}

    def has(self, cell: Job) -> bool:
        """Whether a cell is finished, by its file in `cells/`."""
        return _read(self._path(cell)) is not None

    def write(self, cell: Job, result: dict[str, Any], seconds: float) -> None:
        """Keep the result of a cell, with where it comes from."""
        import torch

        record = {
            "schema": SCHEMA,
            "name": cell.name,
            "key": cell.key,
            "configuration": cell.configuration,
            "result": result,
            "seconds": round(seconds, 2),
            "version": __version__,
            "machine": {"torch": torch.__version__, "processor": platform.machine()} | card(),
        }
        write_atomically(self._path(cell), (json.dumps(record) + "\n").encode())

    @contextlib.contextmanager
    def claimed(self, cell: Job) -> Iterator[bool]:
        """True while no other process works on the cell, False at once where one does; a dead one's claim is void."""
        lock = try_lock(self._path(cell).with_suffix(".lock"), f"out: cannot write to {str(self.folder)!r}")
        if lock is None:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def gather(self, cells: Sequence[Job]) -> list[Record]:
        """Write every finished record to `records.jsonl`, those of these cells first, in their order; they."""
        finished = self.finished()
        keys = [key for key in dict.fromkeys(cell.key for cell in cells) if key in finished]
        lines = [json.dumps(finished[key]) + "\n" for key in dict.fromkeys([*keys, *finished])]
        write_atomically(self.records_path, "".join(lines).encode())
        return [finished[key] for key in keys]

    def state(self, cells: Sequence[Job]) -> "State":
        """Which of the cells are finished, which are being worked on, and which are left."""
        finished = self.finished()
        open_cells = [cell for cell in cells if cell.key not in finished]
        running = [cell for cell in open_cells if self._is_claimed(cell)]
        seconds = [finished[cell.key]["seconds"] for cell in cells if cell.key in finished]
        return State(len(cells) - len(open_cells), [cell.name for cell in running], len(open_cells), seconds)

    def _is_claimed(self, cell: Job) -> bool:
        if not self._path(cell).with_suffix(".lock").exists():
            return False
        with self.claimed(cell) as free:
            return not free

    def _path(self, cell: Job) -> Path:
        return self.folder / "cells" / f"{cell.key}.json"


def _read(path: Path) -> Record | None:
    try:
        record: Record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if _is_record(record) else None


def _is_record(value: Any) -> bool:
    return isinstance(value, dict) and {"name", "key", "configuration", "result", "seconds"} <= set(value)
