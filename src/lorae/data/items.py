"""Items for a trained model, prepared as its training prepared them."""

import math
from typing import Any

from numpy.typing import NDArray

from lorae.config.data_settings import DataSettings
from lorae.config.datasets import DATASETS
from lorae.data.arrays import load_whole_array
from lorae.data.preprocessing import Preparation, prepare_pictures
from lorae.errors import LoraeError
from lorae.plain_arrays import plain_array


def prepare_items(settings: DataSettings, shape: tuple[int, ...], given: Any) -> NDArray[Any]:
    """Return raw items in the form that a model of items of this shape takes.

    Every layout, dtype and size that training takes is taken, and prepared by the same settings: a channel axis is
    added or moved, images are cropped, resized and recolored. Rows of as many values as an image has are such images.
    """
    array = plain_array(given, "items")
    # Three axes are also those of several gray images, which are neither 1 nor 3 pixels wide.
    alone = array.ndim == len(shape) == 3 and (array.shape[2] in (1, 3) or array.shape[0] == shape[0] == 3)
    if alone or array.shape in (shape, shape[1:]):
        expected = "x".join(map(str, ("n", *shape)))
        raise LoraeError(f"items: got one of shape {array.shape}, expected several, {expected}; pass items[None]")
    if array.ndim == 2 and len(shape) == 3 and array.shape[1] == math.prod(shape):
        array = array.reshape(-1, *shape)
    items = load_whole_array(array, "items", None, settings.value_range, settings.kind)
    if items.ndim == 2 or items.shape[1:] == shape or len(shape) != 3 or settings.kind == "tensors":
        return items
    defaults = DATASETS.get(settings.data)
    size, share = (None, None) if defaults is None else (defaults.size, defaults.crop_share)
    preparation = Preparation(settings.size or size, shape[0], settings.crop, share)
    return prepare_pictures(items.transpose(0, 2, 3, 1), preparation)
