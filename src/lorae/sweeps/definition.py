"""The folder of a sweep, and `sweep.json`, which defines it. This module imports no torch.

A sweep is a folder with `sweep.json`, the runs `trials/0`, `trials/1`, ..., the database `study.db`, unless another one
is used, `records.jsonl` with the outcome of each trial, and `report.html`. The locks of its processes are in `locks/`,
the output of workers in `logs/`.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict, cast

from filelock import FileLock

from lorae.errors import LoraeError
from lorae.sweeps.space import Choices, Range, Space
from lorae.system.files import try_lock, wait_for_lock, write_atomically
from lorae.system.records import read_record_file, record_text

SCHEMA = 1
NAME = "sweep.json"


class _Values(TypedDict, total=False):
    choices: list[Any]
    low: float
    high: float
    log: bool


class Definition(TypedDict):
    """`sweep.json`: everything that decides which trainings a sweep makes, and where its database is."""

    schema: int
    version: str
    created: str
    settings: dict[str, Any]  # fixed ones
    space: dict[str, _Values]  # searched ones
    seeds: list[int]
    trials: int | None  # None for a grid
    objective: list[str]
    max_rank: int | None
    max_error: float | None
    sampler: str
    pruner: str
    fingerprint: str  # of the data with the held-out items
    study: str  # its name in the database
    storage: str | None  # URL without a password; None for `study.db`


# Entries that may differ between two calls of one sweep.
FREE = ("schema", "version", "created", "trials", "study", "storage")


class SweepFolder:
    """The folder of a sweep, which need not exist yet."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._refused = f"out: cannot write to {str(self.path)!r}"

    @property
    def exists(self) -> bool:
        """Whether there is a sweep."""
        return (self.path / NAME).is_file()

    @property
    def trials(self) -> Path:
        """Folder of the runs."""
        return self.path / "trials"

    def run_path(self, number: int) -> Path:
        """Return the run folder of a trial, which may not exist."""
        return self.trials / str(number)

    def read(self) -> Definition:
        """Return the definition; LoraeError if there is none, or it is damaged."""
        if not self.exists:
            raise LoraeError(
                f"sweep: {str(self.path)!r} is no sweep (it has no {NAME}); expected a folder that `lorae sweep` made"
            )
        found = read_record_file(self.path / NAME, Definition)
        if found["schema"] > SCHEMA:
            raise LoraeError(f"{self.path / NAME}: is of a later version of lorae ({found['version']}); update lorae")
        return cast(Definition, found)

    def write(self, definition: Definition) -> None:
        """Write the definition."""
        write_atomically(self.path / NAME, record_text(definition, indent=2).encode())

    @contextlib.contextmanager
    def deciding(self) -> Iterator[None]:
        """Hold the lock under which trials are made and given to workers, after waiting for it."""
        with wait_for_lock(self.path / "locks" / "decide.lock", self._refused, "choose another folder"):
            yield

    def claim(self, number: int) -> FileLock | None:
        """Lock a trial for this process; None while a living process has it."""
        return try_lock(self.path / "locks" / f"{number}.lock", self._refused)


def space_of(definition: Definition) -> Space:
    """Return the fixed and the searched settings of a sweep."""
    searched: dict[str, Choices | Range] = {}
    for name, values in definition["space"].items():
        if "choices" in values:
            searched[name] = Choices(tuple(values["choices"]))
        else:
            searched[name] = Range(values["low"], values["high"], values.get("log", False))
    return Space(definition["settings"], searched)


def refuse_other(found: Definition, asked: Definition, folder: Path) -> None:
    """Raise LoraeError if a folder has the sweep of another definition."""
    differing = [name for name in asked if name not in FREE and found[name] != asked[name]]  # type: ignore[literal-required]
    if not differing:
        return
    pairs = []
    for name in differing:
        theirs, ours = found[name], asked[name]  # type: ignore[literal-required]
        if isinstance(theirs, dict) and isinstance(ours, dict):
            for part in dict.fromkeys([*theirs, *ours]):
                if theirs.get(part) != ours.get(part):
                    pairs.append(f"{part} {theirs.get(part, 'not given')} there, {ours.get(part, 'not given')} here")
        elif name == "fingerprint":
            pairs.append("the data have changed")
        else:
            pairs.append(f"{name} {theirs} there, {ours} here")
    raise LoraeError(
        f"out: {str(folder)!r} has a sweep with other settings: {'; '.join(pairs)}; choose another folder, or "
        f"continue it by resume={str(folder)!r}",
        settings={"resume": str(folder)},
    )
