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
from lorae.system.stored_items import Items, StoredItems, parts, plain_items

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
    if isinstance(items, StoredItems):
        return _accepted_in_file(items, spec, prepare)
    if read is not None and not isinstance(items, (np.ndarray, Tensor, list)):
        items = read(items)
    given = plain_array(items, "items")
    items = items if isinstance(items, Tensor) else given
    floats, limits = given.dtype.kind == "f", (0.0, 0.0)
    if floats and spec.images and len(given) > 0:
        limits = float(given.min()), float(given.max())
    if prepare is not None and not _as_in_training(given, spec, limits):
        prepared = prepare(given)
        return torch.from_numpy(prepared) if isinstance(items, Tensor) else prepared
    _check(given, spec, limits)
    return items


def _accepted_in_file(
    items: StoredItems, spec: ModelSpec, prepare: Callable[[NDArray[Any]], NDArray[Any]] | None
) -> Any:
    """Return items in a file that are checked, or prepared, as they are read; images of floats are read once before."""
    plain_items(items, "items")
    limits = (0.0, 0.0)
    if items.dtype.kind == "f" and spec.images:
        found = [(values.min(), values.max()) for values in (items[rows] for rows in parts(items))]
        limits = float(min(low for low, _ in found)), float(max(high for _, high in found))
    if prepare is not None and not _as_in_training(items, spec, limits):
        return prepare(items)  # type: ignore[arg-type]
    _check(np.empty((0, *items.shape[1:]), items.dtype), spec, limits)

    def checked(values: NDArray[Any]) -> NDArray[Any]:
        _check(values, spec, (0.0, 0.0))
        return values

    return items.mapped(checked, items.shape[1:], items.dtype)


def _as_in_training(items: Items, spec: ModelSpec, limits: tuple[float, float]) -> bool:
    """Return whether items have the shape and, as images, the type and range of those in training."""
    inside = items.dtype.kind == "f" and limits[0] >= 0 and limits[1] <= 1
    return items.shape[1:] == spec.shape and (not spec.images or items.dtype == np.uint8 or inside)


def _check(values: NDArray[Any], spec: ModelSpec, limits: tuple[float, float]) -> None:
    """Raise LoraeError for floats that are not finite, and for images of floats outside of [0, 1]."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise LoraeError("items: got values that are not finite, expected finite ones")
    if spec.images and not (limits[0] >= 0 and limits[1] <= 1):
        found = f"from {limits[0]:g}" if limits[0] < 0 else f"up to {limits[1]:g}"
        raise LoraeError(f"images: got values {found}, expected uint8, or floats in [0, 1]")
