"""The cache of prepared data: folders keyed by content and settings, built once and renamed into place."""

import contextlib
import errno
import hashlib
import json
import math
import os
import shutil
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lorae.data.dataset import Dataset, Split
from lorae.data.npy_files import npy_header, npy_start
from lorae.errors import LoraeError, LoraeWarning
from lorae.system.array_file import ROOM
from lorae.system.faults import reason_of
from lorae.system.files import (
    PARTIAL,
    CannotWriteError,
    allocate,
    staged_folder,
    sweep,
    temporary_cache,
    temporary_folder,
    try_lock,
    wait_for_lock,
    write_atomically,
    writing,
)
from lorae.system.files import cache_root as cache_root
from lorae.system.memory import check_size
from lorae.system.progress import progress_bar
from lorae.system.records import RecordError, check_type, read_record_file, record_text
from lorae.system.stored_items import (
    Items,
    StoredItems,
    created,
    in_memory_bytes,
    largest_value,
    opened,
    parts,
    temporary,
)

FORMAT_VERSION = 1
Facts = TypeVar("Facts")
Part = Literal["train", "test"]
PARTS: tuple[Part, Part] = ("train", "test")


@dataclass(frozen=True)
class DatasetInfo:
    """Description of prepared data, kept in `info.json`.

    skipped: reason by file name, of files that cannot be decoded
    peak: the largest byte of images of users
    """

    source: str
    checksums: dict[str, str] = field(default_factory=dict)
    intrinsic_dimension: int | None = None
    skipped: dict[str, str] = field(default_factory=dict)
    peak: int | None = None


class DatasetBuilder:
    """Arrays of two splits under preparation, in a folder or (None) in memory, large ones in a temporary file."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.arrays: dict[str, Items] = {}

    def create(self, part: Part, shape: tuple[int, ...], dtype: DTypeLike) -> Items:
        """Return new items for the inputs of one split; LoraeError for an empty split and for a full disk."""
        if shape[0] == 0:
            raise LoraeError(f"data: the {part} split is empty, expected at least 1 item")
        self.arrays[part] = self._new(part, shape, np.dtype(dtype))
        return self.arrays[part]

    def fill(
        self,
        part: Part,
        shape: tuple[int, ...],
        dtype: DTypeLike,
        make: Callable[[slice], NDArray[Any]],
        title: str = "",
    ) -> None:
        """Create the inputs of one split from `make(rows)`, with a progress bar if it has a title."""
        out = self.create(part, shape, dtype)
        with progress_bar(quiet=not title) as bar:
            task = bar.add_task(title, total=shape[0], note="")
            for rows in parts(out):
                out[rows] = make(rows)
                bar.update(task, completed=rows.stop)

    def keep_rows(self, part: Part, rows: NDArray[np.int64]) -> None:
        """Keep only the given rows of a split's inputs and labels. The array from `create` is invalid afterwards."""
        labels = f"{part}_labels"
        if labels in self.arrays:
            self.arrays[labels] = self.arrays[labels][rows]
        old = self.arrays.pop(part)
        if self.folder is None and isinstance(old, np.ndarray):
            self.arrays[part] = old[rows]
            return
        kept = self._new(f"{part}-kept", (len(rows), *old.shape[1:]), old.dtype)
        for chunk in parts(kept):
            kept[chunk] = old[rows[chunk]]
        if self.folder is None:
            self.arrays[part] = kept
            return
        # Some systems replace no file that is mapped or open.
        del kept, old
        path = (self.folder / f"{part}-kept.npy").replace(self.folder / f"{part}.npy")
        self.arrays[part] = _read_array(path, mode="r+")

    def set_labels(self, part: Part, labels: NDArray[Any]) -> None:
        """Give one split its labels, (n,), stored as int64; LoraeError for one that is too large for that."""
        if len(labels) and int(labels.max()) > np.iinfo(np.int64).max:
            raise LoraeError(f"data: got a label of {labels.max()}, expected at most {np.iinfo(np.int64).max}")
        self.arrays[f"{part}_labels"] = np.ascontiguousarray(labels, dtype=np.int64)

    def peak(self) -> int:
        """Return the largest value of the inputs of all splits."""
        return max(int(largest_value(self.arrays[part])) for part in PARTS if part in self.arrays)

    def finish(self, folder: Path) -> dict[str, str]:
        """Write all arrays and close their files, so that the folder can be renamed; return checksums by name."""
        sums = {}
        for name, array in self.arrays.items():
            sums[name] = _checksum(array)
            path = folder / f"{name}.npy"
            with writing(path, ROOM):
                if isinstance(array, StoredItems):
                    array.file.flush()
                elif isinstance(array, np.memmap):
                    array.flush()
                else:
                    np.save(path, array)
        self.arrays.clear()
        return sums

    def _new(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Items:
        needed = math.prod(shape) * dtype.itemsize
        if self.folder is None and needed > in_memory_bytes():
            return temporary(temporary_folder(), shape, dtype)
        if self.folder is None:
            check_size(needed, f"data: {shape[0]:,} items of shape {shape[1:]}")
            return np.empty(shape, dtype)
        path, free = self.folder / f"{name}.npy", shutil.disk_usage(self.folder).free
        try:
            if needed > free:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return _new_file(path, shape, dtype)
        except OSError as error:
            raise LoraeError(
                f"cache: {self.folder.parent} has {free / 2**20:.0f} MiB free, expected {needed / 2**20:.0f} MiB "
                f"({reason_of(error)}){ROOM}"
            ) from None


def _new_file(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Items:
    """Return the items of a new .npy file that has all of its room; OSError if the disk has too little."""
    start = npy_start(shape, dtype)
    allocate(path, len(start) + math.prod(shape) * dtype.itemsize)
    with path.open("r+b") as file:
        file.write(start)
    return _read_array(path, mode="r+")


def content_key(source: str, content: str, **preparation: Any) -> str:
    """Return the hexadecimal digest of a source's content, all settings of its preparation, and the cache format."""
    described = {"format": FORMAT_VERSION, "source": source, "content": content, **preparation}
    text = json.dumps(described, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def cached(
    name: str, key: str, prepare: Callable[[DatasetBuilder], DatasetInfo], limited: int | None = None
) -> tuple[Dataset, DatasetInfo]:
    """Return the data of a key from the cache, after preparing them if they are not in it.

    limited: number of training items, the first ones, if `prepare` makes no more
    """
    folder = _folder(key)
    if limited is not None and not folder.exists():
        folder = _folder(key, limited)

    def build(partial: Path) -> None:
        workspace = DatasetBuilder(partial)
        facts = vars(prepare(workspace))
        sums = workspace.finish(partial)
        files = {name: list(_size_and_time(partial / f"{name}.npy")) for name in sums}
        _write(partial / "info.json", {"name": name, **facts, "arrays": sums, "files": files})

    return _read(name, key, build_folder(folder, build))


def stored(name: str, key: str, limited: int | None = None) -> Dataset | None:
    """Return the data of a key from the cache, or None if they are not in it; `limited` as in `cached`."""
    folders = [_folder(key), _folder(key, limited)] if key else []
    return next((_read(name, key, folder)[0] for folder in folders if folder.exists()), None)


def _folder(key: str, limited: int | None = None) -> Path:
    return cache_root() / "data" / (key if limited is None else f"{key}-first-{limited}")


def _write(path: Path, record: dict[str, Any]) -> None:
    write_atomically(path, record_text(record, indent=1).encode())


def _read(name: str, key: str, folder: Path) -> tuple[Dataset, DatasetInfo]:
    try:
        info = read_record_file(folder / "info.json", dict)
        info.pop("name", None)
        sums = info.pop("arrays", None)  # caches of earlier versions have none
        files = info.pop("files", None)
        check_type(sums, dict[str, str] | None, "info.json: arrays")
        check_type(files, dict[str, list[int]] | None, "info.json: files")
        check_type(info, DatasetInfo, "info.json")
        facts = DatasetInfo(**info)
        arrays = {path.stem: _read_array(path) for path in folder.glob("*.npy")}
        if sums is not None:
            _check(folder, arrays, sums, files or {})
        return _dataset(name, key, arrays, facts), facts
    except Exception as error:  # NumPy raises many kinds for a damaged file
        raise LoraeError(
            f"cache: {folder} is damaged ({reason_of(error)}); delete this folder and run again"
        ) from error


# Files, with size and time of change, whose arrays have been compared with their checksums in this process.
_checked: set[tuple[Path, int, int]] = set()


def _check(folder: Path, arrays: dict[str, Items], sums: dict[str, str], files: dict[str, list[int]]) -> None:
    """Raise ValueError for arrays that are not those that were written; each is read once in a process for that.

    Those that stay in their files are read only if size and time of change are not those when they were written: an
    interrupted training goes on at once, without a pass over all items.
    """
    if set(arrays) != set(sums):
        raise ValueError(f"holds {', '.join(sorted(arrays))}, expected {', '.join(sorted(sums))}")
    for name, array in sorted(arrays.items()):
        path = folder / f"{name}.npy"
        known = path, *_size_and_time(path)
        untouched = isinstance(array, StoredItems) and files.get(name) == list(known[1:])
        if not untouched and known not in _checked and _checksum(array) != sums[name]:
            raise ValueError(f"{path.name} has changed since it was written")
        _checked.add(known)


def _size_and_time(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _checksum(array: Items) -> str:
    """Return a checksum of the values, shape and dtype of an array, read some items at a time."""
    total = zlib.crc32(repr((array.shape, array.dtype.str)).encode())
    for rows in parts(array):
        total = zlib.crc32(np.ascontiguousarray(array[rows]).data.cast("B"), total)
    return f"{total:08x}"


def remembered(name: str, cls: type[Facts], find: Callable[[], Facts]) -> Facts:
    """Return facts about a content, a dataclass of plain values, from the cache or found and kept there."""
    folder = cache_root() / "facts" / name

    def build(partial: Path) -> None:
        _write(partial / "facts.json", vars(find()))

    folder = build_folder(folder, build)
    try:
        return cls(**read_record_file(folder / "facts.json", cls))
    except RecordError as error:
        raise LoraeError(f"cache: {folder} is damaged ({error}); delete this folder and run again") from None


def prepared_in_memory(
    name: str, key: str, prepare: Callable[[DatasetBuilder], DatasetInfo]
) -> tuple[Dataset, DatasetInfo]:
    """Prepare data that are in memory already, without the cache."""
    workspace = DatasetBuilder(None)
    facts = prepare(workspace)
    return _dataset(name, key, workspace.arrays, facts), facts


def build_folder(folder: Path, build: Callable[[Path], None]) -> Path:
    """Build a folder of the cache under a lock, unless it exists; it appears complete or not at all.

    Where the usual cache cannot be written, the folder is in a temporary one, with a warning; a cache that the user
    chose is not replaced. Returns the folder.
    """
    if folder.exists():
        return folder
    refused, hint = f"cache: cannot write to {folder.parent}", "set LORAE_CACHE to a folder that can be written"
    try:
        with wait_for_lock(folder.with_name(f"{folder.name}.lock"), refused, hint):
            if not folder.exists():
                _sweep(folder.parent)
                with staged_folder(folder) as partial:
                    build(partial)
    except CannotWriteError as error:
        chosen = os.environ.get("LORAE_CACHE")
        first = not temporary_cache.cache_info().currsize
        if chosen or temporary_cache() in folder.parents:
            raise
        if first:
            warnings.warn(f"{error}; until then data are prepared in each process anew", LoraeWarning, stacklevel=2)
        return build_folder(temporary_cache() / folder.relative_to(cache_root()), build)
    return folder


def _sweep(folder: Path) -> None:
    """Delete what killed processes left in a folder of the cache; a folder that is being built is locked."""
    sweep(folder)
    for partial in folder.glob(f".*.{PARTIAL}"):
        name = partial.name[1 : -len(PARTIAL) - 1]
        with contextlib.suppress(CannotWriteError):
            lock = try_lock(folder / f"{name}.lock", "")
            if lock is not None:
                shutil.rmtree(partial, ignore_errors=True)
                lock.release()


def _read_array(path: Path, mode: Literal["r", "r+"] = "r") -> Items:
    """Return the array of a file of the cache, to be written for `r+`; a large one stays in its file."""
    if not path.is_file():
        raise OSError(f"{path.name} is no regular file")
    if path.stat().st_size <= in_memory_bytes():
        array: NDArray[Any] = np.load(path, mmap_mode=None if mode == "r" else mode, allow_pickle=False)
        return array
    described = npy_header(path)
    return opened(path, *described) if mode == "r" else created(path, *described)


def _dataset(name: str, key: str, arrays: dict[str, Any], facts: DatasetInfo) -> Dataset:
    train, test = (Split(arrays[part], arrays.get(f"{part}_labels")) for part in PARTS)
    return Dataset(name, train, test, facts.source, key, facts.checksums, facts.intrinsic_dimension)
