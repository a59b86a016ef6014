"""Crop, resize and recolor pictures to (channels, size, size)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lorae.config.data_settings import DataSettings
from lorae.config.datasets import DatasetDefaults
from lorae.errors import LoraeError


@dataclass(frozen=True)
class Preparation:
    """Preparation of every picture of a data set.

    size: side in pixels after resizing; None keeps the size
    channels: {1, 3}
    crop: side in pixels of the center square that is cut out first
    crop_share: the same as a share of the width, for `crop=None`. Both None: the largest center square, or no crop for
        `size=None`.
    """

    size: int | None
    channels: int
    crop: int | None = None
    crop_share: float | None = None

    @classmethod
    def from_settings(cls, settings: DataSettings, defaults: DatasetDefaults) -> "Preparation":
        """Build the preparation of a data set whose defaults state the number of channels."""
        channels = settings.channels or defaults.channels
        assert channels is not None
        return cls(settings.size or defaults.size, channels, settings.crop, defaults.crop_share)

    def output_sides(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of a picture after preparation."""
        if self.size is not None:
            return self.size, self.size
        box = self._box(width, height)
        return (box[3] - box[1], box[2] - box[0])

    def apply(self, picture: Image.Image) -> NDArray[np.uint8]:
        """Return the prepared pixels of a picture of mode L or RGB, uint8 (channels, height, width).

        Raises LoraeError for a crop larger than the picture.
        """
        mode = "L" if self.channels == 1 else "RGB"
        box = self._box(*picture.size)
        if box != (0, 0, *picture.size):
            picture = picture.crop(box)
        if picture.mode == "RGB" and mode == "L":
            picture = picture.convert("L")
        if self.size is not None and picture.size != (self.size, self.size):
            picture = picture.resize((self.size, self.size), Image.Resampling.BILINEAR)
        if picture.mode != mode:
            picture = picture.convert(mode)
        pixels = np.asarray(picture)
        return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)

    def _box(self, width: int, height: int) -> tuple[int, int, int, int]:
        side = self.crop
        if side is None and self.crop_share is not None:
            side = round(self.crop_share * width)
        if side is None and self.size is None:
            return (0, 0, width, height)
        if side is None:
            side = min(width, height)
        if side > min(width, height):
            raise LoraeError(f"crop: got {side}, but pictures are only {width}x{height} pixels")
        left, top = (width - side) // 2, (height - side) // 2
        return (left, top, left + side, top + side)


def prepare_pictures(pictures: NDArray[np.uint8], preparation: Preparation, out: NDArray[np.uint8]) -> None:
    """Prepare uint8 pictures (n, h, w) or (n, h, w, 3) into `out`, uint8 (n, channels, height, width)."""
    for index, pixels in enumerate(pictures):
        out[index] = preparation.apply(Image.fromarray(pixels))
