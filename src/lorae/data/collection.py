"""Collections of images or vectors without a split, for comparisons and for encoding."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lorae.config.data_settings import FILES_OF_ITEMS, DataSettings
from lorae.data.arrays import load_whole_array
from lorae.data.cache import PARTS, DatasetBuilder, Part
from lorae.data.decode import decode_splits, frames_left_out, read_facts, report_left_out, skipped_files, survey
from lorae.data.image_files import ImageStore, holds_images, left_out_files, open_store
from lorae.data.pictures import read_sides
from lorae.data.pixels import Limits, warn_of_range
from lorae.data.preprocessing import Preparation
from lorae.data.registry import load_data, source_names
from lorae.data.sources import RawItems, in_order, is_items_file, read_items
from lorae.errors import LoraeError
from lorae.extras import import_extra
from lorae.plain_arrays import check_columns
from lorae.system.files import home_expanded
from lorae.system.stored_items import Items


@dataclass(frozen=True)
class Collection:
    """Named uint8 images (n, c, h, w) or vectors (n, d), an array or `StoredItems`."""

    name: str
    items: Any
    columns: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.items)


def load_collection(
    source: Any,
    size: int | None = None,
    skip_bad: bool = False,
    value_range: Limits | None = None,
    columns: Sequence[str] = (),
) -> Collection:
    """Load all images or vectors of a source, without a split.

    source: a folder or .zip file of images, a split of a named data set, as `mnist:test`, or anything that
        `lorae.data.sources.read_items` reads
    size: side in pixels after resizing; None keeps the size of the images, which must all have the same
    value_range: values of black and white; None: the range of the type (see `lorae.data.pixels`)
    columns: names of columns, by which those of a table are ordered
    """
    title = str(source) if isinstance(source, (str, Path)) else "array"
    raw, prepared = read_collection(source, title, Preparation(size, 0), skip_bad, value_range)
    raw = in_order(raw, columns)
    items = raw.inputs if prepared else load_whole_array(raw.inputs, raw.title, size, value_range)
    return Collection(title, items, raw.columns)


def read_collection(
    source: Any, title: str, preparation: Preparation, skip_bad: bool = False, limits: Limits | None = None
) -> tuple[RawItems, bool]:
    """Return all items of a source, and whether they are prepared already, as those of image folders are.

    preparation: of the pictures of folders and zip files; 0 channels are those of the files
    """
    if not isinstance(source, (str, Path)):
        return read_items(source, title), False
    name, _, split = str(source).partition(":")
    if name in source_names() and split in PARTS:
        dataset = load_data(DataSettings(data=name, size=preparation.size))
        return RawItems(getattr(dataset, split).inputs, title), True
    path = home_expanded(source)
    if holds_images(path):
        with open_store(path) as store:
            return RawItems(_load_pictures(store, path, preparation, skip_bad, limits), title), True
    if is_items_file(path):
        return read_items(path, title), False
    raise LoraeError(
        f"data: got {str(source)!r}, expected {FILES_OF_ITEMS}, or a split of a named data "
        f"set, as in {source_names()[0]}:test"
    )


def for_scikit_learn(source: Any, title: str) -> Any:
    """Return the items of a source as an array, or as a data frame where their columns have names.

    Data frames are checked and returned as they are, with their missing values.
    """
    if type(source).__module__.split(".")[0] in ("pandas", "polars"):
        check_columns(source, title, missing=True)
        return source
    raw, _ = read_collection(source, title, Preparation(None, 0))
    if not raw.columns:
        return raw.inputs
    pandas = import_extra("pandas", f"{title}: scikit-learn keeps names of columns by pandas")
    return pandas.DataFrame(raw.inputs, columns=list(raw.columns))


def _load_pictures(
    store: ImageStore, path: Path, preparation: Preparation, skip_bad: bool, limits: Limits | None
) -> Items:
    size = preparation.size
    sides = (size, size) if size is not None else preparation.output_sides(*_common_sides(store, path))
    found = survey(store, store.names)
    names: dict[Part, list[str]] = {"train": store.names}
    workspace = DatasetBuilder(None)
    preparation = replace(preparation, channels=preparation.channels or found.channels)
    bad = decode_splits(store, names, sides, preparation, workspace, skip_bad=skip_bad, limits=limits)
    report_left_out([*left_out_files(store), *skipped_files(bad), *frames_left_out(found)])
    warn_of_range(limits, found.dtypes, workspace.peak())
    return workspace.arrays["train"]


def _common_sides(store: ImageStore, path: Path) -> tuple[int, int]:
    """Return the height and width of all pictures; decoding reports files that cannot be read."""
    found = Counter(sides for _, sides in read_facts(store, store.names, "read sizes", read_sides))
    if len(found) > 1:
        listed = ", ".join(f"{count} of {height}x{width}" for (height, width), count in found.most_common(3))
        raise LoraeError(
            f"data: the images of {path} differ in size ({listed}), expected one size; pass size=N",
            settings={"size": "N"},
        )
    return next(iter(found), (1, 1))
