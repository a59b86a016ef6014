"""Rows in a file, read and written at any place."""

import mmap
import os
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lorae.errors import LoraeError
from lorae.system.faults import reason_of
from lorae.system.files import CannotWriteError

# Bytes between two rows that are read along with them: the system reads whole pages of 4 KiB anyway.
GAP = 4096
# Bytes from which on an array has memory of its own.
LARGE = 2**20
ROOM = "; set LORAE_CACHE to a folder with more room"
# Windows would change line ends without it.
BINARY = getattr(os, "O_BINARY", 0)

Rows = range | NDArray[np.int64]


class ArrayFile:
    """Rows of one shape and type that follow each other in a file, read and written at any place by any thread.

    open_file: returns a descriptor; called at the first access
    path: of the file, for messages; None for a temporary one
    identity: digest of what the content depends on, such as place, size and time of change of a file, or "" if that is
        not known
    """

    def __init__(
        self,
        open_file: Callable[[], int],
        shape: tuple[int, ...],
        dtype: DTypeLike,
        offset: int = 0,
        path: Path | None = None,
        identity: str = "",
    ) -> None:
        self.shape, self.dtype, self.offset = shape, np.dtype(dtype), offset
        self.path, self.identity = path, identity
        self.row_bytes = int(np.prod(shape[1:], dtype=np.int64)) * self.dtype.itemsize
        self._open, self._descriptor, self._found = open_file, -1, (0, 0)
        self._lock = threading.Lock()

    @classmethod
    def of_path(
        cls, path: Path, shape: tuple[int, ...], dtype: DTypeLike, offset: int = 0, identity: str = ""
    ) -> "ArrayFile":
        """Return the rows in a file that is only read."""
        return cls(lambda: os.open(path, os.O_RDONLY | BINARY), shape, dtype, offset, path, identity)

    def read(self, rows: Rows) -> NDArray[Any]:
        """Return rows as a new array; LoraeError if the file cannot be read or has changed since it was opened."""
        out = _new_array((len(rows), *self.shape[1:]), self.dtype)
        if len(rows) == 0 or self.row_bytes == 0:
            return out
        target = out.reshape(len(rows), -1).view(np.uint8)
        descriptor = self._opened()
        try:
            if isinstance(rows, range) and (rows.step == 1 or len(rows) == 1):
                self._read_into(descriptor, target, rows.start)
            else:
                self._read_scattered(descriptor, target, np.asarray(rows, dtype=np.int64))
            self._check_unchanged(descriptor)
        except OSError as error:
            raise LoraeError(f"data: cannot read {self._name()}: {reason_of(error)}") from None
        return out

    def write(self, start: int, values: NDArray[Any]) -> None:
        """Write successive rows; CannotWriteError if the system refuses."""
        content = np.ascontiguousarray(values, dtype=self.dtype).data.cast("B")
        descriptor, place = self._opened(), self.offset + start * self.row_bytes
        try:
            while len(content):
                written = self._write_at(descriptor, content, place)
                content, place = content[written:], place + written
        except OSError as error:
            raise CannotWriteError(f"cannot write {self._name()}: {reason_of(error)}{ROOM}") from None

    def flush(self) -> None:
        """Have the system write what it holds of the file to the disk."""
        os.fsync(self._opened())

    def __reduce__(self) -> Any:
        if self.path is None:
            raise TypeError("items in a temporary file belong to one process")
        return _reopened, (self.path, self.shape, self.dtype.str, self.offset, self.identity)

    def _name(self) -> str:
        return "a temporary file of items" if self.path is None else str(self.path)

    def _opened(self) -> int:
        with self._lock:
            if self._descriptor < 0:
                try:
                    self._descriptor = self._open()
                except OSError as error:
                    advice = ROOM if self.path is None else ""
                    raise LoraeError(f"data: cannot open {self._name()}: {reason_of(error)}{advice}") from None
                weakref.finalize(self, os.close, self._descriptor)
                self._found = _size_and_time(self._descriptor)
            return self._descriptor

    def _check_unchanged(self, descriptor: int) -> None:
        if self.path is not None and _size_and_time(descriptor) != self._found:
            raise LoraeError(
                f"data: {self.path} was changed while it was read, expected the same content throughout; leave the "
                "file as it is until the end, or work on a copy"
            )

    def _read_scattered(self, descriptor: int, target: NDArray[np.uint8], rows: NDArray[np.int64]) -> None:
        """Read rows in ascending order, those that are close to each other at once."""
        places = np.arange(len(rows)) if (rows[1:] > rows[:-1]).all() else np.argsort(rows, kind="stable")
        ordered = rows[places]
        ends = np.flatnonzero((np.diff(ordered) - 1) * self.row_bytes > GAP) + 1
        starts = [0, *ends.tolist()]
        for first, last in zip(starts, [*ends.tolist(), len(rows)], strict=True):
            begin, end = int(ordered[first]), int(ordered[last - 1]) + 1
            if end - begin == 1:
                place = int(places[first])
                self._read_into(descriptor, target[place : place + 1], begin)
                target[places[first + 1 : last]] = target[place]
                continue
            window = _new_array((end - begin, self.row_bytes), np.dtype(np.uint8))
            self._read_into(descriptor, window, begin)
            target[places[first:last]] = window[ordered[first:last] - begin]

    def _read_into(self, descriptor: int, target: NDArray[np.uint8], start: int) -> None:
        place, left = self.offset + start * self.row_bytes, target.data.cast("B")
        while len(left):
            found = self._read_at(descriptor, left, place)
            if found == 0:
                raise OSError(f"it ends in the middle of item {start + (len(target) - 1)}")
            left, place = left[found:], place + found

    def _read_at(self, descriptor: int, target: memoryview, place: int) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(descriptor, [target], place)
        with self._lock:  # systems whose files have one position
            os.lseek(descriptor, place, os.SEEK_SET)
            content = os.read(descriptor, len(target))
        target[: len(content)] = content
        return len(content)

    def _write_at(self, descriptor: int, content: memoryview, place: int) -> int:
        if hasattr(os, "pwrite"):
            return os.pwrite(descriptor, content, place)
        with self._lock:
            os.lseek(descriptor, place, os.SEEK_SET)
            return os.write(descriptor, content)


def _new_array(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return a new array. A large one has memory of its own, which goes back to the system with it.

    In the memory of `malloc`, which a training keeps (`keep_freed_memory`), what a thread reads would lie between the
    buffers of steps.
    """
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if size < LARGE:
        return np.empty(shape, dtype)
    return np.frombuffer(mmap.mmap(-1, size), dtype).reshape(shape)


def _reopened(path: Path, shape: tuple[int, ...], dtype: str, offset: int, identity: str) -> ArrayFile:
    return ArrayFile.of_path(path, shape, dtype, offset, identity)


def _size_and_time(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_size, found.st_mtime_ns
