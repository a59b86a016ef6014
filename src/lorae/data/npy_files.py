"""Arrays in .npy and .npz files: small ones in memory, large ones read where they are."""

import io
import lzma
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from lorae.errors import LoraeError
from lorae.system.faults import reason_of
from lorae.system.memory import check_packed
from lorae.system.stored_items import (
    Items,
    StoredItems,
    identity_of,
    in_memory_bytes,
    opened,
    parts,
    temporary,
)

# Bytes of the fixed part of the header before a member of a zip file, and where it has the lengths of name and extras.
LOCAL_HEADER, LENGTHS = 30, slice(26, 30)


class ByColumnsError(ValueError):
    """An array whose items do not lie one after the other."""


def npy_start(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """Return the beginning of an .npy file, which the values of all items follow."""
    header = io.BytesIO()
    described = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, described)
    return header.getvalue()


def npy_header(path: Path) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Return shape, dtype and start of the values of an .npy file with rows in their order; ValueError for others."""
    with path.open("rb") as file:
        return read_npy_header(file)


def read_npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Return what `npy_header` does, of an open file, or of a member of a zip file, at its start."""
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"has version {version} of the format, expected 1.0 or 2.0")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, by_columns, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("holds Python objects, expected numbers")
    if by_columns and len(shape) > 1:
        raise ByColumnsError("has its values by columns (Fortran order), expected by rows")
    return shape, dtype, file.tell()


def read_npy(path: Path) -> Items:
    """Return the array of an .npy file; ValueError and OSError for damaged ones."""
    if path.stat().st_size > in_memory_bytes():
        try:
            return opened(path, *npy_header(path), identity=identity_of([path]))
        except ByColumnsError:  # its items cannot be read one by one
            mapped: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
            return mapped
    with path.open("rb") as file:  # NumPy leaves a damaged file open
        array: NDArray[Any] = np.load(file, allow_pickle=False)
        return array


def read_large_members(path: Path, folder: Path | None) -> dict[str, StoredItems]:
    """Return the large arrays of an .npz file by key: those that are not packed are read in place.

    folder: of the temporary files that packed ones are unpacked into at their first access
    """
    found = {}
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.file_size > in_memory_bytes() and info.filename.endswith(".npy"):
                found[info.filename[: -len(".npy")]] = _member(path, archive, info, folder)
    return found


def _member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, folder: Path | None) -> StoredItems:
    with archive.open(info) as member:
        shape, dtype, start = read_npy_header(member)
    identity = identity_of([path], info.filename)
    if info.compress_type == zipfile.ZIP_STORED:
        with path.open("rb") as file:
            file.seek(info.header_offset)
            lengths = file.read(LOCAL_HEADER)[LENGTHS]
        begin = info.header_offset + LOCAL_HEADER + sum(int.from_bytes(lengths[at : at + 2], "little") for at in (0, 2))
        return opened(path, shape, dtype, begin + start, identity)
    check_packed(info.file_size, info.compress_size, f"{path}: {info.filename}")

    def unpacked() -> Iterator[NDArray[Any]]:
        try:
            with zipfile.ZipFile(path) as again, again.open(info.filename) as member:
                member.read(start)
                for rows in parts(items):
                    count = (rows.stop - rows.start) * items.file.row_bytes
                    yield np.frombuffer(_exactly(member, count), dtype).reshape(-1, *shape[1:])
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError) as error:
            raise LoraeError(f"{path}: {info.filename} cannot be unpacked ({reason_of(error)})") from None

    items = temporary(folder, shape, dtype, unpacked, identity)
    return items


def _exactly(file: IO[bytes], count: int) -> bytes:
    content = file.read(count)
    if len(content) < count:
        raise EOFError(f"it ends {count - len(content):,} bytes too early")
    return content


def stored_map(array: Any) -> StoredItems | None:
    """Return the items of a large memory map in its file, which takes no memory for pages; None for other arrays.

    A map whose changes are not those of the file (`mode="c"`) is another array.
    """
    if not isinstance(array, np.memmap) or array.nbytes <= in_memory_bytes() or array.mode == "c":
        return None
    if array.filename is None or not array.flags.c_contiguous or array.ndim == 0:
        return None
    root = array
    while isinstance(root.base, np.memmap):
        root = root.base
    begin = root.offset + array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    if array.mode != "r":
        array.flush()
    path = Path(os.fspath(array.filename))
    return opened(path, array.shape, array.dtype, begin, identity_of([path], begin))
