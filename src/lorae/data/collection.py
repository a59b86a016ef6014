"""Collections of images or vectors without a split, for comparisons: folders, zip files, arrays, data sets."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae.config.data_settings import DataSettings
from lorae.data.arrays import holds_arrays, load_whole_array, read_array_file
from lorae.data.cache import PARTS, DatasetBuilder, Part
from lorae.data.decode import decode_splits, frames_left_out, read_facts, report_left_out, skipped_files, survey
from lorae.data.image_files import ImageStore, holds_images, left_out_files, open_store
from lorae.data.pictures import read_sides
from lorae.data.pixels import Limits, warn_of_range
from lorae.data.preprocessing import Preparation
from lorae.data.registry import load_data, source_names
from lorae.errors import LoraeError


@dataclass(frozen=True)
class Collection:
    """Named uint8 images (n, c, h, w) or vectors (n, d)."""

    name: str
    items: NDArray[Any]

    def __len__(self) -> int:
        return len(self.items)


def load_collection(
    source: str | Path | NDArray[Any],
    size: int | None = None,
    skip_bad: bool = False,
    value_range: Limits | None = None,
    kind: str = "auto",
) -> Collection:
    """Load all images or vectors of a source, without a split.

    source: a folder or .zip file of images, an .npy file, an .npz file of one array, an array, or a split of a named
        data set, as `mnist:test`
    size: side in pixels after resizing; None keeps the size of the images, which must all have the same
    value_range: values of black and white; None: the range of the type (see `lorae.data.pixels`)
    kind: the setting of items of arrays
    """
    if not isinstance(source, (str, Path)):
        return Collection("array", load_whole_array(source, "array", size, value_range, kind))
    name, _, split = str(source).partition(":")
    if name in source_names() and split in PARTS:
        dataset = load_data(DataSettings(data=name, size=size))
        return Collection(str(source), getattr(dataset, split).inputs)
    path = Path(source).expanduser()
    if holds_images(path):
        with open_store(path) as store:
            return Collection(str(source), _load_pictures(store, path, size, skip_bad, value_range))
    if holds_arrays(path):
        return Collection(str(source), load_whole_array(_single_array(path), path.name, size, value_range, kind))
    raise LoraeError(
        f"data: got {str(source)!r}, expected a folder or .zip file of images, an .npy or .npz file, or a split of a "
        f"named data set, as in {source_names()[0]}:test"
    )


def _single_array(path: Path) -> NDArray[Any]:
    loaded = read_array_file(path)
    if not isinstance(loaded, dict):
        return loaded
    if len(loaded) != 1:
        raise LoraeError(f"{path}: got the keys {', '.join(loaded)}, expected a single array")
    (array,) = loaded.values()
    return array


def _load_pictures(
    store: ImageStore, path: Path, size: int | None, skip_bad: bool, limits: Limits | None
) -> NDArray[np.uint8]:
    sides = (size, size) if size is not None else _common_sides(store, path)
    found = survey(store, store.names)
    names: dict[Part, list[str]] = {"train": store.names}
    workspace = DatasetBuilder(None)
    preparation = Preparation(size, found.channels)
    bad = decode_splits(store, names, sides, preparation, workspace, skip_bad=skip_bad, limits=limits)
    report_left_out([*left_out_files(store), *skipped_files(bad), *frames_left_out(found)])
    warn_of_range(limits, found.dtypes, workspace.peak())
    return workspace.arrays["train"]


def _common_sides(store: ImageStore, path: Path) -> tuple[int, int]:
    """Return the height and width of all pictures; decoding reports files that cannot be read."""
    found = Counter(read_facts(store, store.names, "read sizes", read_sides).values())
    if len(found) > 1:
        listed = ", ".join(f"{count} of {height}x{width}" for (height, width), count in found.most_common(3))
        raise LoraeError(
            f"data: the images of {path} differ in size ({listed}), expected one size; pass size=N",
            settings={"size": "N"},
        )
    return next(iter(found), (1, 1))
