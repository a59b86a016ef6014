"""Resizing for feature networks as in clean-fid: Pillow's bicubic filter on float channels, not rounded."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from lorae.errors import NotApplicableError


def resize_clean(images: NDArray[Any], height: int, width: int) -> NDArray[np.float32]:
    """Resize uint8 images (n, c, h, w) to float32 (n, c, height, width) on the scale 0 to 255, not clipped.

    The filter is antialiased; images that have this size already are only converted. Source: Parmar et al., CVPR 2022
    (arXiv:2104.11222).
    """
    if images.shape[2:] == (height, width):
        return images.astype(np.float32)
    result = np.empty((*images.shape[:2], height, width), dtype=np.float32)
    for index, image in enumerate(images):
        for channel, pixels in enumerate(image):
            picture = Image.fromarray(pixels.astype(np.float32))
            result[index, channel] = np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC))
    return result


def resize_rounded(images: NDArray[Any], side: int) -> NDArray[np.uint8]:
    """Resize uint8 images (n, c, h, w) to (n, c, side, side) by the same filter, with results rounded to uint8.

    As Pillow resizes pictures; the authors of FD-DINOv2 and CMMD do that.
    """
    result = np.empty((*images.shape[:2], side, side), dtype=np.uint8)
    for index, image in enumerate(images):
        for channel, pixels in enumerate(image):
            picture = Image.fromarray(np.ascontiguousarray(pixels))
            result[index, channel] = np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC))
    return result


def middle_square(images: NDArray[Any]) -> NDArray[Any]:
    """Return the largest squares in the middle of images (n, c, h, w)."""
    height, width = images.shape[2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return images[:, :, top : top + side, left : left + side]


def standardized(images: NDArray[np.uint8], mean: Sequence[float], deviation: Sequence[float]) -> Tensor:
    """Return color images as (x / 255 - mean) / deviation of their channel, float32."""
    shift, scale = (torch.tensor(values)[:, None, None] for values in (mean, deviation))
    return (torch.from_numpy(images).float() / 255 - shift) / scale


def color_input(images: NDArray[Any], side: int, middle: int) -> Tensor:
    """Return resized color images as (x - middle) / 128, float32 (n, 3, side, side)."""
    pixels = resize_clean(as_color(images), side, side)
    scaled = torch.from_numpy((pixels - np.float32(middle)) / np.float32(128))
    return scaled.contiguous(memory_format=torch.channels_last)  # twice as fast on a CPU


def as_color(images: NDArray[Any]) -> NDArray[Any]:
    """Repeat the channel of gray images (n, 1, h, w) three times; raise LoraeError for vectors."""
    if images.ndim != 4:
        raise NotApplicableError(f"features: got items of shape {images.shape}, expected images (n, c, h, w); use raw")
    return np.repeat(images, 3, axis=1) if images.shape[1] == 1 else images
