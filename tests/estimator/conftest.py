"""Data and a fit that the tests of the estimator share."""

import numpy as np
import pytest

from lorae import LoRAE

QUICK = {"epochs": 20, "random_state": 0}


@pytest.fixture(scope="session")
def plane():
    """A curved surface of two dimensions in twelve, in units that differ by a thousand: float64 (400, 12)."""
    rng = np.random.default_rng(0)
    t = rng.uniform(-1, 1, (400, 2))
    points = np.concatenate([t, t[:, :1] * t[:, 1:], t**2], axis=1) @ rng.normal(size=(5, 12))
    return points * np.logspace(-1, 2, 12) + 3


@pytest.fixture(scope="session")
def fitted(plane):
    return LoRAE(rank=3, **QUICK | {"epochs": 60}).fit(plane)
