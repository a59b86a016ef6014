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
    """Preparation of every picture of a data set: a center square of side `crop`, resized to `size`.

    Without a crop, the square is `crop_share` of the width, else the largest one, or no crop without a size.
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
        left, top, right, bottom = self._box(width, height)
        return (bottom - top, right - left)

    def apply(self, picture: Image.Image) -> NDArray[np.uint8]:
        """Return the prepared pixels of a picture of mode L or RGB, uint8 (channels, height, width)."""
        picture = picture.crop(self._box(*picture.size))
        if self.channels == 1:
            picture = picture.convert("L")
        if self.size is not None:
            picture = picture.resize((self.size, self.size), Image.Resampling.BILINEAR)
        pixels = np.asarray(picture.convert("L" if self.channels == 1 else "RGB"))
        return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)

    def _box(self, width: int, height: int) -> tuple[int, int, int, int]:
        if self.crop is not None:
            side = self.crop
        elif self.crop_share is not None:
            side = round(self.crop_share * width)
        elif self.size is not None:
            side = min(width, height)
        else:
            return (0, 0, width, height)
        if side > min(width, height):
            raise LoraeError(f"crop: got {side}, but pictures are only {width}x{height} pixels")
        left, top = (width - side) // 2, (height - side) // 2
        return (left, top, left + side, top + side)


def prepare_pictures(pictures: NDArray[np.uint8], preparation: Preparation) -> NDArray[np.uint8]:
    """Prepare uint8 pictures (n, h, w, 1 or 3): uint8 (n, channels, height, width)."""
    # Pillow knows gray pictures without an axis of channels only.
    pixels = np.ascontiguousarray(pictures[..., 0] if pictures.shape[3] == 1 else pictures)
    return np.stack([preparation.apply(Image.fromarray(picture)) for picture in pixels])
