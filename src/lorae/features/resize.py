"""Resizing for feature networks as in clean-fid: Pillow's bicubic filter on float channels, not rounded."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lorae.errors import LoraeError


def resize_clean(images: NDArray[Any], height: int, width: int) -> NDArray[np.float32]:
    """Resize uint8 images (n, c, h, w) to float32 (n, c, height, width) on the scale 0 to 255, not clipped.

    The filter is antialiased; images that have this size already are only converted.

    Source: Parmar et al., CVPR 2022 (arXiv:2104.11222).

    >>> resize_clean(np.zeros((2, 1, 8, 8), np.uint8), 4, 4).shape
    (2, 1, 4, 4)
    """
    if images.shape[2:] == (height, width):
        return images.astype(np.float32)
    result = np.empty((*images.shape[:2], height, width), dtype=np.float32)
    for index, image in enumerate(images):
        for channel, pixels in enumerate(image):
            picture = Image.fromarray(pixels.astype(np.float32))
            result[index, channel] = np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC))
    return result


def as_color(images: NDArray[Any]) -> NDArray[Any]:
    """Repeat the channel of gray images (n, 1, h, w) three times; raise LoraeError for vectors."""
    if images.ndim != 4:
        raise LoraeError(f"features: got items of shape {images.shape}, expected images (n, c, h, w); use raw")
    return np.repeat(images, 3, axis=1) if images.shape[1] == 1 else images
