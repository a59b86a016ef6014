import numpy as np
import pytest

from lorae import api
from lorae.data import Dataset, Split
from lorae.paper import measurements
from lorae.paper.presets import PRESETS
from tests.paper.tiny import TINY


@pytest.fixture
def tiny(monkeypatch):
    """The smoke preset is `TINY`, and MNIST is noise that passes for digits."""
    pictures = np.random.default_rng(0).integers(0, 256, (300, 1, 32, 32)).astype(np.uint8)
    labels = np.arange(300) % 10
    dataset = Dataset("mnist", Split(pictures[:150], labels[:150]), Split(pictures[150:], labels[150:]), "test", "0f")
    monkeypatch.setattr(api, "_load", lambda settings, data: dataset.limited(settings.limit))
    monkeypatch.setitem(PRESETS, "smoke", TINY)
    monkeypatch.setattr(measurements, "PAIRS", [(0, 1), (2, 3)])
