"""What the user asks of a data source."""

from dataclasses import dataclass, fields
from typing import Any

from numpy.typing import NDArray


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
