"""Studies that take seconds: the smoke preset, smaller still; the fixture `tiny` puts it in its place."""

import numpy as np

from lorae.api import loading, training
from lorae.cli import parser as cli
from lorae.data import Dataset, Split
from lorae.reproduction.tables import measurements
from lorae.reproduction.tables.presets import PRESETS, Preset, StudyConfig
from lorae.reproduction.theory import adam_convergence

SMOKE = StudyConfig("smoke", "paper", 1)
TINY = Preset(
    seeds=1,
    training={"mnist": {"epochs": 1, "width": 0.125, "limit": 96, "latent_dim": 16}},
    measures={
        "mnist": {
            # More items than the 128 features, or a distance warns.
            "fid": {"n": 140, "draws": 1, "components": 2},
            "interpolation": {"n": 140},
            "rank": {"bootstrap": 5},
            "classification": {"labels": ("10",), "seeds": 2, "max_steps": 5},
            "supervised": {"labels": ("10",), "seeds": 2, "max_steps": 2},
        }
    },
)


def make_tiny(monkeypatch):
    """Put `TINY` in place of the smoke preset; theorem 1 takes two steps, and MNIST is noise that passes for digits."""
    pictures = np.random.default_rng(0).integers(0, 256, (300, 1, 32, 32)).astype(np.uint8)
    labels = np.arange(300) % 10
    dataset = Dataset("mnist", Split(pictures[:150], labels[:150]), Split(pictures[150:], labels[150:]), "test", "0f")
    for module in (loading, training):
        monkeypatch.setattr(module, "load_dataset", lambda settings, data: dataset.limited(settings.limit))
    monkeypatch.setitem(PRESETS, "smoke", TINY)
    monkeypatch.setitem(adam_convergence.STEPS, "smoke", [1, 2])
    monkeypatch.setattr(measurements, "PAIRS", [(0, 1), (2, 3)])


def reproduce(capsys, *words):
    code = cli.main(["reproduce", *map(str, words)])
    return code, *capsys.readouterr()
