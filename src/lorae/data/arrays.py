"""Arrays of images or vectors: in memory, or in .npy and .npz files."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lorae.config.data_settings import DataSettings
from lorae.data.cache import (
    MEMORY_MAP_BYTES,
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
from lorae.data.splits import refuse_seeded_split, seeded_split
from lorae.errors import LoraeError
from lorae.plain_arrays import is_far, plain_array

SINGLE_KEYS = ("images", "data", "X", "x")
LABEL_KEYS = ("labels", "y")
SPLIT_KEYS = (("train", "test", "train_labels", "test_labels"), ("x_train", "x_test", "y_train", "y_test"))


@dataclass(frozen=True)
class _Piece:
    """Raw items, with their title in messages."""

    inputs: NDArray[Any]
    labels: NDArray[Any] | None
    title: str
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


def load_array(settings: DataSettings, array: NDArray[Any]) -> Dataset:
    """Load an array in memory with a seeded split."""
    pieces: Pieces = {None: _Piece(plain_array(array, "array"), None, "array")}
    return _load(settings, pieces, "array", "array in memory", keep=False)


def load_array_file(settings: DataSettings, path: Path) -> Dataset:
    """Load the arrays of an .npy or .npz file, as `load_array`; an .npz file may hold labels and a split."""
    loaded = read_array_file(path)
    pieces: Pieces = (
        {None: _Piece(loaded, None, path.name)} if isinstance(loaded, np.ndarray) else _pieces(loaded, path)
    )
    return _load(settings, pieces, path.stem, f"{path.suffix[1:]} file {path}", keep=True)


def load_whole_array(
    array: Any, title: str, size: int | None, limits: Limits | None, kind: str = "auto"
) -> NDArray[Any]:
    """Return an array without a split: uint8 images (n, c, h, w) of any size, or resized, vectors or tensors."""
    piece = _Piece(plain_array(array, title), None, title, kind)
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


def holds_arrays(path: Path) -> bool:
    """Return whether a path is a file of arrays, by its suffix."""
    return path.is_file() and path.suffix.lower() in (".npy", ".npz")


def read_array_file(path: Path) -> NDArray[Any] | dict[str, NDArray[Any]]:
    """Return the array of an .npy file, or those of an .npz file by key; LoraeError for unreadable files."""
    mode: Literal["r"] | None = "r" if path.suffix == ".npy" and path.stat().st_size > MEMORY_MAP_BYTES else None
    try:
        if mode is not None:
            mapped: NDArray[Any] = np.load(path, mmap_mode=mode, allow_pickle=False)
            return mapped
        with path.open("rb") as file:  # NumPy leaves a damaged file open
            loaded = np.load(file, allow_pickle=False)
            return loaded if isinstance(loaded, np.ndarray) else dict(loaded)
    except Exception as error:  # NumPy raises many kinds for a damaged file
        raise LoraeError(f"{path}: not a readable {path.suffix} file ({error})") from error


def _pieces(arrays: dict[str, NDArray[Any]], path: Path) -> Pieces:
    found = set(arrays)
    for train, test, train_labels, test_labels in SPLIT_KEYS:
        if found in ({train, test}, {train, test, train_labels, test_labels}):
            return {
                "train": _Piece(arrays[train], arrays.get(train_labels), f"{path.name}: {train}"),
                "test": _Piece(arrays[test], arrays.get(test_labels), f"{path.name}: {test}"),
            }
    labelled = [(key, label) for key in SINGLE_KEYS for label in LABEL_KEYS if found == {key, label}]
    alone = [(key, "") for key in found if len(found) == 1]
    for key, label in labelled + alone:
        return {None: _Piece(arrays[key], arrays.get(label), f"{path.name}: {key}")}
    raise LoraeError(
        f"{path}: got the keys {', '.join(sorted(found)) or '(none)'}, expected train and test (with train_labels "
        "and test_labels), x_train and x_test (with y_train and y_test), one of images, data, X, x with one of "
        "labels, y, or a single array"
    )


def _load(settings: DataSettings, pieces: Pieces, name: str, source: str, keep: bool) -> Dataset:
    pieces = {part: replace(piece, kind=settings.kind) for part, piece in pieces.items()}
    preparation, limits = _preparation(settings, pieces), settings.value_range
    dtypes = sorted({str(piece.inputs.dtype) for piece in pieces.values()})
    vector_dtype = np.dtype(np.float32) if preparation else _vector_dtype(list(pieces.values()))
    splits = _split(pieces, settings)
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

    dataset, facts = cached(name, key, prepare) if keep else prepared_in_memory(name, key, prepare)
    if preparation is not None:
        warn_of_range(limits, dtypes, facts.peak)
    tensors = any(piece.holds_tensors for piece in pieces.values())
    return replace(dataset, source=source, checksums=checksums, tensors=tensors)


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
            message = f"{piece.title}: got {inputs[place].item()} at index {place}, expected {expected}"
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
