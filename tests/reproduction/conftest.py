import numpy as np
import pytest

from lorae.api import loading, training
from lorae.data import Dataset, Split
from lorae.reproduction.tables import measurements
from lorae.reproduction.tables.presets import PRESETS
from lorae.reproduction.theory import adam_convergence
from tests.reproduction.tiny import TINY


@pytest.fixture
def tiny(monkeypatch):
    """The smoke preset is `TINY`, theorem 1 takes two steps, and MNIST is noise that passes for digits."""
    pictures = np.random.default_rng(0).integers(0, 256, (300, 1, 32, 32)).astype(np.uint8)
    labels = np.arange(300) % 10
    dataset = Dataset("mnist", Split(pictures[:150], labels[:150]), Split(pictures[150:], labels[150:]), "test", "0f")
    for module in (loading, training):
        monkeypatch.setattr(module, "load_dataset", lambda settings, data: dataset.limited(settings.limit))
    monkeypatch.setitem(PRESETS, "smoke", TINY)
    monkeypatch.setitem(adam_convergence.STEPS, "smoke", [1, 2])
    monkeypatch.setattr(measurements, "PAIRS", [(0, 1), (2, 3)])
