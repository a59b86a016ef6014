"""Named data sets, and the choice between them, folders, files and arrays."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from lorae.config.data_settings import FILES_OF_ITEMS, DataSettings
from lorae.config.datasets import DATASETS, DatasetDefaults
from lorae.data.arrays import load_array, load_file
from lorae.data.celeba import load_celeba
from lorae.data.dataset import Dataset
from lorae.data.folder import load_folder
from lorae.data.image_files import holds_images
from lorae.data.mnist import load_idx
from lorae.data.shapes import load_shapes
from lorae.data.sources import is_items_file
from lorae.errors import LoraeError, did_you_mean
from lorae.system.files import home_expanded


class NamedSource(NamedTuple):
    """A data set that is chosen by name."""

    load: Callable[[DataSettings], Dataset]
    defaults: DatasetDefaults
    summary: str


_LOADERS: dict[str, Callable[[DataSettings], Dataset]] = {
    "mnist": partial(load_idx, "mnist"),
    "fashion-mnist": partial(load_idx, "fashion-mnist"),
    "celeba": load_celeba,
    "shapes": partial(load_shapes, "shapes"),
    "shapes-grey": partial(load_shapes, "shapes-grey"),
}
NAMED_SOURCES = {name: NamedSource(_LOADERS[name], row, row.summary) for name, row in DATASETS.items()}


def source_names() -> list[str]:
    """Return the names of the named data sets."""
    return list(NAMED_SOURCES)


def load_data(settings: DataSettings, array: Any = None) -> Dataset:
    """Load, prepare and split a data set.

    settings: its `data` is a name of `NAMED_SOURCES`, a folder or .zip file of images, or a file of items
    array: items in memory, in place of `data`: vectors (n, d), or images (n, h, w), (n, c, h, w) or (n, h, w, c), as
        anything that `lorae.data.sources.read_items` reads

    Returns uint8 images (n, c, h, w), vectors (n, d) or tensors (n, ...), float32 or, where that has too few digits,
    float64. Raises LoraeError for unknown data, settings that do not fit them, and missing or broken
    files.
    """
    dataset = _load_all(settings, array)
    if settings.kind == "tensors" and dataset.kind == "images":
        raise LoraeError(f"kind: got 'tensors', but {settings.data} holds images; leave it out")
    return dataset.held_out(settings.holdout, settings.split_seed).limited(settings.limit)


def _load_all(settings: DataSettings, array: Any) -> Dataset:
    source = NAMED_SOURCES.get(settings.data) if array is None else None
    own = () if source is None else source.defaults.own_settings
    for name in ("factors", "data_root"):
        value = getattr(settings, name)
        if value is not None and name not in own:
            takers = ", ".join(key for key, entry in DATASETS.items() if name in entry.own_settings)
            raise LoraeError(f"{name}: got {value!r}, but only {takers} take it")
    if source is not None and settings.value_range is not None:
        raise LoraeError(
            f"value_range: got {settings.value_range}, but {settings.data} has a range of its own; leave it out"
        )
    if array is not None:
        return load_array(settings, array)
    if source is not None:
        return source.load(settings)
    data, path = settings.data, home_expanded(settings.data)
    if holds_images(path):
        return load_folder(settings, path)
    if is_items_file(path):
        return load_file(settings, path)
    if not path.exists() and ("/" in data or path.suffix):
        raise LoraeError(f"data: {data!r} does not exist; expected {FILES_OF_ITEMS}")
    raise LoraeError(
        f"data: got {data!r}, expected {', '.join(source_names())}, {FILES_OF_ITEMS}"
        f"{did_you_mean(data, source_names())}"
    )
