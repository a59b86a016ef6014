"""Items that a trained model accepts: of its shape and range, or prepared as those of its training."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lorae.errors import LoraeError
from lorae.models.spec import ModelSpec
from lorae.plain_arrays import plain_array

Array = TypeVar("Array", Tensor, NDArray[Any])


def accepted_items(
    items: Array,
    spec: ModelSpec,
    prepare: Callable[[NDArray[Any]], NDArray[Any]] | None,
    read: Callable[[Any], NDArray[Any]] | None,
) -> Array:
    """Return items of a model's shape and range; others are prepared as in training, or refused.

    prepare, read: as the attributes of `Autoencoder`
    """
    if read is not None and not isinstance(items, (np.ndarray, Tensor, list)):
        items = read(items)
    given = plain_array(items, "items")
    items = items if isinstance(items, Tensor) else given
    floats = given.dtype.kind == "f"
    outside = floats and spec.images and len(given) > 0 and not (given.min() >= 0 and given.max() <= 1)
    prepared_type = not spec.images or given.dtype == np.uint8 or (floats and not outside)
    as_in_training = given.shape[1:] == spec.shape and prepared_type
    if prepare is not None and not as_in_training:
        prepared = prepare(given)
        return torch.from_numpy(prepared) if isinstance(items, Tensor) else prepared
    if floats and not np.isfinite(given).all():
        raise LoraeError("items: got values that are not finite, expected finite ones")
    if outside:
        found = f"from {given.min():g}" if given.min() < 0 else f"up to {given.max():g}"
        raise LoraeError(f"images: got values {found}, expected uint8, or floats in [0, 1]")
    return items
