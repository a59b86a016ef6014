"""Jobs of a study: each is measured once, identified by its whole configuration, and recorded on disk.

A job is open while its file is missing, and taken while its lock (`filelock`) is held, which the system releases when a
process dies. Optuna has no such release: in a shared folder killed trials stay running
(github.com/optuna/optuna/issues/6615, 2026), and the heartbeat of its databases, which need a server for several
machines, may take a living trial for dead (issues/4234).
"""

import contextlib
import hashlib
import json
import platform
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from lorae import __version__
from lorae.config.settings import RENAMED
from lorae.errors import LoraeError
from lorae.system.faults import reason_of
from lorae.system.files import read_file, sweep, try_lock, write_atomically
from lorae.system.hardware import card
from lorae.system.records import Record as Record
from lorae.system.records import parse_record, read_record_file, record_text

Configuration = dict[str, Any]
# Configuration -> result, plain JSON values. A function of a module, so that another process can import it by name.
Measure = Callable[[Configuration], dict[str, Any]]

# Version of the layout of a record; records without one have the same layout.
SCHEMA = 1


class JobRecord(TypedDict):
    """A measurement on disk; further keys tell the version and the machine."""

    name: str
    key: str
    configuration: Configuration
    result: dict[str, Any]
    seconds: float


class BusyError(Exception):
    """A job needs something that another process holds; it is tried again later."""


@dataclass(frozen=True)
class Job:
    """One measurement: a name for people, and everything that decides the result, as plain JSON values."""

    name: str
    configuration: Configuration

    @property
    def key(self) -> str:
        """Hexadecimal digest of the configuration, independent of the order of its entries."""
        return digest(self.configuration, 16)


def digest(configuration: Configuration, size: int) -> str:
    """Return a digest of `size` bytes as hexadecimal digits, independent of the order of entries."""
    text = json.dumps(configuration, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=size).hexdigest()


def migrate(record: Record) -> Record:
    """Return a record with today's names of settings and their key; a record without former names as it is.

    The settings of a training are in `configuration.model.settings`, in the study `dimension` in
    `configuration.settings`.
    """
    configuration = _rename(record["configuration"])
    if configuration == record["configuration"]:
        return record
    return record | {"configuration": configuration, "key": digest(configuration, 16)}


def _rename(values: dict[str, Any]) -> dict[str, Any]:
    renamed = dict(values)
    for place in ("model", "settings"):
        if isinstance(values.get(place), dict):
            renamed[place] = _rename(values[place])
    return {RENAMED.get(name, name): value for name, value in renamed.items()}


@dataclass(frozen=True)
class State:
    """Progress of a study: number done, names running, number left with the running ones, seconds per finished job."""

    done: int
    running: list[str]
    left: int
    seconds: list[float]

    def time_to_go(self, workers: int) -> float | None:
        """Return the expected seconds until the end, from the mean of the finished jobs; None without one."""
        return self.left * statistics.fmean(self.seconds) / workers if self.seconds else None


class ResultStore:
    """Folder of a study: `jobs/KEY.json` while the study runs, then `records.jsonl`, one line a record.

    A line of an earlier `records.jsonl` is a finished job as well: a folder under version control needs no `jobs/`.
    Files in `cells/`, the earlier name of `jobs/`, are read.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.records_path = self.folder / "records.jsonl"

    def records(self) -> list[Record]:
        """Return the records of `records.jsonl`; raise LoraeError if it is missing or not readable."""
        try:
            lines = read_file(self.records_path).split(b"\n")
        except FileNotFoundError:
            hint = "it is written when a study ends or is interrupted"
            raise LoraeError(f"out: {str(self.folder)!r} holds no {self.records_path.name}; {hint}") from None
        except OSError as error:
            raise LoraeError(f"{self.records_path}: cannot be read ({reason_of(error)})") from None
        return [
            migrate(parse_record(line, JobRecord, f"{self.records_path}, line {number}"))
            for number, line in enumerate(lines, start=1)
            if line.strip()
        ]

    def finished(self) -> dict[str, Record]:
        """Return every record by its key; damaged files of single jobs are left out, so that these run again."""
        found = self.records() if self.records_path.exists() else []
        paths = [path for name in ("cells", "jobs") for path in (self.folder / name).glob("*.json")]
        found += [record for path in paths if (record := _read(path)) is not None]
        return {record["key"]: record for record in found}

    def has(self, job: Job) -> bool:
        """Return whether a job is finished, by its file in `jobs/`."""
        return _read(self._path(job)) is not None

    def write(self, job: Job, result: dict[str, Any], seconds: float) -> None:
        """Write the record of a job: result, duration, version and machine."""
        import torch

        record = {
            "schema": SCHEMA,
            "name": job.name,
            "key": job.key,
            "configuration": job.configuration,
            "result": result,
            "seconds": round(seconds, 2),
            "version": __version__,
            "machine": {"torch": torch.__version__, "processor": platform.machine()} | card(),
        }
        write_atomically(self._path(job), _line(record).encode())

    @contextlib.contextmanager
    def claimed(self, job: Job) -> Iterator[bool]:
        """Lock a job for this process: True if it is free, False at once if another living process holds it."""
        lock = try_lock(self._path(job).with_suffix(".lock"), f"out: cannot write to {str(self.folder)!r}")
        if lock is None:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def gather(self, jobs: Sequence[Job]) -> list[Record]:
        """Write every record to `records.jsonl`, those of these jobs first, and return theirs in the jobs' order.

        Without jobs it rewrites the file in its own order, with all records migrated.
        """
        sweep(self.folder / "jobs")
        finished = self.finished()
        keys = [key for key in dict.fromkeys(job.key for job in jobs) if key in finished]
        lines = [_line(finished[key]) for key in dict.fromkeys([*keys, *finished])]
        write_atomically(self.records_path, "".join(lines).encode())
        return [finished[key] for key in keys]

    def state(self, jobs: Sequence[Job]) -> "State":
        """Return the progress: which of the jobs are finished, running and left."""
        finished = self.finished()
        left = [job for job in jobs if job.key not in finished]
        running = [job.name for job in left if self._is_claimed(job)]
        seconds = [finished[job.key]["seconds"] for job in jobs if job.key in finished]
        return State(len(jobs) - len(left), running, len(left), seconds)

    def _is_claimed(self, job: Job) -> bool:
        if not self._path(job).with_suffix(".lock").exists():
            return False
        with self.claimed(job) as free:
            return not free

    def _path(self, job: Job) -> Path:
        return self.folder / "jobs" / f"{job.key}.json"


def _read(path: Path) -> Record | None:
    try:
        return migrate(read_record_file(path, JobRecord))
    except LoraeError:
        return None


def _line(record: Record) -> str:
    """Return the line of a record, with its checksum."""
    return record_text(record)
