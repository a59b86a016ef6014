"""Items that are arrays of images or vectors, in memory or in a file: checked, split and prepared."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae.config.data_settings import DataSettings
from lorae.data.cache import (
    PARTS,
    ROWS,
    DatasetBuilder,
    DatasetInfo,
    Part,
    cached,
    content_key,
    prepared_in_memory,
)
from lorae.data.dataset import Dataset
from lorae.data.pixels import (
    ADVICE,
    SETTING,
    Limits,
    outside,
    range_key,
    scaled_to_bytes,
    type_limits,
    warn_of_range,
)
from lorae.data.preprocessing import Preparation, prepare_pictures
from lorae.data.sources import RawItems, read_file, read_items
from lorae.data.splits import refuse_seeded_split, seeded_split
from lorae.errors import LoraeError
from lorae.plain_arrays import is_far, plain_array


@dataclass(frozen=True)
class _Piece:
    """Raw items, with their title in messages and the names of their columns."""

    inputs: NDArray[Any]
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
        return self.holds_vectors and self.inputs.ndim > 2

    @property
    def pictures(self) -> NDArray[Any]:
        """A view of images as (n, h, w, c); LoraeError for other shapes."""
        shape = self.inputs.shape
        axes = [axis for axis in (1, 3) if len(shape) == 4 and shape[axis] in (1, 3)]
        if 0 in shape[1:] or not (len(shape) == 3 or len(axes) == 1):
            raise LoraeError(
                f"{self.title}: got shape {shape}, expected vectors (n, d), or images (n, h, w), (n, c, h, w) or "
                "(n, h, w, c) with 1 or 3 channels c; pass kind=tensors for plain numbers of any shape",
                settings={"kind": "tensors"},
            )
        return np.moveaxis(self.inputs, axes[0], 3) if axes else self.inputs[..., None]


Pieces = dict[Part | None, _Piece]


def load_array(settings: DataSettings, given: Any) -> Dataset:
    """Load items in memory with a seeded split."""
    return _load(settings, {None: read_items(given, "array")}, "array", "array in memory", keep=False)


def load_file(settings: DataSettings, path: Path) -> Dataset:
    """Load the items of a file, as `load_array`; an .npz file may hold labels and a split."""
    return _load(settings, read_file(path), path.stem, f"{path.suffix[1:]} file {path}", keep=True)


def load_whole_array(
    array: Any, title: str, size: int | None, limits: Limits | None, kind: str = "auto"
) -> NDArray[Any]:
    """Return an array without a split: uint8 images (n, c, h, w) of any size, or resized, vectors or tensors."""
    piece = _Piece(plain_array(array, title), title, kind=kind)
    _check_piece(piece)
    _check_values(piece, limits)
    workspace, rows = DatasetBuilder(None), np.arange(len(piece.inputs), dtype=np.int64)
    if piece.holds_vectors:
        for name, value in (("size", size), ("value_range", limits)):
            if value is not None:
                raise LoraeError(f"{name}: got {value}, but {title} holds vectors, not images")
        _fill_vectors(workspace, "train", piece, rows, _vector_dtype([piece]))
    else:
        _fill_images(workspace, "train", piece, rows, Preparation(size, piece.pictures.shape[3]), limits)
        warn_of_range(limits, [str(piece.inputs.dtype)], workspace.peak())
    return workspace.arrays["train"]


def _load(settings: DataSettings, raw: Mapping[Part | None, RawItems], name: str, source: str, keep: bool) -> Dataset:
    pieces: Pieces = {part: _Piece(*items, kind=settings.kind) for part, items in raw.items()}
    preparation, limits = _preparation(settings, pieces), settings.value_range
    dtypes = sorted({str(piece.inputs.dtype) for piece in pieces.values()})
    vector_dtype = np.dtype(np.float32) if preparation else _vector_dtype(list(pieces.values()))
    splits, limited = _split(pieces, settings), settings.prepared_limit
    if limited is not None:  # the others are checked, and not copied
        piece, rows = splits["train"]
        splits["train"] = piece, rows[:limited]
    checksums = {piece.title: f"blake2b:{_digest(piece)}" for piece in pieces.values()}
    key = content_key(
        "arrays",
        " ".join(checksums.values()),
        split=None if None not in pieces else [settings.test_fraction, settings.split_seed],
        preparation=None if preparation is None else vars(preparation),
        **range_key(limits, rule_changed=preparation is not None and "uint16" in dtypes),
        **({} if vector_dtype == np.float32 else {"dtype": str(vector_dtype)}),
    )

    def prepare(workspace: DatasetBuilder) -> DatasetInfo:
        for piece in pieces.values():
            _check_values(piece, limits)
        for part, (piece, rows) in splits.items():
            if preparation is None:
                _fill_vectors(workspace, part, piece, rows, vector_dtype)
            else:
                _fill_images(workspace, part, piece, rows, preparation, limits)
            if piece.labels is not None:
                workspace.set_labels(part, piece.labels.ravel()[rows])
        return DatasetInfo(source, checksums, peak=workspace.peak() if preparation else None)

    dataset, facts = cached(name, key, prepare, limited) if keep else prepared_in_memory(name, key, prepare)
    if preparation is not None:
        warn_of_range(limits, dtypes, facts.peak)
    columns = next(iter(pieces.values())).columns
    tensors = any(piece.holds_tensors for piece in pieces.values())
    return replace(dataset, source=source, checksums=checksums, columns=columns, tensors=tensors)


def _split(pieces: Pieces, settings: DataSettings) -> dict[Part, tuple[_Piece, NDArray[np.int64]]]:
    whole = pieces.get(None)
    if whole is not None:
        train, test = seeded_split(len(whole.inputs), settings)
        return {"train": (whole, train), "test": (whole, test)}
    refuse_seeded_split(settings, pieces["train"].title.split(":")[0])
    return {part: (pieces[part], np.arange(len(pieces[part].inputs), dtype=np.int64)) for part in PARTS}


def _digest(piece: _Piece) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for array in (piece.inputs, piece.labels):
        if array is None:
            continue
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        for start in range(0, len(array), ROWS):
            digest.update(np.ascontiguousarray(array[start : start + ROWS]).data)
    return digest.hexdigest()


def _preparation(settings: DataSettings, pieces: Pieces) -> Preparation | None:
    """Check that all pieces fit each other, and return the preparation of images, or None for vectors."""
    for piece in pieces.values():
        _check_piece(piece)
    kinds = {piece.holds_vectors for piece in pieces.values()}
    if len(kinds) > 1:
        raise LoraeError("data: got vectors in one split and images in the other, expected one kind")
    if kinds == {True}:
        _check_vectors(settings, pieces)
        return None
    shapes = {piece.pictures.shape[1:] for piece in pieces.values()}
    channels = settings.channels or max(shape[2] for shape in shapes)
    preparation = Preparation(settings.size, channels, settings.crop)
    sides = {preparation.output_sides(height, width) for height, width, _ in shapes}
    if len(sides) > 1:
        raise LoraeError(f"data: got images of {sorted(sides)} pixels in the two splits, expected one size")
    return preparation


def _check_piece(piece: _Piece) -> None:
    inputs, labels = plain_array(piece.inputs, piece.title), piece.labels
    if not piece.holds_vectors or 0 in inputs.shape[1:]:
        _ = piece.pictures
    if labels is None:
        return
    if labels.dtype.kind not in "bui" or labels.shape not in ((len(inputs),), (len(inputs), 1)):
        raise LoraeError(
            f"{piece.title}: got labels of shape {labels.shape} and dtype {labels.dtype}, "
            f"expected ({len(inputs)},) integers"
        )


def _check_vectors(settings: DataSettings, pieces: Pieces) -> None:
    for name in ("size", "crop", "channels", "value_range"):
        if getattr(settings, name) is not None:
            raise LoraeError(f"{name}: got {getattr(settings, name)}, but the data are vectors, not images")
    shapes = {piece.inputs.shape[1:] for piece in pieces.values()}
    if len(shapes) > 1:
        raise LoraeError(f"data: got items of shapes {sorted(shapes)} in the two splits, expected one shape")


def _check_values(piece: _Piece, limits: Limits | None) -> None:
    """Raise LoraeError with the first value out of range and its index."""
    inputs = piece.inputs
    limits = limits or type_limits(inputs.dtype)
    expected = f"numbers in {limits[0]:g}..{limits[1]:g}; {ADVICE}"
    for start in range(0, len(inputs), ROWS):
        values = inputs[start : start + ROWS]
        if piece.holds_vectors:
            expected = "finite float32 numbers"
            # float64 values beyond the range of float32 become infinite here.
            with np.errstate(over="ignore"):
                bad = ~np.isfinite(values.astype(np.float32))
        else:
            bad = outside(values, limits)
        if bad.any():
            row, *rest = np.argwhere(bad)[0].tolist()
            place = (start + row, *rest)
            column = f" (column {piece.columns[rest[0]]!r})" if piece.columns else ""
            message = f"{piece.title}: got {inputs[place].item()} at index {place}{column}, expected {expected}"
            raise LoraeError(message, settings=SETTING)


def _vector_dtype(pieces: Sequence[_Piece]) -> np.dtype[Any]:
    """Return float32, or float64 if that would round away much of a column that lies far from zero."""
    if all(np.can_cast(piece.inputs.dtype, np.float32) for piece in pieces):
        return np.dtype(np.float32)
    count, mean, squares = 0, np.zeros(1), np.zeros(1)
    with np.errstate(all="ignore"):  # values that are not finite are reported later
        for part, start in [(piece.inputs, start) for piece in pieces for start in range(0, len(piece.inputs), ROWS)]:
            values = part[start : start + ROWS].astype(np.float64)
            n, change = len(values), values.mean(axis=0) - mean
            squares = squares + n * values.var(axis=0) + change**2 * count * n / (count + n)
            mean = mean + change * n / (count + n)
            count += n
        far = is_far(mean, np.sqrt(squares / max(count, 1)))
    return np.dtype(np.float64 if far else np.float32)


def _fill_vectors(
    workspace: DatasetBuilder, part: Part, piece: _Piece, rows: NDArray[np.int64], dtype: np.dtype[Any]
) -> None:
    workspace.fill(part, (len(rows), *piece.inputs.shape[1:]), dtype, lambda chunk: piece.inputs[rows[chunk]])


def _fill_images(
    workspace: DatasetBuilder,
    part: Part,
    piece: _Piece,
    rows: NDArray[np.int64],
    preparation: Preparation,
    limits: Limits | None,
) -> None:
    pictures = piece.pictures
    if limits is None or pictures.dtype.kind == "b":
        limits = type_limits(pictures.dtype)
    sides = preparation.output_sides(*pictures.shape[1:3])
    workspace.fill(
        part,
        (len(rows), preparation.channels, *sides),
        np.uint8,
        lambda chunk: prepare_pictures(scaled_to_bytes(pictures[rows[chunk]], limits), preparation),
    )
