"""The records of a run on a GPU: one line of JSON each, added as they are measured, so that a cut costs nothing."""

import gc
import json
import os
import platform
import time
import traceback
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

SCHEMA = 1
NAME = "records.jsonl"


@cache
def machine() -> dict[str, Any]:
    """The card, its driver and the versions that every record carries."""
    import torch

    found: dict[str, Any] = {"torch": torch.__version__, "python": platform.python_version(), "card": "none (CPU)"}
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        found |= {
            "card": properties.name,
            "multiprocessors": properties.multi_processor_count,
            "memory_gib": round(properties.total_memory / 2**30, 1),
            "cuda": torch.version.cuda,
        }
    return found


class Records:
    """Records in a folder; `measure` takes what is not there yet. An error is a record that is taken again."""

    def __init__(self, folder: Path, part: str = "") -> None:
        self.path = folder / NAME
        self.part = part

    def all(self) -> list[dict[str, Any]]:
        """Every record, of several of one name the last; a line that was cut off is left out."""
        found = {}
        for line in self.path.read_text().splitlines() if self.path.exists() else []:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            found[record["part"], record["name"]] = record
        return list(found.values())

    def has(self, name: str) -> bool:
        """Whether this part has a record of that name without an error."""
        return any(r["part"] == self.part and r["name"] == name and "error" not in r for r in self.all())

    def add(self, name: str, result: dict[str, Any]) -> None:
        """Append a record in one write."""
        record = {"schema": SCHEMA, "part": self.part, "name": name, **machine(), "result": result}
        self._append(record)

    def fail(self, name: str, error: BaseException) -> None:
        """Append what went wrong."""
        text = "".join(traceback.format_exception(error))
        self._append({"schema": SCHEMA, "part": self.part, "name": name, **machine(), "error": text[-3000:]})

    def measure(self, name: str, take: Callable[[], dict[str, Any]], *, again: bool = False) -> None:
        """Take a measurement unless it is there; an error is recorded, and the next one goes on. again: even then."""
        if self.has(name) and not again:
            return
        gc.collect()  # or the peak memory would be that of earlier measurements too
        started = time.perf_counter()
        try:
            result = take()
        except Exception as error:  # one measurement of many
            print(f"{self.part}: {name}: {type(error).__name__}: {str(error).splitlines()[:1]}", flush=True)
            self.fail(name, error)
            return
        self.add(name, result | {"seconds": round(time.perf_counter() - started, 2)})
        print(f"{self.part}: {name}: {time.perf_counter() - started:.1f} s", flush=True)

    def _append(self, record: dict[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(file, (json.dumps(record) + "\n").encode())
        finally:
            os.close(file)
