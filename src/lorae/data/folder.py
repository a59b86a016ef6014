"""Images in a folder or zip file of the user."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lorae.config.data_settings import DataSettings
from lorae.config.datasets import USER_DATA, DatasetDefaults
from lorae.data.cache import PARTS, DatasetBuilder, DatasetInfo, Part, cached, content_key, remembered
from lorae.data.dataset import Dataset
from lorae.data.decode import Survey, decode_splits, frames_left_out, report_left_out, skipped_files, survey
from lorae.data.image_files import ImageStore, counted, left_out_files, open_store, store_digest
from lorae.data.pixels import range_key, warn_of_range
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
        names = _own_split(store.names)
        if names is None:
            names = seeded_names(store.names, settings)
            labels = _class_labels(names, depth=0)
        else:
            refuse_seeded_split(settings, str(path))
            labels = _class_labels(names, depth=1)
        left_out = left_out_files(store)
        outside = len(store.names) - sum(len(files) for files in names.values())
        if outside:
            left_out.append(f"{counted(outside, 'image file')} of {path} outside train/ and test/")
        dataset = load_store("folder", store, names, labels, settings, USER_DATA, left_out)
    if path.is_dir():
        return replace(dataset, name=path.resolve().name, source=f"image folder {path}")
    return replace(dataset, name=path.stem, source=f"zip file of images {path}")


def load_store(
    kind: str,
    store: ImageStore,
    names: Names,
    labels: Labels | None,
    settings: DataSettings,
    defaults: DatasetDefaults,
    left_out: list[str],
) -> Dataset:
    """Load the pictures of a store with a given split; the caller sets name and source of the data set."""
    files = [file for part in PARTS for file in names[part]]
    content = store_digest(store, files)
    # The files of a known data set are as its defaults say.
    found = Survey() if defaults.channels else remembered(f"survey-{content}", Survey, partial(survey, store, files))
    preparation = Preparation.from_settings(settings, replace(defaults, channels=defaults.channels or found.channels))
    key = content_key(
        kind,
        content,
        counts=[len(names[part]) for part in PARTS],
        labelled=labels is not None,
        skip_bad=settings.skip_bad,
        **vars(preparation),
        **range_key(settings.value_range, rule_changed="int32" in found.dtypes),
    )
    assert preparation.size is not None, "image files differ in size, so they are always resized"
    sides = (preparation.size, preparation.size)
    # The first readable ones are known only after decoding.
    limited = None if settings.skip_bad else settings.prepared_limit_of(len(names["train"]))

    def prepare(workspace: DatasetBuilder) -> DatasetInfo:
        chosen = {"train": slice(limited), "test": slice(None)}
        for part, numbers in (labels or {}).items():
            workspace.set_labels(part, numbers[chosen[part]])
        decoded = {part: names[part][chosen[part]] for part in PARTS}
        limits, skip_bad = settings.value_range, settings.skip_bad
        skipped = decode_splits(store, decoded, sides, preparation, workspace, skip_bad=skip_bad, limits=limits)
        return DatasetInfo(kind, {"names and files": f"blake2b:{content}"}, skipped=skipped, peak=workspace.peak())

    dataset, facts = cached(kind, key, prepare, limited)
    left_out = [*left_out, *skipped_files(facts.skipped), *frames_left_out(found)]
    report_left_out(left_out)
    warn_of_range(settings.value_range, found.dtypes, facts.peak)
    return replace(dataset, left_out=tuple(left_out))


def seeded_names(files: list[str], settings: DataSettings) -> Names:
    """Split files by seed."""
    train, test = seeded_split(len(files), settings)
    return {"train": [files[index] for index in train], "test": [files[index] for index in test]}


def _own_split(files: list[str]) -> Names | None:
    """Return the files below `train` and below `test`, or None unless both hold some."""
    names: Names = {part: [file for file in files if file.startswith(f"{part}/")] for part in PARTS}
    return names if all(names.values()) else None


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
