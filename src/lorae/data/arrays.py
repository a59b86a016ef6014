"""Arrays of images or vectors: in memory, or in .npy and .npz files."""

import hashlib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from lorae.config.data_settings import DataSettings
from lorae.data.cache import (
    MEMORY_MAP_BYTES,
    PARTS,
    DatasetBuilder,
    DatasetInfo,
    Part,
    cached,
    content_key,
    prepared_in_memory,
)
from lorae.data.dataset import Dataset
from lorae.data.preprocessing import Preparation, prepare_pictures
from lorae.data.splits import check_sides, refuse_seeded_split, seeded_split
from lorae.errors import LoraeError

ROWS = 1024
SINGLE_KEYS = ("images", "data", "X", "x")
LABEL_KEYS = ("labels", "y")
SPLIT_KEYS = (("train", "test", "train_labels", "test_labels"), ("x_train", "x_test", "y_train", "y_test"))


@dataclass(frozen=True)
class _Piece:
    """Some items as they came, with the name that messages call them by."""

    inputs: NDArray[Any]
    labels: NDArray[Any] | None
    title: str


def load_array(settings: DataSettings, array: NDArray[Any]) -> Dataset:
    """An array in memory with a seeded split: images (n, h, w), (n, c, h, w) or (n, h, w, c), or vectors (n, d).

    Raises LoraeError for other shapes and dtypes and for values out of range.
    """
    return _load(settings, {None: _Piece(array, None, "array")}, "array", "array in memory", keep=False)


def load_whole_array(array: NDArray[Any], title: str, size: int | None) -> NDArray[Any]:
    """An array without a split, of any size: uint8 images (n, c, h, w), resized to `size`, or float32 vectors (n, d).

    Raises LoraeError as `load_array`; `title` names the array there.
    """
    piece = _Piece(array, None, title)
    _check_piece(piece)
    _check_values(piece)
    workspace, rows = DatasetBuilder(None), np.arange(len(array), dtype=np.int64)
    if array.ndim == 2:
        if size is not None:
            raise LoraeError(f"size: got {size}, but {title} holds vectors, not images")
        _fill_vectors(workspace, "train", piece, rows)
    else:
        preparation = Preparation(size, _picture_shape(piece)[2])
        _fill_images(workspace, "train", piece, rows, preparation)
    return workspace.arrays["train"]


def load_array_file(settings: DataSettings, path: Path) -> Dataset:
    """The arrays of an .npy or .npz file, as `load_array`; an .npz file may hold labels and a split.

    Raises LoraeError for unreadable files, unknown keys and what `load_array` refuses.
    """
    mode: Literal["r"] | None = "r" if path.suffix == ".npy" and path.stat().st_size > MEMORY_MAP_BYTES else None
    try:
        loaded = np.load(path, mmap_mode=mode, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            pieces: dict[Part | None, _Piece] = {None: _Piece(loaded, None, path.name)}
        else:
            with loaded:
                pieces = _pieces({key: loaded[key] for key in loaded.files}, path)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise LoraeError(f"{path}: not a readable {path.suffix} file ({error})") from error
    return _load(settings, pieces, path.stem, f"{path.suffix[1:]} file {path}", keep=True)


def _pieces(arrays: Mapping[str, NDArray[Any]], path: Path) -> dict[Part | None, _Piece]:
    found = set(arrays)
    for train, test, train_labels, test_labels in SPLIT_KEYS:
        if found in ({train, test}, {train, test, train_labels, test_labels}):
            return {
                "train": _Piece(arrays[train], arrays.get(train_labels), f"{path.name}: {train}"),
                "test": _Piece(arrays[test], arrays.get(test_labels), f"{path.name}: {test}"),
            }
    if len(found) == 1:
        (key,) = found
        return {None: _Piece(arrays[key], None, f"{path.name}: {key}")}
    for key in SINGLE_KEYS:
        for label_key in LABEL_KEYS:
            if found == {key, label_key}:
                return {None: _Piece(arrays[key], arrays[label_key], f"{path.name}: {key}")}
    raise LoraeError(
        f"{path}: got the keys {', '.join(sorted(found)) or '(none)'}, expected train and test (with train_labels "
        "and test_labels), x_train and x_test (with y_train and y_test), one of images, data, X, x with one of "
        "labels, y, or a single array"
    )


def _load(settings: DataSettings, pieces: dict[Part | None, _Piece], name: str, source: str, keep: bool) -> Dataset:
    preparation = _preparation(settings, pieces)
    splits = _split(pieces, settings)
    checksums = {piece.title: f"blake2b:{_digest(piece)}" for piece in pieces.values()}
    key = content_key(
        "arrays",
        " ".join(checksums.values()),
        split=None if None not in pieces else [settings.test_fraction, settings.split_seed],
        preparation=None if preparation is None else vars(preparation),
    )

    def prepare(workspace: DatasetBuilder) -> DatasetInfo:
        for piece in pieces.values():
            _check_values(piece)
        for part, (piece, rows) in splits.items():
            if preparation is None:
                _fill_vectors(workspace, part, piece, rows)
            else:
                _fill_images(workspace, part, piece, rows, preparation)
            if piece.labels is not None:
                workspace.set_labels(part, piece.labels.ravel()[rows])
        return DatasetInfo(source, checksums)

    if not keep:
        return prepared_in_memory(name, key, prepare)
    dataset, _ = cached(name, key, prepare)
    return replace(dataset, source=source, checksums=checksums)


def _split(pieces: dict[Part | None, _Piece], settings: DataSettings) -> dict[Part, tuple[_Piece, NDArray[np.int64]]]:
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


def _check_piece(piece: _Piece) -> None:
    inputs = piece.inputs
    if inputs.dtype.kind not in "buif":
        raise LoraeError(f"{piece.title}: got dtype {inputs.dtype}, expected integers or floating point numbers")
    if inputs.ndim not in (2, 3, 4) or 0 in inputs.shape[1:]:
        _refuse_shape(piece)
    if inputs.ndim == 4:
        _channel_axis(piece)
    labels = piece.labels
    if labels is None:
        return
    if labels.dtype.kind not in "bui" or labels.shape not in ((len(inputs),), (len(inputs), 1)):
        raise LoraeError(
            f"{piece.title}: got labels of shape {labels.shape} and dtype {labels.dtype}, "
            f"expected ({len(inputs)},) integers"
        )


def _refuse_shape(piece: _Piece) -> NoReturn:
    raise LoraeError(
        f"{piece.title}: got shape {piece.inputs.shape}, expected vectors (n, d), or images (n, h, w), (n, c, h, w) "
        "or (n, h, w, c) with 1 or 3 channels c"
    )


def _channel_axis(piece: _Piece) -> int:
    axes = [axis for axis in (1, 3) if piece.inputs.shape[axis] in (1, 3)]
    if len(axes) != 1:
        _refuse_shape(piece)
    return axes[0]


def _check_vectors(settings: DataSettings, pieces: dict[Part | None, _Piece]) -> None:
    for name in ("size", "crop", "channels"):
        if getattr(settings, name) is not None:
            raise LoraeError(f"{name}: got {getattr(settings, name)}, but the data are vectors, not images")
    widths = {piece.inputs.shape[1] for piece in pieces.values()}
    if len(widths) > 1:
        raise LoraeError(f"data: got vectors of {sorted(widths)} values in the two splits, expected one length")


def _fill_vectors(workspace: DatasetBuilder, part: Part, piece: _Piece, rows: NDArray[np.int64]) -> None:
    out = workspace.create(part, (len(rows), piece.inputs.shape[1]), np.float32)
    for start in range(0, len(rows), ROWS):
        chosen = rows[start : start + ROWS]
        out[start : start + ROWS] = piece.inputs[chosen]


def _preparation(settings: DataSettings, pieces: dict[Part | None, _Piece]) -> Preparation | None:
    """How to prepare the images, or None for vectors, once all pieces are known to fit each other."""
    for piece in pieces.values():
        _check_piece(piece)
    kinds = {piece.inputs.ndim == 2 for piece in pieces.values()}
    if len(kinds) > 1:
        raise LoraeError("data: got vectors in one split and images in the other, expected one kind")
    if kinds == {True}:
        _check_vectors(settings, pieces)
        return None
    shapes = {_picture_shape(piece) for piece in pieces.values()}
    channels = settings.channels or max(shape[2] for shape in shapes)
    preparation = Preparation(settings.size, channels, settings.crop)
    sides = {preparation.output_sides(height, width) for height, width, _ in shapes}
    if len(sides) > 1:
        raise LoraeError(f"data: got images of {sorted(sides)} pixels in the two splits, expected one size")
    check_sides(*sides.pop())
    return preparation


def _picture_shape(piece: _Piece) -> tuple[int, int, int]:
    """Height, width and channels."""
    shape = piece.inputs.shape
    if piece.inputs.ndim == 3:
        return (shape[1], shape[2], 1)
    return (shape[2], shape[3], shape[1]) if _channel_axis(piece) == 1 else (shape[1], shape[2], shape[3])


def _fill_images(
    workspace: DatasetBuilder, part: Part, piece: _Piece, rows: NDArray[np.int64], preparation: Preparation
) -> None:
    height, width, _ = _picture_shape(piece)
    sides = preparation.output_sides(height, width)
    out = workspace.create(part, (len(rows), preparation.channels, *sides), np.uint8)
    for start in range(0, len(rows), ROWS):
        chosen = rows[start : start + ROWS]
        pictures = _as_bytes(piece.inputs[chosen])
        if pictures.ndim == 4:
            pictures = pictures.transpose(0, 2, 3, 1) if _channel_axis(piece) == 1 else pictures
            # Pillow knows grey pictures without an axis of channels only.
            pictures = pictures[..., 0] if pictures.shape[3] == 1 else pictures
        prepare_pictures(np.ascontiguousarray(pictures), preparation, out[start : start + ROWS])


def _as_bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    if values.dtype.kind == "b":
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype.kind == "f":
        values = np.rint(values.astype(np.float64) * 255)
    return values.astype(np.uint8)


def _check_values(piece: _Piece) -> None:
    """Raise LoraeError naming the first value that is out of range, and where it is."""
    if piece.inputs.dtype == np.uint8 or piece.inputs.dtype.kind == "b":
        return
    top = 255 if piece.inputs.dtype.kind in "iu" else 1
    vectors = piece.inputs.ndim == 2
    for start in range(0, len(piece.inputs), ROWS):
        values = piece.inputs[start : start + ROWS]
        if vectors:
            # float64 values beyond the range of float32 become infinite here.
            with np.errstate(over="ignore"):
                good = np.isfinite(values.astype(np.float32))
        else:
            good = (values >= 0) & (values <= top)
        if not good.all():
            first = np.unravel_index(int(np.argmin(good)), good.shape)
            place = tuple(int(index) for index in (start + first[0], *first[1:]))
            expected = "finite float32 numbers" if vectors else f"numbers in 0..{top}"
            got = piece.inputs[place].item()
            raise LoraeError(f"{piece.title}: got {got} at index {place}, expected {expected}")
