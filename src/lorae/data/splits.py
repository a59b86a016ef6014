"""Seeded splits."""

import numpy as np
from numpy.typing import NDArray

from lorae.config.data_settings import DataSettings
from lorae.errors import LoraeError


def refuse_seeded_split(settings: DataSettings, title: str) -> None:
    """Raise LoraeError for settings of a seeded split with data that have a split of their own."""
    for name, default in (("test_fraction", DataSettings.test_fraction), ("split_seed", DataSettings.split_seed)):
        drawn_by_seed = name == "split_seed" and settings.holdout is not None
        if getattr(settings, name) != default and not drawn_by_seed:
            raise LoraeError(f"{name}: got {getattr(settings, name)}, but {title} has a split of its own; leave it out")


def seeded_split(count: int, settings: DataSettings) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return sorted indices of the training and the test items for data without a split of their own."""
    if count < 2:
        raise LoraeError(f"data: found {count} item{'s' * (count != 1)}, expected at least 2 to split")
    held_out = min(max(round(count * settings.test_fraction), 1), count - 1)
    order = np.random.default_rng(settings.split_seed).permutation(count).astype(np.int64)
    return np.sort(order[held_out:]), np.sort(order[:held_out])
