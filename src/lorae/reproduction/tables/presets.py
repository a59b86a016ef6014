"""Presets of a study, and the differences between the paper's text and its authors' code. Imports no torch."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lorae.config.evaluation_settings import EvaluationSettings
from lorae.config.methods import get_method
from lorae.config.resolution import resolve
from lorae.config.settings import Settings
from lorae.reproduction.tables.published import Column, System

Values = Mapping[str, Any]

# Channels, height and width in the paper.
SHAPES = {"mnist": (1, 32, 32), "celeba": (3, 64, 64)}

# The settings of `lorae.evaluate` that decide the result of each measure. Other measures have none.
FIELDS = {
    "fid": ("features", "samplers", "components", "n", "draws", "fit_on", "reference", "seed"),
    "interpolation": ("features", "n", "reference", "seed"),
    "pictures": ("samplers", "components", "fit_on", "seed"),
    "rank": ("bootstrap", "seed"),
    "classification": ("labels", "seeds", "protocol", "max_steps", "seed"),
    "supervised": ("labels", "seeds", "protocol", "max_steps", "seed"),
}


@dataclass(frozen=True)
class Preset:
    """Size of a study; settings that are not given are the paper's.

    training: data set -> settings of `lorae.train`
    measures: data set -> measure -> settings of `lorae.evaluate`
    """

    seeds: int
    training: Mapping[str, Values] = field(default_factory=dict)
    measures: Mapping[str, Mapping[str, Values]] = field(default_factory=dict)


@dataclass(frozen=True)
class Protocol:
    """Differences from the paper's text: settings as in `Preset`, and `systems`, system -> data set -> settings."""

    training: Mapping[str, Values] = field(default_factory=dict)
    systems: Mapping[str, Mapping[str, Values]] = field(default_factory=dict)
    measures: Mapping[str, Mapping[str, Values]] = field(default_factory=dict)


# 20,000 images as the paper has test images, compared by the network behind the usual FID.
FACES = {"n": 20_000, "features": "inception"}
# Needs no downloaded weights and is cheap, but gives relative numbers only.
FEW_FACES = {"n": 1000, "features": "lite0", "draws": 1}

PRESETS = {
    # 63 steps a model: to see that everything runs.
    "smoke": Preset(
        seeds=1,
        training={
            "mnist": {"limit": 2000, "epochs": 1},
            "celeba": {"limit": 500, "epochs": 1, "width": 0.125},
        },
        measures={
            "mnist": {
                "fid": {"n": 500, "draws": 1},
                "interpolation": {"n": 500},
                "rank": {"bootstrap": 20},
                "classification": {"labels": ("10", "100"), "seeds": 2, "max_steps": 100},
                "supervised": {"labels": ("10", "100"), "seeds": 2, "max_steps": 20},
            },
            "celeba": {"fid": {**FEW_FACES, "n": 100}, "rank": {"bootstrap": 20}},
        },
    ),
    # Three minutes of training a model on one core: enough for the paper's comparisons, not for the final errors.
    "quick": Preset(
        seeds=3,
        training={
            "mnist": {"epochs": 4},
            # A quarter of the network's width costs a thirtieth of a step.
            "celeba": {"epochs": 5, "width": 0.25},
        },
        measures={
            "mnist": {
                # Seeds vary more than draws from one model.
                "fid": {"draws": 1},
                # 250 epochs of 1,000 labels, 4 of all; the best epoch on validation items is usually earlier.
                "classification": {"max_steps": 2500},
                "supervised": {"max_steps": 1000, "seeds": 3},
            },
            "celeba": {"fid": FEW_FACES},
        },
    ),
    "paper": Preset(
        seeds=3,
        measures={
            # All of the paper's 500 epochs: hours for 60,000 labels.
            "mnist": {"classification": {"max_steps": 0}, "supervised": {"max_steps": 0}},
            "celeba": {"fid": FACES},
        },
    ),
}

# Differences of the authors' released code from the paper. Not reproduced: it never shuffles, it penalizes the plain
# autoencoder too, and it truncates pixels to integers instead of rounding.
AUTHORS_METHODS = ("ae", "vae", "irmae", "lorae")
AUTHORS_TRAINING = {"lr": 1e-4, "batch_size": 100, "latent_dim": 256}
PROTOCOLS = {
    "paper": Protocol(),
    "authors_code": Protocol(
        training={
            "mnist": {**AUTHORS_TRAINING, "epochs": 100, "matrix_init": "default"},
            "celeba": {**AUTHORS_TRAINING, "epochs": 100, "matrix_init": "default"},
        },
        systems={
            # Mean cross-entropy over pixels + 0.1 mean divergence over coordinates, here summed over an item: the
            # weight is 0.1 x pixels / coordinates.
            "VAE": {
                "mnist": {"penalty": 0.1 * 32 * 32 / 256, "penalty_warmup": 0.0},
                "celeba": {"penalty": 0.1 * 3 * 64 * 64 / 256, "penalty_warmup": 0.0},
            },
        },
        measures={
            "mnist": {
                "fid": {"reference": "train"},
                "interpolation": {"reference": "train"},
                "classification": {"protocol": "authors_code"},
                "supervised": {"protocol": "authors_code"},
            },
            "celeba": {"fid": {"fit_on": "test"}, "pictures": {"fit_on": "test"}},
        },
    ),
}


@dataclass(frozen=True)
class StudyConfig:
    """Configuration of a study: it turns systems and columns into configurations of models and measures.

    preset, protocol: keys of `PRESETS` and `PROTOCOLS`
    faces: fingerprint of the CelebA images, as copies of them differ; None without CelebA
    """

    preset: str
    protocol: str
    seeds: int
    faces: str | None = None

    @property
    def data(self) -> tuple[str, ...]:
        """The available data sets."""
        return ("mnist",) if self.faces is None else ("mnist", "celeba")

    def model(self, data: str, system: System, column: Column | None, seed: int) -> dict[str, Any]:
        """Return the configuration of a model: its data, and all resolved settings that differ from the defaults.

        A changed default of a method is another model; a new setting at its default is not.
        """
        protocol = PROTOCOLS[self.protocol]
        layers = [
            _fitting(protocol.training.get(data, {}), system.settings["method"]),
            PRESETS[self.preset].training.get(data, {}),
            system.settings_on(data),
            protocol.systems.get(system.name, {}).get(data, {}),
            {} if column is None else column.settings,
        ]
        values: dict[str, Any] = {"data": data, "seed": seed}
        for layer in layers:
            values |= layer
        resolved = resolve(Settings.from_values(values, _origin), "images", SHAPES[data]).to_json()
        defaults = Settings().to_json()
        settings = {name: value for name, value in resolved.items() if value != defaults[name] and name != "data"}
        model = {"data": data, "faces": self.faces if data == "celeba" else None, "settings": settings}
        revision = get_method(system.settings["method"]).revision
        return model if revision == 1 else model | {"revision": revision}

    def measure(
        self, data: str, method: str, measure: str, *, labels: str | None = None, settings: Values | None = None
    ) -> dict[str, Any]:
        """Return the configuration of a measure: its name, and the settings that decide its result.

        labels: a single number of labels; each is a job of its own, as all of them take hours in the paper's preset
        settings: settings of the measure that a table changes
        """
        values: dict[str, Any] = {}
        for source in (PRESETS[self.preset].measures, PROTOCOLS[self.protocol].measures):
            values |= source.get(data, {}).get(measure, {})
        values |= settings or {}
        assert set(settings or ()) <= set(FIELDS.get(measure, ())), f"{measure} has no such settings as {settings}"
        resolved = dataclasses.asdict(EvaluationSettings.from_values(values, _origin).resolve(data, "images", method))
        chosen = {name: resolved[name] for name in FIELDS.get(measure, ())}
        if labels is not None:
            chosen["labels"] = (labels,)
        return {"name": measure} | {
            name: list(value) if isinstance(value, tuple) else value for name, value in chosen.items()
        }

    def has(self, data: str, system: System, column: Column) -> bool:
        """Return whether the preset has this column for a system: small presets skip large numbers of labels."""
        if column.labels is None:
            return True
        labels: list[str] = self.measure(data, system.settings["method"], column.measure_of(system))["labels"]
        return column.labels in labels


def _fitting(settings: Values, method: str) -> Values:
    """Return settings for a method of the authors' code, without those of the matrix if it has none."""
    if method not in AUTHORS_METHODS:
        return {}
    linear = get_method(method).bottleneck == "linear"
    return {name: value for name, value in settings.items() if linear or name != "matrix_init"}


def _origin(name: str) -> str:
    return f"the preset's {name}"
