"""Decoded arrays as displayable items."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def to_uint8(images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Images in [0, 1] to uint8: clipped, then rounded (truncation would darken, and negatives would wrap)."""
    rounded: np.ndarray[Any, Any] = np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)
    return rounded


def as_items(decoded: NDArray[Any]) -> NDArray[Any]:
    """What a decoder gives, as items: images as uint8, vectors as they are."""
    return to_uint8(decoded) if decoded.ndim == 4 else decoded
