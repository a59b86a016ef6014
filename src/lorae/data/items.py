"""Items for a trained model, prepared as its training prepared them."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae.config.data_settings import DataSettings
from lorae.config.datasets import DATASETS
from lorae.data.arrays import load_whole_array
from lorae.data.collection import read_collection
from lorae.data.pictures import decode_picture, read_sides
from lorae.data.pixels import Limits
from lorae.data.preprocessing import Preparation, prepare_pictures
from lorae.data.sources import in_order
from lorae.errors import LoraeError
from lorae.system.stored_items import changed, plain_items, take


def read_for_model(settings: DataSettings, shape: tuple[int, ...], columns: Sequence[str], given: Any) -> Any:
    """Return the items of anything that training takes, for `prepare_items`, with columns in the order of training.

    Images of folders and zip files are prepared here, because they differ in size.
    """
    return _read(settings, shape, columns, given)[0]


def items_for_model(
    settings: DataSettings, shape: tuple[int, ...], columns: Sequence[str], given: Any, n: int | None = None
) -> Any:
    """Return the first n items, all for None, of anything that training takes, prepared as there."""
    items, prepared = _read(settings, shape, columns, given)
    first = take(items, slice(n))
    return first if prepared else prepare_items(settings, shape, first)


def _read(settings: DataSettings, shape: tuple[int, ...], columns: Sequence[str], given: Any) -> tuple[Any, bool]:
    """Return items in the order of training's columns, and whether they are prepared."""
    # Pictures of any size become squares, as in training.
    square = len(shape) == 3 and shape[1] == shape[2]
    preparation = _preparation(settings, shape, shape[1] if square else None)
    raw, prepared = read_collection(given, "items", preparation, settings.skip_bad, settings.value_range)
    items = in_order(raw, columns).inputs
    if items.ndim == 0:
        raise LoraeError(f"{raw.title}: got a single number, expected several items")
    return items, prepared


def prepare_items(settings: DataSettings, shape: tuple[int, ...], given: Any) -> Any:
    """Return raw items in the form that a model of items of this shape takes.

    Every layout, dtype and size that training takes is taken, and prepared by the same settings: a channel axis is
    added or moved, images are cropped, resized and recolored. Rows of as many values as an image has are such images.
    """
    array = plain_items(given, "items")
    # Three axes are also those of several gray images, which are neither 1 nor 3 pixels wide.
    alone = array.ndim == len(shape) == 3 and (array.shape[2] in (1, 3) or array.shape[0] == shape[0] == 3)
    if alone or array.shape in (shape, shape[1:]):
        expected = "x".join(map(str, ("n", *shape)))
        raise LoraeError(f"items: got one of shape {array.shape}, expected several, {expected}; pass items[None]")
    if array.ndim == 2 and len(shape) == 3 and array.shape[1] == math.prod(shape):
        array = changed(array, lambda rows: rows.reshape(-1, *shape), shape, array.dtype)
    items = load_whole_array(array, "items", None, settings.value_range, settings.kind)
    if items.ndim != 4 or items.shape[1:] == shape or len(shape) != 3 or settings.kind == "tensors":
        return items
    preparation = _preparation(settings, shape, settings.size)

    def prepared(rows: NDArray[Any]) -> NDArray[Any]:
        return prepare_pictures(rows.transpose(0, 2, 3, 1), preparation)

    sides = preparation.output_sides(*items.shape[2:])
    return changed(items, prepared, (preparation.channels, *sides), np.uint8)


def picture_for_model(
    settings: DataSettings, shape: tuple[int, ...], content: bytes, limits: Limits | None, most_pixels: int
) -> NDArray[Any]:
    """Return an image file's content as one image (1, c, h, w), prepared as the images of a training.

    limits: values of black and white, as of `decode_picture`

    Raises ValueError for a picture of more pixels, before it is decoded, and of another shape than the model's after
    its preparation, LoraeError for one smaller than the crop, and the errors of `decode_picture`.
    """
    height, width = read_sides(content)
    if height * width > most_pixels:
        raise ValueError(f"got {height}x{width} pixels, expected at most {most_pixels:,}")
    preparation = _preparation(settings, shape, shape[1] if shape[1] == shape[2] else None)
    image = preparation.apply(decode_picture(content, limits))
    if image.shape != shape:
        made = f"{image.shape[1]}x{image.shape[2]}"
        raise ValueError(f"got {height}x{width} pixels, which becomes {made}, expected {shape[1]}x{shape[2]}")
    return image[None]


def _preparation(settings: DataSettings, shape: tuple[int, ...], size: int | None) -> Preparation:
    """Return the preparation of images of a run, with its settings but for the size."""
    defaults = DATASETS.get(settings.data)
    own, share = (None, None) if defaults is None else (defaults.size, defaults.crop_share)
    return Preparation(size or own, shape[0] if len(shape) == 3 else 0, settings.crop, share)
