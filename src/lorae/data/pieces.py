"""Arrays of users as items of one kind: their shapes and values are checked, in memory or in a file."""

import hashlib
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae.data.cache import content_key, remembered
from lorae.data.pixels import ADVICE, SETTING, Limits, outside, type_limits
from lorae.errors import LoraeError
from lorae.plain_arrays import is_far
from lorae.system.stored_items import Items, StoredItems, parts, plain_items


@dataclass(frozen=True)
class Piece:
    """Raw items, with their title in messages and the names of their columns."""

    inputs: Items
    title: str
    labels: NDArray[Any] | None = None
    columns: tuple[str, ...] = ()
    kind: str = "auto"  # the setting

    @property
    def holds_vectors(self) -> bool:
        """Whether items are plain numbers: vectors, or tensors of any shape."""
        axes = self.inputs.ndim
        return axes >= 2 and (self.kind == "tensors" or (self.kind == "auto" and (axes == 2 or axes > 4)))

    @property
    def holds_tensors(self) -> bool:
        """Whether items are plain numbers of two or more axes."""
        return self.holds_vectors and self.inputs.ndim > 2

    @property
    def pictures(self) -> Items:
        """A view of images as (n, h, w, c); LoraeError for other shapes."""
        shape = self.inputs.shape
        axes = [axis for axis in (1, 3) if len(shape) == 4 and shape[axis] in (1, 3)]
        if 0 in shape[1:] or not (len(shape) == 3 or len(axes) == 1):
            raise LoraeError(
                f"{self.title}: got shape {shape}, expected vectors (n, d), or images (n, h, w), (n, c, h, w) or "
                "(n, h, w, c) with 1 or 3 channels c; pass kind=tensors for plain numbers of any shape",
                settings={"kind": "tensors"},
            )
        if isinstance(self.inputs, np.ndarray):
            return _channels_last(self.inputs, axes)
        one = _channels_last(np.empty((1, *shape[1:]), np.bool_), axes).shape[1:]
        return self.inputs.mapped(lambda items: _channels_last(items, axes), one, self.inputs.dtype)

    @property
    def stored(self) -> StoredItems | None:
        """The inputs if they are in a file."""
        return self.inputs if isinstance(self.inputs, StoredItems) else None


def _channels_last(items: NDArray[Any], axes: list[int]) -> NDArray[Any]:
    return np.moveaxis(items, axes[0], 3) if axes else items[..., None]


def channels_first(pictures: NDArray[Any]) -> NDArray[Any]:
    """Return pictures (n, h, w, c) as (n, c, h, w)."""
    return np.ascontiguousarray(np.moveaxis(pictures, 3, 1))


@dataclass(frozen=True)
class Scan:
    """Facts about all items of a file: a digest of their values, and the largest value of images of bytes."""

    digest: str
    peak: int | None


def scan(piece: Piece, limits: Limits | None) -> Scan:
    """Return facts about the items of a piece, after checking the values of those in a file.

    The facts about a large file are kept with its size and time of change, so that one that is used again is not
    read again for them.
    """

    def find() -> Scan:
        peaks: list[int] = []

        def look(start: int, values: NDArray[Any]) -> None:
            if piece.stored is not None:
                check_values(piece, start, values, limits)
                if not piece.holds_vectors and values.dtype == np.uint8:
                    peaks.append(int(values.max()))

        return Scan(_digest(piece, look), max(peaks, default=None))

    known = "" if piece.stored is None else piece.stored.identity
    if not known:
        return find()
    labels = (
        None if piece.labels is None else [piece.labels.dtype.str, zlib.crc32(np.ascontiguousarray(piece.labels).data)]
    )
    described = [known, piece.inputs.shape, piece.inputs.dtype.str, piece.holds_vectors, limits, labels]
    return remembered(f"items-{content_key('scan', known, described=described)}", Scan, find)


def check_piece(piece: Piece) -> None:
    """Raise LoraeError for items that are no images, vectors or tensors of numbers, and for labels that do not fit."""
    inputs, labels = plain_items(piece.inputs, piece.title), piece.labels
    if not piece.holds_vectors or 0 in inputs.shape[1:]:
        _ = piece.pictures
    if labels is None:
        return
    if labels.dtype.kind not in "bui" or labels.shape not in ((len(inputs),), (len(inputs), 1)):
        raise LoraeError(
            f"{piece.title}: got labels of shape {labels.shape} and dtype {labels.dtype}, "
            f"expected ({len(inputs)},) integers"
        )


def check_values(piece: Piece, start: int, values: NDArray[Any], limits: Limits | None) -> None:
    """Raise LoraeError with the first value that is out of range, and its index; `values` are successive items."""
    dtype = piece.inputs.dtype
    limits = limits or type_limits(dtype)
    if not piece.holds_vectors and dtype == np.uint8 and limits == type_limits(dtype):
        return  # every byte is within
    expected = f"numbers in {limits[0]:g}..{limits[1]:g}; {ADVICE}"
    if piece.holds_vectors:
        expected = "finite float32 numbers"
        # float64 values beyond the range of float32 become infinite here.
        with np.errstate(over="ignore"):
            bad = ~np.isfinite(values.astype(np.float32))
    else:
        bad = outside(values, limits)
    if bad.any():
        row, *rest = np.argwhere(bad)[0].tolist()
        place, found = (start + row, *rest), values[(row, *rest)].item()
        column = f" (column {piece.columns[rest[0]]!r})" if piece.columns else ""
        message = f"{piece.title}: got {found} at index {place}{column}, expected {expected}"
        raise LoraeError(message, settings=SETTING)


def check_all_values(piece: Piece, limits: Limits | None) -> None:
    """Check the values of all items, as `check_values` does."""
    for rows in parts(piece.inputs):
        check_values(piece, rows.start, piece.inputs[rows], limits)


def vector_dtype(pieces: Sequence[Piece]) -> np.dtype[Any]:
    """Return float32, or float64 if that would round away much of a column that lies far from zero."""
    if all(np.can_cast(piece.inputs.dtype, np.float32) for piece in pieces):
        return np.dtype(np.float32)
    count, mean, squares = 0, np.zeros(1), np.zeros(1)
    with np.errstate(all="ignore"):  # values that are not finite are reported later
        for part, rows in [(piece.inputs, rows) for piece in pieces for rows in parts(piece.inputs)]:
            values = part[rows].astype(np.float64)
            n, change = len(values), values.mean(axis=0) - mean
            squares = squares + n * values.var(axis=0) + change**2 * count * n / (count + n)
            mean = mean + change * n / (count + n)
            count += n
        far = is_far(mean, np.sqrt(squares / max(count, 1)))
    return np.dtype(np.float64 if far else np.float32)


def _digest(piece: Piece, look: Callable[[int, NDArray[Any]], None]) -> str:
    """Return the digest of items and labels; `look` is called with all successive items and the row of their first."""
    digest = hashlib.blake2b(digest_size=16)
    for array in (piece.inputs, piece.labels):
        if array is None:
            continue
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        for rows in parts(array):
            values = array[rows]
            if array is piece.inputs:
                look(rows.start, values)
            digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()


def limits_of(piece: Piece, limits: Limits | None) -> Limits:
    """Return the values of black and white of images: those of the setting, or of their type."""
    dtype = piece.inputs.dtype
    return type_limits(dtype) if limits is None or dtype.kind == "b" else limits
