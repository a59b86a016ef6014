"""Images in a folder or zip file of the user."""

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
from lorae.data.image_files import ImageStore, content_digest, open_store
from lorae.data.preprocessing import Preparation
from lorae.data.splits import refuse_seeded_split, seeded_split
from lorae.errors import LoraeError

Names = dict[Part, list[str]]
Labels = dict[Part, NDArray[np.int64]]


def load_folder(settings: DataSettings, path: Path) -> Dataset:
    """Load the images below a folder or in a zip file.

    Subfolders `train` and `test` are the split if both hold images, else the split is seeded. Class subfolders give
    labels if every image lies in one.
    """
    with open_store(path) as store:
        if len(store.names) < 2:
            raise LoraeError(f"data: {path} holds 1 image file, expected at least 2")
        names = _own_split(store.names, path)
        if names is None:
            names = seeded_names(store.names, settings)
            labels = _class_labels(names, depth=0)
        else:
            refuse_seeded_split(settings, str(path))
            labels = _class_labels(names, depth=1)
        channels = settings.channels or first_mode_channels(store)
        preparation = Preparation(settings.size or USER_DATA.size, channels, settings.crop)
        dataset = load_store("folder", store, names, labels, settings.skip_bad, preparation)
    if path.is_dir():
        return replace(dataset, name=path.resolve().name, source=f"image folder {path}")
    return replace(dataset, name=path.stem, source=f"zip file of images {path}")


def load_store(
    kind: str, store: ImageStore, names: Names, labels: Labels | None, skip_bad: bool, preparation: Preparation
) -> Dataset:
    """Load the pictures of a store with a given split; the caller sets name and source of the data set."""
    content = content_digest(store, [file for part in PARTS for file in names[part]])
    key = content_key(
        kind,
        content,
        counts=[len(names[part]) for part in PARTS],
        labelled=labels is not None,
        skip_bad=skip_bad,
        **vars(preparation),
    )

    assert preparation.size is not None, "image files differ in size, so they are always resized"
    sides = (preparation.size, preparation.size)

    def prepare(workspace: DatasetBuilder) -> DatasetInfo:
        for part, numbers in (labels or {}).items():
            workspace.set_labels(part, numbers)
        skipped = decode_splits(store, names, sides, preparation, skip_bad, workspace)
        return DatasetInfo(kind, {"names and files": f"blake2b:{content}"}, skipped=skipped)

    dataset, facts = cached(kind, key, prepare)
    report_skipped(facts.skipped)
    return dataset


def seeded_names(files: list[str], settings: DataSettings) -> Names:
    """Split files by seed."""
    train, test = seeded_split(len(files), settings)
    return {"train": [files[index] for index in train], "test": [files[index] for index in test]}


def _own_split(files: list[str], path: Path) -> Names | None:
    """Return the files below `train` and below `test`, or None unless both hold some."""
    names: Names = {part: [file for file in files if file.startswith(f"{part}/")] for part in PARTS}
    if not all(names.values()):
        return None
    outside = len(files) - sum(len(part) for part in names.values())
    if outside:
        print(f"data: left out {outside} image files of {path} outside train/ and test/", file=sys.stderr)
    return names


def _class_labels(names: Names, depth: int) -> Labels | None:
    """Return the number of each file's class, its folder at a depth, or None if a file lies in none."""
    folders = {part: [file.split("/")[depth:-1] for file in names[part]] for part in PARTS}
    if not all(below for part in PARTS for below in folders[part]):
        return None
    classes = sorted({below[0] for part in PARTS for below in folders[part]})
    # A single folder around all pictures distinguishes nothing.
    if len(classes) < 2:
        return None
    number = {name: index for index, name in enumerate(classes)}
    return {part: np.array([number[below[0]] for below in folders[part]], dtype=np.int64) for part in PARTS}
