"""Items in a file that is too large for memory: an array-like that reads the rows that are asked for."""

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lorae.errors import LoraeError
from lorae.plain_arrays import plain_array
from lorae.system.array_file import BINARY, ArrayFile, Rows
from lorae.system.files import reserve
from lorae.system.memory import check_size

# Arrays of more bytes are read from their files as they are needed. 512 MiB leave room for the network on a machine of
# 4 GiB, and nothing reads random rows as fast as memory. LORAE_IN_MEMORY, in MiB, changes it.
IN_MEMORY = 512 * 2**20
# Rows, and about the bytes, that passes over all items take at a time.
ROWS, PART_BYTES = 1024, 16 * 2**20
# A file that changed so few nanoseconds ago may change again within the resolution of its times.
SETTLED = 2 * 10**9

Change = Callable[[NDArray[Any]], NDArray[Any]]


def in_memory_bytes() -> int:
    """Return the largest size of an array that is kept in memory; LoraeError for a LORAE_IN_MEMORY that is no size."""
    given = os.environ.get("LORAE_IN_MEMORY")
    if not given:
        return IN_MEMORY
    try:
        size = float(given)
    except ValueError:
        size = -1.0
    if not 0 <= size < float("inf"):
        raise LoraeError(
            f"LORAE_IN_MEMORY: got {given!r}, expected the largest size of an array in memory in MiB, 0 or more (from "
            "the environment); unset it for the default of 512"
        )
    return int(size * 2**20)


class StoredItems:
    """Items (n, ...) in a file: indexing by integers, slices and arrays of integers reads them into a new array.

    `at` gives a view of some rows and `mapped` one of changed items, without reading any. `numpy.asarray` reads all
    items, if the memory has room for them.
    """

    def __init__(
        self,
        file: ArrayFile,
        rows: Rows | None = None,
        change: Change | None = None,
        shape: tuple[int, ...] | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        self.file, self.rows, self.change = file, range(file.shape[0]) if rows is None else rows, change
        self.shape = (len(self.rows), *(file.shape[1:] if shape is None else shape))
        self.dtype = file.dtype if dtype is None else np.dtype(dtype)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of entries."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Bytes of all items."""
        return self.size * self.dtype.itemsize

    @property
    def identity(self) -> str:
        """Digest of what the content depends on, or "" if that is not known; for all rows, unchanged."""
        return self.file.identity if self.change is None and isinstance(self.rows, range) else ""

    def __len__(self) -> int:
        return len(self.rows)

    def at(self, rows: slice | NDArray[np.int64]) -> "StoredItems":
        """Return a view of some rows."""
        return StoredItems(self.file, _chosen(self.rows, rows), self.change, self.shape[1:], self.dtype)

    def mapped(self, change: Change, shape: tuple[int, ...], dtype: DTypeLike) -> "StoredItems":
        """Return a view of items that a function makes of those that are read, with this shape of one and type."""
        first = self.change
        both = change if first is None else lambda items: change(first(items))
        return StoredItems(self.file, self.rows, both, shape, dtype)

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        if isinstance(rows, (int, np.integer)):
            place = int(rows) + (len(self) if rows < 0 else 0)
            if not 0 <= place < len(self):
                raise IndexError(f"item {rows} of {len(self)}")
            values: NDArray[Any] = self[place : place + 1][0]
            return values
        values = self.file.read(_chosen(self.rows, rows))
        return values if self.change is None else self.change(values)

    def __setitem__(self, rows: int | slice, values: NDArray[Any]) -> None:
        """Write successive items."""
        chosen = self.rows[rows : rows + 1] if isinstance(rows, int) else self.rows[rows]
        assert isinstance(chosen, range)
        assert chosen.step == 1
        assert self.change is None
        if len(chosen):
            self.file.write(chosen.start, np.broadcast_to(values, (len(chosen), *self.shape[1:])))

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("items in a file cannot become an array without a copy")
        check_size(self.nbytes, f"data: {len(self):,} items of shape {self.shape[1:]}")
        out = np.empty(self.shape, self.dtype if dtype is None else dtype)
        for rows in parts(self):
            out[rows] = self[rows]
        return out


# Items in memory, or in a file.
Items = NDArray[Any] | StoredItems


def plain_items(value: Any, title: str) -> Items:
    """Return items as `plain_array` does, and those in a file as they are; LoraeError if they are no numbers."""
    if not isinstance(value, StoredItems):
        return plain_array(value, title)
    plain_array(np.empty(0, value.dtype), title)
    return value


def parts(items: Items, most: int = ROWS) -> Iterator[slice]:
    """Yield the rows of a pass over all items: at most so many at a time, of about `PART_BYTES` together."""
    row_bytes = items.nbytes // max(1, len(items))
    step = max(1, min(most, PART_BYTES // max(1, row_bytes)))
    for start in range(0, len(items), step):
        yield slice(start, min(start + step, len(items)))


def mean_of(items: Items) -> NDArray[Any]:
    """Return the mean of items; of those in a file by sums in float64."""
    if isinstance(items, np.ndarray):
        found: NDArray[Any] = items.mean(axis=0)
        return found
    total = np.zeros(items.shape[1:])
    for rows in parts(items):
        total += items[rows].sum(axis=0, dtype=np.float64)
    return total / len(items)


def take(items: Any, rows: slice | NDArray[np.int64]) -> Any:
    """Return some rows of items: a view of stored ones, else as by indexing."""
    return items.at(rows) if isinstance(items, StoredItems) else items[rows]


def changed(items: Items, change: Change, shape: tuple[int, ...], dtype: DTypeLike) -> Items:
    """Return what a function makes of items, with this shape of one and type: a view of stored ones."""
    return items.mapped(change, shape, dtype) if isinstance(items, StoredItems) else change(items)


def largest_value(items: Items) -> Any:
    """Return the largest entry of items."""
    return max(items[rows].max() for rows in parts(items))


def opened(path: Path, shape: tuple[int, ...], dtype: DTypeLike, offset: int, identity: str = "") -> StoredItems:
    """Return the items in a file from a place on; OSError for a file that is too short."""
    file = ArrayFile.of_path(path, shape, dtype, offset, identity)
    missing = offset + shape[0] * file.row_bytes - path.stat().st_size
    if missing > 0:
        raise OSError(f"is {missing:,} bytes too short for its shape {shape}")
    return StoredItems(file)


def created(path: Path, shape: tuple[int, ...], dtype: DTypeLike, offset: int = 0) -> StoredItems:
    """Return items to be written into a file that exists, from a place on."""
    return StoredItems(ArrayFile(lambda: os.open(path, os.O_RDWR | BINARY), shape, dtype, offset))


def temporary(
    folder: Path | None,
    shape: tuple[int, ...],
    dtype: DTypeLike,
    fill: Callable[[], Iterable[NDArray[Any]]] | None = None,
    identity: str = "",
) -> StoredItems:
    """Return items in a file without a name, which ends with them; LoraeError for a disk without room.

    folder: on the disk of the file; None takes the system's for temporary files
    fill: gives the items part by part, at the first access; None leaves them to be written
    """
    needed = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize

    def make() -> int:
        handle = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        with handle:
            descriptor = os.dup(handle.fileno())
        try:
            reserve(descriptor, needed)
            if fill is not None:
                out, start = StoredItems(ArrayFile(lambda: os.dup(descriptor), shape, dtype)), 0
                for values in fill():
                    out[start : start + len(values)] = values
                    start += len(values)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    return StoredItems(ArrayFile(make, shape, dtype, identity=identity))


class Collected:
    """Items that come part by part, of a number not known before: in memory, or if they are many in a file.

    folder: as of `temporary`
    """

    def __init__(self, folder: Callable[[], Path | None]) -> None:
        self._folder, self._kept = folder, list[NDArray[Any]]()
        self._file: ArrayFile | None = None
        self._count, self._bytes = 0, 0

    def add(self, values: NDArray[Any]) -> None:
        """Add items (n, ...) of the same shape and type as those before."""
        self._kept.append(values)
        self._bytes += values.nbytes
        if self._file is None and self._bytes > in_memory_bytes():
            self._file = temporary(self._folder(), (0, *values.shape[1:]), values.dtype).file
        if self._file is None:
            return
        for part in self._kept:
            self._file.write(self._count, part)
            self._count += len(part)
        self._kept.clear()

    def items(self) -> Items:
        """Return all items, of which there must be some."""
        if self._file is None:
            return np.concatenate(self._kept)
        self._file.shape = (self._count, *self._file.shape[1:])
        return StoredItems(self._file)


def identity_of(paths: Sequence[Path], *details: object) -> str:
    """Return a digest of the places, sizes and times of change of files, or "" if one changed just now.

    Like git and make, it takes a file for unchanged whose size and times are; the time of a change of the
    file's entry is one of them, which programs cannot set back.
    """
    digest = hashlib.blake2b(repr(details).encode(), digest_size=16)
    now = time.time_ns()
    for path in paths:
        try:
            found = path.stat()
        except OSError:
            return ""
        if now - max(found.st_mtime_ns, found.st_ctime_ns) < SETTLED:
            return ""
        known = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        digest.update(f"{os.fsencode(path.absolute())!r}{known}".encode())
    return digest.hexdigest()


def _chosen(rows: Rows, chosen: Any) -> Rows:
    """Return some of some rows: a range of a range where a slice chooses, else an array of integers."""
    if isinstance(chosen, slice):
        return rows[chosen]
    places = np.asarray(chosen)
    if places.dtype.kind == "b":
        places = np.flatnonzero(places)
    if places.ndim != 1 or places.dtype.kind not in "iu":
        raise TypeError(f"items: got an index of shape {places.shape} and dtype {places.dtype}, expected rows")
    count = len(rows)
    if len(places) and not (-count <= places.min() and places.max() < count):
        raise IndexError(f"items: got rows from {places.min()} to {places.max()}, expected some of {count}")
    places = np.where(places < 0, places + count, places).astype(np.int64)
    if isinstance(rows, range):
        return places if rows.start == 0 and rows.step == 1 else rows.start + rows.step * places
    found: NDArray[np.int64] = rows[places]
    return found
