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
from lorae.data.arrays import load_whole_array
from lorae.data.decode import decode_files, first_mode_channels, report_skipped, undecodable
from lorae.data.image_files import IMAGE_SUFFIXES, THREADS, FolderStore, ImageStore, ZipStore
from lorae.data.preprocessing import Preparation
from lorae.data.registry import load_data, source_names
from lorae.errors import LoraeError

# The EXIF tag whose values from 5 on mean that decoding swaps height and width.
ORIENTATION = 0x0112

SPLITS = ("train", "test")


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
    skip_bad: leave out files that cannot be decoded

    Raises LoraeError for missing, empty, mixed and broken sources.
    """
    if not isinstance(source, (str, Path)):
        return Collection("array", load_whole_array(np.asarray(source), "array", size))
    name, _, split = str(source).partition(":")
    if name in source_names() and split in SPLITS:
        dataset = load_data(DataSettings(data=name, size=size))
        return Collection(str(source), getattr(dataset, split).inputs)
    path = Path(source).expanduser()
    if path.is_dir():
        return Collection(str(source), _load_pictures(FolderStore(path), path, size, skip_bad))
    if path.is_file() and path.suffix.lower() == ".zip":
        store = ZipStore(path)
        try:
            return Collection(str(source), _load_pictures(store, path, size, skip_bad))
        finally:
            store.close()
    if path.is_file() and path.suffix.lower() in (".npy", ".npz"):
        return Collection(str(source), load_whole_array(_read_array(path), path.name, size))
    raise LoraeError(
        f"data: got {str(source)!r}, expected a folder or .zip file of images, an .npy or .npz file, or a split of a "
        f"named data set, as in {source_names()[0]}:test"
    )


def _read_array(path: Path) -> NDArray[Any]:
    try:
        with path.open("rb") as file:  # NumPy leaves a damaged file open
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return loaded
            with loaded:
                if len(loaded.files) != 1:
                    raise LoraeError(f"{path}: got the keys {', '.join(loaded.files)}, expected a single array")
                array: NDArray[Any] = loaded[loaded.files[0]]
                return array
    except LoraeError:
        raise
    except Exception as error:  # NumPy raises many kinds for a damaged file
        raise LoraeError(f"{path}: not a readable {path.suffix} file ({error})") from None


def _load_pictures(store: ImageStore, path: Path, size: int | None, skip_bad: bool) -> NDArray[np.uint8]:
    if not store.names:
        raise LoraeError(f"data: {path} holds no image files, expected some of {', '.join(sorted(IMAGE_SUFFIXES))}")
    sides = (size, size) if size is not None else _common_sides(store, path)
    preparation = Preparation(size, first_mode_channels(store))
    out = np.empty((len(store.names), preparation.channels, *sides), dtype=np.uint8)
    bad = decode_files(store, store.names, preparation, out, f"decode {path.name}")
    if bad and not (skip_bad and len(bad) < len(store.names)):
        raise undecodable(bad, len(store.names))
    report_skipped(bad)
    return out[[name not in bad for name in store.names]] if bad else out


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
