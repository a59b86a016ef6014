"""Arrays of images or vectors: in memory, or in .npy and .npz files."""

import hashlib
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
from lorae.data.preprocessing import Preparation, prepare_pictures
from lorae.data.splits import check_sides, refuse_seeded_split, seeded_split
from lorae.errors import LoraeError

SINGLE_KEYS = ("images", "data", "X", "x")
LABEL_KEYS = ("labels", "y")
SPLIT_KEYS = (("train", "test", "train_labels", "test_labels"), ("x_train", "x_test", "y_train", "y_test"))


@dataclass(frozen=True)
class _Piece:
    """Raw items, with their title in messages."""

    inputs: NDArray[Any]
    labels: NDArray[Any] | None
    title: str

    @property
    def holds_vectors(self) -> bool:
        return self.inputs.ndim == 2

    @property
    def pictures(self) -> NDArray[Any]:
        """A view of images as (n, h, w, c); LoraeError for other shapes."""
        shape = self.inputs.shape
        axes = [axis for axis in (1, 3) if len(shape) == 4 and shape[axis] in (1, 3)]
        if 0 in shape[1:] or not (len(shape) == 3 or len(axes) == 1):
            raise LoraeError(
                f"{self.title}: got shape {shape}, expected vectors (n, d), or images (n, h, w), (n, c, h, w) or "
                "(n, h, w, c) with 1 or 3 channels c"
            )
        return np.moveaxis(self.inputs, axes[0], 3) if axes else self.inputs[..., None]


Pieces = dict[Part | None, _Piece]


def load_array(settings: DataSettings, array: NDArray[Any]) -> Dataset:
    """Load an array in memory with a seeded split."""
    return _load(settings, {None: _Piece(array, None, "array")}, "array", "array in memory", keep=False)


def load_array_file(settings: DataSettings, path: Path) -> Dataset:
    """Load the arrays of an .npy or .npz file, as `load_array`; an .npz file may hold labels and a split."""
    loaded = read_array_file(path)
    pieces: Pieces = (
        {None: _Piece(loaded, None, path.name)} if isinstance(loaded, np.ndarray) else _pieces(loaded, path)
    )
    return _load(settings, pieces, path.stem, f"{path.suffix[1:]} file {path}", keep=True)


def load_whole_array(array: NDArray[Any], title: str, size: int | None) -> NDArray[Any]:
    """Return an array without a split: uint8 images (n, c, h, w) of any size, or resized, or float32 vectors (n, d)."""
    piece = _Piece(array, None, title)
    _check_piece(piece)
    _check_values(piece)
    if piece.holds_vectors and size is not None:
        raise LoraeError(f"size: got {size}, but {title} holds vectors, not images")
    preparation = None if piece.holds_vectors else Preparation(size, piece.pictures.shape[3])
    workspace = DatasetBuilder(None)
    _fill(workspace, "train", piece, np.arange(len(array), dtype=np.int64), preparation)
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
            _fill(workspace, part, piece, rows, preparation)
            if piece.labels is not None:
                workspace.set_labels(part, piece.labels.ravel()[rows])
        return DatasetInfo(source, checksums)

    if not keep:
        return prepared_in_memory(name, key, prepare)
    return replace(cached(name, key, prepare)[0], source=source, checksums=checksums)


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
    check_sides(*sides.pop())
    return preparation


def _check_piece(piece: _Piece) -> None:
    inputs, labels = piece.inputs, piece.labels
    if inputs.dtype.kind not in "buif":
        raise LoraeError(f"{piece.title}: got dtype {inputs.dtype}, expected integers or floating point numbers")
    if not piece.holds_vectors or inputs.shape[1] == 0:
        _ = piece.pictures
    if labels is None:
        return
    if labels.dtype.kind not in "bui" or labels.shape not in ((len(inputs),), (len(inputs), 1)):
        raise LoraeError(
            f"{piece.title}: got labels of shape {labels.shape} and dtype {labels.dtype}, "
            f"expected ({len(inputs)},) integers"
        )


def _check_vectors(settings: DataSettings, pieces: Pieces) -> None:
    for name in ("size", "crop", "channels"):
        if getattr(settings, name) is not None:
            raise LoraeError(f"{name}: got {getattr(settings, name)}, but the data are vectors, not images")
    widths = {piece.inputs.shape[1] for piece in pieces.values()}
    if len(widths) > 1:
        raise LoraeError(f"data: got vectors of {sorted(widths)} values in the two splits, expected one length")


def _check_values(piece: _Piece) -> None:
    """Raise LoraeError with the first value out of range and its index."""
    inputs = piece.inputs
    if inputs.dtype == np.uint8 or inputs.dtype.kind == "b":
        return
    top = 255 if inputs.dtype.kind in "iu" else 1
    for start in range(0, len(inputs), ROWS):
        values = inputs[start : start + ROWS]
        if piece.holds_vectors:
            # float64 values beyond the range of float32 become infinite here.
            with np.errstate(over="ignore"):
                good = np.isfinite(values.astype(np.float32))
        else:
            good = (values >= 0) & (values <= top)
        if not good.all():
            row, *rest = np.argwhere(~good)[0].tolist()
            place = (start + row, *rest)
            expected = "finite float32 numbers" if piece.holds_vectors else f"numbers in 0..{top}"
            raise LoraeError(f"{piece.title}: got {inputs[place].item()} at index {place}, expected {expected}")


def _fill(
    workspace: DatasetBuilder, part: Part, piece: _Piece, rows: NDArray[np.int64], preparation: Preparation | None
) -> None:
    """Fill one split with the given rows of a piece: vectors as they are, images prepared."""
    if preparation is None:
        workspace.fill(part, (len(rows), piece.inputs.shape[1]), np.float32, lambda chunk: piece.inputs[rows[chunk]])
        return
    pictures = piece.pictures
    sides = preparation.output_sides(*pictures.shape[1:3])
    workspace.fill(
        part,
        (len(rows), preparation.channels, *sides),
        np.uint8,
        lambda chunk: prepare_pictures(_as_bytes(pictures[rows[chunk]]), preparation),
    )


def _as_bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    if values.dtype.kind == "b":
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype.kind == "f":
        values = np.rint(values.astype(np.float64) * 255)
    return values.astype(np.uint8)
