"""Collections of images or vectors without a split, for comparisons: folders, zip files, arrays, data sets."""

import io
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lorae.config.data_settings import DataSettings
from lorae.data.arrays import holds_arrays, load_whole_array, read_array_file
from lorae.data.cache import PARTS, DatasetBuilder
from lorae.data.decode import decode_splits, first_mode_channels, report_skipped
from lorae.data.image_files import THREADS, ImageStore, holds_images, open_store
from lorae.data.preprocessing import Preparation
from lorae.data.registry import load_data, source_names
from lorae.errors import LoraeError

# The EXIF tag whose values from 5 on mean that decoding swaps height and width.
ORIENTATION = 0x0112


@dataclass(frozen=True)
class Collection:
    """Named uint8 images (n, c, h, w) or float32 vectors (n, d)."""

    name: str
    items: NDArray[Any]

    def __len__(self) -> int:
        return len(self.items)


def load_collection(source: str | Path | NDArray[Any], size: int | None = None, skip_bad: bool = False) -> Collection:
    """Load all images or vectors of a source, without a split.

    source: a folder or .zip file of images, an .npy file, an .npz file of one array, an array, or a split of a named
        data set, as `mnist:test`
    size: side in pixels after resizing; None keeps the size of the images, which must all have the same
    """
    if not isinstance(source, (str, Path)):
        return Collection("array", load_whole_array(np.asarray(source), "array", size))
    name, _, split = str(source).partition(":")
    if name in source_names() and split in PARTS:
        dataset = load_data(DataSettings(data=name, size=size))
        return Collection(str(source), getattr(dataset, split).inputs)
    path = Path(source).expanduser()
    if holds_images(path):
        with open_store(path) as store:
            return Collection(str(source), _load_pictures(store, path, size, skip_bad))
    if holds_arrays(path):
        return Collection(str(source), load_whole_array(_single_array(path), path.name, size))
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


def _load_pictures(store: ImageStore, path: Path, size: int | None, skip_bad: bool) -> NDArray[np.uint8]:
    sides = (size, size) if size is not None else _common_sides(store, path)
    preparation = Preparation(size, first_mode_channels(store))
    workspace = DatasetBuilder(None)
    report_skipped(decode_splits(store, {"train": store.names}, sides, preparation, skip_bad, workspace))
    return workspace.arrays["train"]


def _common_sides(store: ImageStore, path: Path) -> tuple[int, int]:
    """Return the height and width of all pictures; decoding reports files that cannot be read."""

    def sides(name: str) -> tuple[int, int] | None:
        try:
            with Image.open(io.BytesIO(store.read(name))) as picture:
                turned = picture.getexif().get(ORIENTATION) in (5, 6, 7, 8)
                return (picture.width, picture.height) if turned else (picture.height, picture.width)
        except Exception:
            return None

    with ThreadPoolExecutor(THREADS) as pool:
        found = Counter(side for side in pool.map(sides, store.names) if side is not None)
    if len(found) > 1:
        listed = ", ".join(f"{count} of {height}x{width}" for (height, width), count in found.most_common(3))
        raise LoraeError(
            f"data: the images of {path} differ in size ({listed}), expected one size; pass size=N",
            settings={"size": "N"},
        )
    return next(iter(found), (1, 1))
