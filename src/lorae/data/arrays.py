"""Items that are arrays of images or vectors, in memory or in a file: checked, split and prepared."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae.config.data_settings import DataSettings
from lorae.data.cache import (
    PARTS,
    DatasetBuilder,
    DatasetInfo,
    Part,
    cached,
    content_key,
    prepared_in_memory,
)
from lorae.data.dataset import Dataset, Split
from lorae.data.pieces import Piece, Scan, channels_first, check_all_values, check_piece, limits_of, scan, vector_dtype
from lorae.data.pixels import Limits, range_key, scaled_to_bytes, type_limits, warn_of_range
from lorae.data.preprocessing import Preparation, prepare_pictures
from lorae.data.sources import RawItems, read_file, read_items
from lorae.data.splits import refuse_seeded_split, seeded_split
from lorae.errors import LoraeError
from lorae.system.stored_items import StoredItems, plain_items

Pieces = dict[Part | None, Piece]
Splits = dict[Part, tuple[Piece, NDArray[np.int64]]]


def load_array(settings: DataSettings, given: Any) -> Dataset:
    """Load items in memory with a seeded split."""
    return _load(settings, {None: read_items(given, "array")}, "array", "array in memory", keep=False)


def load_file(settings: DataSettings, path: Path) -> Dataset:
    """Load the items of a file, as `load_array`; an .npz file may hold labels and a split."""
    return _load(settings, read_file(path), path.stem, f"{path.suffix[1:]} file {path}", keep=True)


def load_whole_array(array: Any, title: str, size: int | None, limits: Limits | None, kind: str = "auto") -> Any:
    """Return an array without a split: uint8 images (n, c, h, w) of any size, or resized, vectors or tensors.

    Items in a file stay there, and are prepared as they are read.
    """
    piece = Piece(plain_items(array, title), title, kind=kind)
    check_piece(piece)
    check_all_values(piece, limits)
    if piece.holds_vectors:
        for name, value in (("size", size), ("value_range", limits)):
            if value is not None:
                raise LoraeError(f"{name}: got {value}, but {title} holds vectors, not images")
    preparation = None if piece.holds_vectors else Preparation(size, piece.pictures.shape[3])
    dtype = vector_dtype([piece]) if preparation is None else np.dtype(np.uint8)
    if piece.stored is not None:
        return _prepared_view(piece, preparation, dtype, limits)
    workspace, all_rows = DatasetBuilder(None), np.arange(len(piece.inputs), dtype=np.int64)
    if preparation is None:
        _fill_vectors(workspace, "train", piece, all_rows, dtype)
    else:
        _fill_images(workspace, "train", piece, all_rows, preparation, limits)
        warn_of_range(limits, [str(piece.inputs.dtype)], workspace.peak())
    return workspace.arrays["train"]


def _load(settings: DataSettings, raw: Mapping[Part | None, RawItems], name: str, source: str, keep: bool) -> Dataset:
    pieces: Pieces = {part: Piece(*items, kind=settings.kind) for part, items in raw.items()}
    preparation, limits = _preparation(settings, pieces), settings.value_range
    dtypes = sorted({str(piece.inputs.dtype) for piece in pieces.values()})
    scans = {piece.title: scan(piece, limits) for piece in pieces.values()}
    dtype = np.dtype(np.float32) if preparation else vector_dtype(list(pieces.values()))
    splits = _split(pieces, settings)
    limited = settings.prepared_limit_of(len(splits["train"][1]))
    if limited is not None:  # the others are checked, and not copied
        piece, rows = splits["train"]
        splits["train"] = piece, rows[:limited]
    checksums = {title: f"blake2b:{scan.digest}" for title, scan in scans.items()}
    key = content_key(
        "arrays",
        " ".join(checksums.values()),
        split=None if None not in pieces else [settings.test_fraction, settings.split_seed],
        preparation=None if preparation is None else vars(preparation),
        **range_key(limits, rule_changed=preparation is not None and "uint16" in dtypes),
        **({} if dtype == np.float32 else {"dtype": str(dtype)}),
    )

    def prepare(workspace: DatasetBuilder) -> DatasetInfo:
        for piece in pieces.values():
            if piece.stored is None:  # those in a file are checked by the scan
                check_all_values(piece, limits)
        for part, (piece, chosen) in splits.items():
            if preparation is None:
                _fill_vectors(workspace, part, piece, chosen, dtype)
            else:
                _fill_images(workspace, part, piece, chosen, preparation, limits)
            if piece.labels is not None:
                workspace.set_labels(part, piece.labels.ravel()[chosen])
        return DatasetInfo(source, checksums, peak=workspace.peak() if preparation else None)

    if all(_is_prepared(piece, preparation, dtype, limits) for piece in pieces.values()):
        dataset, peak = _in_place(name, key, splits, preparation, dtype, limits), _largest(scans.values())
    else:
        dataset, facts = cached(name, key, prepare, limited) if keep else prepared_in_memory(name, key, prepare)
        peak = facts.peak
    if preparation is not None:
        warn_of_range(limits, dtypes, peak)
    columns = next(iter(pieces.values())).columns
    tensors = any(piece.holds_tensors for piece in pieces.values())
    return replace(dataset, source=source, checksums=checksums, columns=columns, tensors=tensors)


def _is_prepared(piece: Piece, preparation: Preparation | None, dtype: np.dtype[Any], limits: Limits | None) -> bool:
    """Return whether items are in a file in which preparation would change nothing but the layout."""
    if piece.stored is None or not piece.inputs.dtype.isnative:
        return False
    if preparation is None:
        return piece.inputs.dtype == dtype
    _, height, width, channels = piece.pictures.shape
    unscaled = piece.inputs.dtype == np.uint8 and limits in (None, type_limits(piece.inputs.dtype))
    same_sides = preparation.output_sides(height, width) == (height, width)
    return unscaled and same_sides and preparation.channels == channels


def _in_place(
    name: str,
    key: str,
    splits: Splits,
    preparation: Preparation | None,
    dtype: np.dtype[Any],
    limits: Limits | None,
) -> Dataset:
    """Return the data set of items that stay in the file of the user."""
    found = {}
    for part, (piece, rows) in splits.items():
        if len(rows) == 0:
            raise LoraeError(f"data: the {part} split is empty, expected at least 1 item")
        items: Any = _prepared_view(piece, preparation, dtype, limits).at(rows)
        labels = None if piece.labels is None else np.ascontiguousarray(piece.labels.ravel()[rows], dtype=np.int64)
        found[part] = Split(items, labels)
    return Dataset(name, found["train"], found["test"], name, key)


def _prepared_view(
    piece: Piece, preparation: Preparation | None, dtype: np.dtype[Any], limits: Limits | None
) -> StoredItems:
    """Return items in a file that are prepared as they are read."""
    stored = piece.stored
    assert stored is not None
    if preparation is None:
        if stored.dtype == dtype:
            return stored
        return stored.mapped(lambda items: items.astype(dtype), stored.shape[1:], dtype)
    pictures: Any = piece.pictures
    shape = (preparation.channels, *preparation.output_sides(*pictures.shape[1:3]))
    if _is_prepared(piece, preparation, dtype, limits):
        prepared: StoredItems = pictures.mapped(channels_first, shape, np.uint8)
    else:
        used = limits_of(piece, limits)
        prepared = pictures.mapped(
            lambda items: prepare_pictures(scaled_to_bytes(items, used), preparation), shape, np.uint8
        )
    return prepared


def _largest(scans: Iterable[Scan]) -> int | None:
    return max((scan.peak for scan in scans if scan.peak is not None), default=None)


def _split(pieces: Pieces, settings: DataSettings) -> Splits:
    whole = pieces.get(None)
    if whole is not None:
        train, test = seeded_split(len(whole.inputs), settings)
        return {"train": (whole, train), "test": (whole, test)}
    refuse_seeded_split(settings, pieces["train"].title.split(":")[0])
    return {part: (pieces[part], np.arange(len(pieces[part].inputs), dtype=np.int64)) for part in PARTS}


def _preparation(settings: DataSettings, pieces: Pieces) -> Preparation | None:
    """Check that all pieces fit each other, and return the preparation of images, or None for vectors."""
    for piece in pieces.values():
        check_piece(piece)
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


def _check_vectors(settings: DataSettings, pieces: Pieces) -> None:
    for name in ("size", "crop", "channels", "value_range"):
        if getattr(settings, name) is not None:
            raise LoraeError(f"{name}: got {getattr(settings, name)}, but the data are vectors, not images")
    shapes = {piece.inputs.shape[1:] for piece in pieces.values()}
    if len(shapes) > 1:
        raise LoraeError(f"data: got items of shapes {sorted(shapes)} in the two splits, expected one shape")


def _fill_vectors(
    workspace: DatasetBuilder, part: Part, piece: Piece, rows: NDArray[np.int64], dtype: np.dtype[Any]
) -> None:
    workspace.fill(part, (len(rows), *piece.inputs.shape[1:]), dtype, lambda chunk: piece.inputs[rows[chunk]])


def _fill_images(
    workspace: DatasetBuilder,
    part: Part,
    piece: Piece,
    rows: NDArray[np.int64],
    preparation: Preparation,
    limits: Limits | None,
) -> None:
    pictures, used = piece.pictures, limits_of(piece, limits)
    sides = preparation.output_sides(*pictures.shape[1:3])
    workspace.fill(
        part,
        (len(rows), preparation.channels, *sides),
        np.uint8,
        lambda chunk: prepare_pictures(scaled_to_bytes(pictures[rows[chunk]], used), preparation),
    )
