"""Whatever a user passes as data, turned into raw items by one function, for training, encoding and comparing alike."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lorae.data.cache import Part
from lorae.data.image_files import IMAGE_SUFFIXES
from lorae.data.npy_files import read_large_members, read_npy, stored_map
from lorae.data.pictures import read_frames, reason
from lorae.data.tables import SUFFIXES, read_table
from lorae.data.torch_data import is_torch_data, read_torch_data
from lorae.errors import LoraeError
from lorae.plain_arrays import column_names, is_array
from lorae.system import files
from lorae.system.files import temporary_folder
from lorae.system.memory import check_unpacked
from lorae.system.stored_items import Items, StoredItems, changed, in_memory_bytes, parts, plain_items, temporary

SINGLE_KEYS = ("images", "data", "X", "x")
LABEL_KEYS = ("labels", "y")
SPLIT_KEYS = (("train", "test", "train_labels", "test_labels"), ("x_train", "x_test", "y_train", "y_test"))


# The largest factor by which the usual packing of zip files shrinks anything.
MOST_PACKED = 1032


class RawItems(NamedTuple):
    """Items as they came, not yet checked or prepared: an array of numbers whose first axis counts them, or a file.

    title: their name in messages
    columns: names of the columns of a table
    """

    inputs: Items
    title: str
    labels: NDArray[Any] | None = None
    columns: tuple[str, ...] = ()


def is_source(value: Any) -> bool:
    """Return whether a value in memory is of a type that `read_items` reads or refuses with advice."""
    return isinstance(value, StoredItems) or is_array(value) or is_torch_data(value)


def is_items_file(path: Path) -> bool:
    """Return whether a path is a file that `read_items` reads, by its suffix."""
    return path.is_file() and path.suffix.lower() in (".npy", ".npz", *SUFFIXES, *IMAGE_SUFFIXES)


def read_items(given: Any, title: str) -> RawItems:
    """Return the items of whatever a user passes as data, but for folders of images and names of data sets.

    given: an array, a tensor, a table of pandas, polars or pyarrow, a Dataset or DataLoader of torch, or a file: .npy,
        .npz, .csv, .tsv, .parquet, or an image file, whose frames are the items

    Raises LoraeError with the row, the column, the item or the frame that is refused.
    """
    if isinstance(given, (str, Path)):
        return _whole(read_file(Path(given)))
    if is_torch_data(given):
        inputs, labels = read_torch_data(given, title)
        return RawItems(inputs, title, labels)
    mapped = stored_map(given)
    return RawItems(plain_items(given, title) if mapped is None else mapped, title, columns=column_names(given))


def read_file(path: Path) -> dict[Part | None, RawItems]:
    """Return the items of a file: by split if it holds a training and a test split, else under None."""
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        values, columns = read_table(path)
        return {None: RawItems(values, path.name, columns=columns)}
    if suffix in IMAGE_SUFFIXES:
        try:
            return {None: RawItems(read_frames(files.read_file(path)), path.name)}
        except Exception as error:  # broken files make Pillow raise almost anything
            raise LoraeError(
                f"{path}: cannot be read as images ({reason(error)}); convert it to an .npy file or to image files"
            ) from None
    loaded = read_array_file(path)
    return _by_key(loaded, path) if isinstance(loaded, dict) else {None: RawItems(loaded, path.name)}


def in_order(items: RawItems, expected: Sequence[str]) -> RawItems:
    """Return items with their columns in the order of training; unchanged if either table has no names.

    Raises LoraeError for other columns.
    """
    names, wanted = items.columns, tuple(expected)
    if names == wanted or not names or not wanted:
        return items
    missing = [name for name in wanted if name not in names]
    others = [name for name in names if name not in wanted]
    if missing or others or len(names) != len(set(names)):
        found = [f"{word} {_listed(some)}" for word, some in (("lacks", missing), ("has besides", others)) if some]
        raise LoraeError(
            f"{items.title}: got a table that {' and '.join(found) or 'repeats names'}, expected those of "
            f"training; pass {_listed(wanted)} only"
        )
    order = [names.index(name) for name in wanted]
    inputs = items.inputs
    ordered = changed(inputs, lambda rows: rows[:, order], inputs.shape[1:], inputs.dtype)
    return items._replace(inputs=ordered, columns=wanted)


def read_array_file(path: Path) -> Items | dict[str, Items]:
    """Return the array of an .npy file, or those of an .npz file by key; LoraeError for unreadable files.

    Large arrays stay in the file.
    """
    try:
        if not zipfile.is_zipfile(path):
            return read_npy(path)
        large = {}
        if path.stat().st_size > in_memory_bytes() // MOST_PACKED:
            large = read_large_members(path, temporary_folder())
        if not large:
            check_unpacked(path, "its arrays")
        with np.load(path, allow_pickle=False) as loaded:
            return {key: large[key] if key in large else loaded[key] for key in loaded.files}
    except Exception as error:  # NumPy raises many kinds for a damaged file
        raise LoraeError(f"{path}: not a readable {path.suffix} file ({reason(error)})") from error


def _by_key(arrays: dict[str, Any], path: Path) -> dict[Part | None, RawItems]:
    found = set(arrays)
    for train, test, train_labels, test_labels in SPLIT_KEYS:
        if found in ({train, test}, {train, test, train_labels, test_labels}):
            return {
                "train": RawItems(arrays[train], f"{path.name}: {train}", _labels(arrays, train_labels)),
                "test": RawItems(arrays[test], f"{path.name}: {test}", _labels(arrays, test_labels)),
            }
    labelled = [(key, label) for key in SINGLE_KEYS for label in LABEL_KEYS if found == {key, label}]
    alone = [(key, "") for key in found if len(found) == 1]
    for key, label in labelled + alone:
        return {None: RawItems(arrays[key], f"{path.name}: {key}", _labels(arrays, label))}
    raise LoraeError(
        f"{path}: got the keys {', '.join(sorted(found)) or '(none)'}, expected train and test (with train_labels "
        "and test_labels), x_train and x_test (with y_train and y_test), one of images, data, X, x with one of "
        "labels, y, or a single array"
    )


def _labels(arrays: dict[str, Any], key: str) -> NDArray[Any] | None:
    """Return labels, which are kept in memory, or None."""
    return np.asarray(arrays[key]) if key in arrays else None


def _whole(pieces: dict[Part | None, RawItems]) -> RawItems:
    """Return all items of a file, those of a training split before those of its test split."""
    if None in pieces:
        return pieces[None]
    train, test = pieces["train"], pieces["test"]
    inputs = [plain_items(piece.inputs, piece.title) for piece in (train, test)]
    if inputs[0].shape[1:] != inputs[1].shape[1:]:
        raise LoraeError(f"{train.title} and test: got shapes {inputs[0].shape} and {inputs[1].shape}, expected alike")
    return RawItems(_joined(inputs), train.title.split(":")[0])


def _joined(inputs: list[Items]) -> Items:
    """Return the items of several arrays, in a temporary file if some are in files."""
    if all(isinstance(part, np.ndarray) for part in inputs):
        return np.concatenate(inputs)
    shape = (sum(map(len, inputs)), *inputs[0].shape[1:])
    dtype = np.result_type(*(part.dtype for part in inputs))
    return temporary(temporary_folder(), shape, dtype, lambda: (part[rows] for part in inputs for rows in parts(part)))


def _listed(names: Sequence[str]) -> str:
    """Return the first few of some names."""
    return ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
