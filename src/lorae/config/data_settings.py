"""Settings of a data set: which items to load and how to prepare and split them."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from lorae import validation as rules
from lorae.config.datasets import DATASETS
from lorae.errors import LoraeError, LoraeWarning
from lorae.validation import setting

# Value of `data` for items in memory, which are passed beside the settings.
ARRAY = "array"

# Paths that hold items, for messages and help.
FILES_OF_ITEMS = "a folder or .zip file of images, or an .npy, .npz, .csv, .tsv, .parquet or image file"

# Settings of earlier versions -> their names now. The old names are accepted with a warning.
RENAMED = {"normalise": "normalize"}

Table = TypeVar("Table", bound="DataSettings")


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Settings of a data set, the part of `Settings` that `lorae data` takes too."""

    data: str = setting("mnist", rules.text(), f"{', '.join(DATASETS)}, {FILES_OF_ITEMS}")
    data_root: str | None = setting(None, rules.text(), "folder with the raw files of mnist, fashion-mnist or celeba")
    kind: str = setting(
        "auto",
        rules.choice("auto", "images", "tensors"),
        "items of arrays: images, or tensors, plain numbers of any shape such as signals (n, c, t); by default (n, d) "
        "are vectors, three and four axes images, more tensors; with a network of your own, three axes are signals",
    )
    limit: int | None = setting(None, rules.whole(1), "train on the first N items only; the test split is not reduced")
    size: int | None = setting(None, rules.whole(8), "side of the images in pixels after resizing")
    crop: int | None = setting(None, rules.whole(1), "side of the center square cut out before resizing")
    channels: int | None = setting(None, rules.one_of(1, 3), "1 for grayscale, 3 for color")
    factors: tuple[str, ...] | None = setting(None, rules.names(), "factors of `shapes` that vary")
    test_fraction: float = setting(
        0.1, rules.real(0.0, 1.0, exclusive=True), "share of items in the test split, for data without a test split"
    )
    split_seed: int = setting(
        0,
        rules.whole(0),
        "seed of that split and of generated data; separate from `seed`, so that runs of all seeds share the data",
    )
    holdout: int | None = setting(
        None,
        rules.whole(2),
        "number of training items, drawn by the split seed, to use as the test split: settings can then be chosen by "
        "measures that do not use the test items",
    )
    value_range: tuple[float, float] | None = setting(
        None,
        rules.optional(rules.interval()),
        "LOW:HIGH, the values of black and white in images of files and arrays, such as 0:4095 for 12 bits; by default "
        "the range of their type: 0:255, 0:65535 for unsigned integers of 16 bits, 0:1 for floats",
    )
    skip_bad: bool = setting(False, rules.switch(), "leave out image files that cannot be decoded")

    @property
    def prepared_limit(self) -> int | None:
        """Number of training items that need to be prepared; None for all, of which a `holdout` takes any."""
        return self.limit if self.holdout is None else None

    def prepared_limit_of(self, count: int) -> int | None:
        """Return `prepared_limit` of so many training items; None too for one that leaves none out."""
        limit = self.prepared_limit
        return None if limit is None or limit >= count else limit

    @classmethod
    def from_values(cls: type[Table], values: Mapping[str, Any], origin: Callable[[str], str]) -> Table:
        """Check plain values, strings as on a command line too, and return settings; LoraeError where one does not fit.

        `origin` maps a name to the source of its value, for messages. Names of `RENAMED` give a LoraeWarning.
        """
        return rules.checked(cls, use_current_names(values), origin)


def use_current_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """Replace the old names of `RENAMED`: a LoraeWarning for each, a LoraeError where the new name is given too."""
    current = dict(values)
    for old, new in RENAMED.items():
        if old not in current:
            continue
        if new in current:
            raise LoraeError(f"{old}: given beside {new}, which is its new name; expected {new} only")
        warnings.warn(f"{old}: renamed to {new}; the old name will be removed", LoraeWarning, stacklevel=3)
        current[new] = current.pop(old)
    return current
