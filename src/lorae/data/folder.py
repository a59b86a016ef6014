"""A folder (or zip file) of images of the user."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lorae.config.data_settings import DataSettings
from lorae.config.datasets import USER_DATA
from lorae.data.cache import PARTS, DatasetBuilder, DatasetInfo, Part, cached, content_key
from lorae.data.dataset import Dataset
from lorae.data.decode import decode_splits, first_mode_channels, report_skipped
from lorae.data.image_files import IMAGE_SUFFIXES, FolderStore, ImageStore, ZipStore, content_digest
from lorae.data.preprocessing import Preparation
from lorae.data.splits import refuse_seeded_split, seeded_split
from lorae.errors import LoraeError

Names = dict[Part, list[str]]
Labels = dict[Part, NDArray[np.int64]]


def load_folder(settings: DataSettings, path: Path) -> Dataset:
    """The images below a folder or in a zip file, uint8 (n, c, size, size).

    Subfolders `train` and `test` are the split where both hold images, else the split is seeded. Class
    subfolders give int64 labels where every image lies in one.
    Raises LoraeError for a folder without images, fewer than two images, and files that cannot be decoded.
    """
    store: FolderStore | ZipStore = FolderStore(path) if path.is_dir() else ZipStore(path)
    try:
        return _load(settings, path, store)
    finally:
        if isinstance(store, ZipStore):
            store.close()


def load_store(
    kind: str,
    store: ImageStore,
    names: Names,
    labels: Labels | None,
    settings: DataSettings,
    preparation: Preparation,
) -> Dataset:
    """The pictures of a store, split as given, from the cache or decoded now; errors as `decode_splits`.

    The name and the source of the data set are left to the caller.
    """
    content = content_digest(store, [file for part in PARTS for file in names[part]])
    key = content_key(
        kind,
        content,
        counts=[len(names[part]) for part in PARTS],
        labelled=labels is not None,
        skip_bad=settings.skip_bad,
        **vars(preparation),
    )

    def prepare(workspace: DatasetBuilder) -> DatasetInfo:
        skipped = decode_splits(store, names, labels, preparation, settings.skip_bad, workspace)
        return DatasetInfo(kind, {"names and files": f"blake2b:{content}"}, skipped=skipped)

    dataset, facts = cached(kind, key, prepare)
    report_skipped(facts.skipped)
    return dataset


def _load(settings: DataSettings, path: Path, store: ImageStore) -> Dataset:
    if not store.names:
        raise LoraeError(f"data: {path} holds no image files, expected some of {', '.join(sorted(IMAGE_SUFFIXES))}")
    if len(store.names) < 2:
        raise LoraeError(f"data: {path} holds 1 image file, expected at least 2")
    names = _own_split(store.names, path)
    if names is None:
        train, test = seeded_split(len(store.names), settings)
        names = {
            "train": [store.names[index] for index in train],
            "test": [store.names[index] for index in test],
        }
        labels = _class_labels(names, depth=0)
    else:
        refuse_seeded_split(settings, str(path))
        labels = _class_labels(names, depth=1)
    channels = settings.channels or first_mode_channels(store)
    preparation = Preparation(settings.size or USER_DATA.size, channels, settings.crop)
    dataset = load_store("folder", store, names, labels, settings, preparation)
    what = "image folder" if path.is_dir() else "zip file of images"
    name = path.resolve().name if path.is_dir() else path.stem
    return replace(dataset, name=name, source=f"{what} {path}")


def _own_split(files: list[str], path: Path) -> Names | None:
    """The files below `train` and below `test`, or None unless both hold some."""
    names: Names = {part: [file for file in files if file.startswith(f"{part}/")] for part in PARTS}
    if not all(names.values()):
        return None
    outside = len(files) - sum(len(part) for part in names.values())
    if outside:
        print(f"data: left out {outside} image files of {path} outside train/ and test/", file=sys.stderr)
    return names


def _class_labels(names: Names, depth: int) -> Labels | None:
    """The number of each file's class, the folder at the given depth, or None where a file lies in none."""
    folders = {part: [file.split("/")[depth:-1] for file in names[part]] for part in PARTS}
    if not all(below for part in PARTS for below in folders[part]):
        return None
    classes = sorted({below[0] for part in PARTS for below in folders[part]})
    # A single folder around all pictures tells nothing apart.
    if len(classes) < 2:
        return None
    number = {name: index for index, name in enumerate(classes)}
    return {part: np.array([number[below[0]] for below in folders[part]], dtype=np.int64) for part in PARTS}
