"""Decoded arrays as displayable items."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def to_uint8(images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return images in [0, 1] as uint8, clipped and rounded: truncation would darken, and negatives would wrap."""
    rounded: np.ndarray[Any, Any] = np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)
    return rounded


def as_items(decoded: NDArray[Any], *, images: bool) -> NDArray[Any]:
    """Return decoded images as uint8, and other decoded items as they are."""
    return to_uint8(decoded) if images else decoded
