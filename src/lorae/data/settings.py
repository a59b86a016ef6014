"""What the user asks of a data source."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae.errors import LoraeError

SIDE_MULTIPLE = 8


@dataclass(frozen=True, eq=False)
class DataSettings:
    """Which data to load and how to prepare them.

    data: a named source, the path of a folder (or zip file) of images or of an .npy/.npz file, or an array.
    data_root: folder with the raw files of mnist, fashion-mnist and celeba.
    size: side in pixels after resizing; None: the source's default (arrays keep their own size).
    crop: side of the centre square cut out before resizing; None: the source's default.
    channels: 1 or 3; None: as the source.
    test_fraction, split_seed: the seeded split of sources without a split of their own.
    skip_bad: leave out image files that cannot be decoded instead of failing.
    factors: which factors of `shapes` and `shapes-grey` vary; None: all of them but the background.
    holdout: training items, drawn by split_seed, that take the place of the test split; None: none.

    Two settings are equal when all fields are; arrays count as equal only to themselves.
    """

    data: str | NDArray[Any]
    data_root: str | None = None
    size: int | None = None
    crop: int | None = None
    channels: int | None = None
    test_fraction: float = 0.1
    split_seed: int = 0
    skip_bad: bool = False
    factors: tuple[str, ...] | None = None
    holdout: int | None = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DataSettings):
            return NotImplemented
        return self._comparable() == other._comparable()

    def __hash__(self) -> int:
        return hash(self._comparable())

    def _comparable(self) -> tuple[Any, ...]:
        # An array compares element by element, which is neither a truth value nor hashable.
        data = self.data if isinstance(self.data, str) else ("array", id(self.data))
        return (data, *(getattr(self, entry.name) for entry in fields(self)[1:]))


def check_settings(settings: DataSettings) -> None:
    """Check the values that mean the same for every source.

    Raises LoraeError for a size, crop, channel count, test fraction or seed out of range.
    """
    for name in ("size", "crop"):
        value = getattr(settings, name)
        if value is not None and value < 1:
            raise LoraeError(f"{name}: got {value}, expected a positive number of pixels")
    if settings.size is not None:
        check_sides(settings.size, settings.size)
    if settings.channels not in (None, 1, 3):
        raise LoraeError(f"channels: got {settings.channels}, expected 1 or 3")
    if not 0 < settings.test_fraction < 1:
        raise LoraeError(f"test_fraction: got {settings.test_fraction}, expected a number between 0 and 1")
    if settings.split_seed < 0:
        raise LoraeError(f"split_seed: got {settings.split_seed}, expected 0 or more")
    if settings.holdout is not None and settings.holdout < 2:
        raise LoraeError(f"holdout: got {settings.holdout}, expected at least 2 training items")


def check_sides(height: int, width: int) -> None:
    """Raise LoraeError unless both sides of the prepared images are multiples of 8."""
    if height % SIDE_MULTIPLE or width % SIDE_MULTIPLE:
        advice = -(-max(height, width) // SIDE_MULTIPLE) * SIDE_MULTIPLE
        raise LoraeError(
            f"size: images of {height}x{width} pixels, expected sides that are multiples of "
            f"{SIDE_MULTIPLE}; pass --size {advice}"
        )


def refuse_seeded_split(settings: DataSettings, what: str) -> None:
    """Raise LoraeError where a split by seed is asked of data that have a split of their own."""
    for name, default in (("test_fraction", DataSettings.test_fraction), ("split_seed", DataSettings.split_seed)):
        drawn_by_seed = name == "split_seed" and settings.holdout is not None
        if getattr(settings, name) != default and not drawn_by_seed:
            raise LoraeError(f"{name}: got {getattr(settings, name)}, but {what} has a split of its own; leave it out")


def seeded_split(count: int, settings: DataSettings) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sorted indices (int64) of the training and of the test items of a source without a split of its own.

    Raises LoraeError for fewer than two items.
    """
    if count < 2:
        raise LoraeError(f"data: found {count} item{'s' * (count != 1)}, expected at least 2 to split")
    held_out = min(max(round(count * settings.test_fraction), 1), count - 1)
    order = np.random.default_rng(settings.split_seed).permutation(count).astype(np.int64)
    return np.sort(order[held_out:]), np.sort(order[:held_out])
