"""Presets and protocols of a study, read from `presets.toml`. Imports no torch."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lorae.config.evaluation_settings import EvaluationSettings
from lorae.config.methods import get_method
from lorae.config.resolution import resolve
from lorae.config.settings import Settings
from lorae.reproduction.tables.published import Column, System
from lorae.system.files import read_toml

Values = Mapping[str, Any]

# Channels, height and width in the paper.
SHAPES = {"mnist": (1, 32, 32), "celeba": (3, 64, 64)}


@dataclass(frozen=True)
class Preset:
    """Size of a study; `presets.toml` explains the entries."""

    seeds: int
    training: Mapping[str, Values] = field(default_factory=dict)
    measures: Mapping[str, Mapping[str, Values]] = field(default_factory=dict)


@dataclass(frozen=True)
class Protocol:
    """Differences from the paper's text; `presets.toml` explains the entries."""

    training: Mapping[str, Values] = field(default_factory=dict)
    systems: Mapping[str, Mapping[str, Values]] = field(default_factory=dict)
    measures: Mapping[str, Mapping[str, Values]] = field(default_factory=dict)


_TABLES = read_toml("lorae.reproduction.tables", "presets.toml")
FIELDS: dict[str, list[str]] = _TABLES["fields"]
PRESETS = {name: Preset(**values) for name, values in _TABLES["presets"].items()}
PROTOCOLS = {name: Protocol(**values) for name, values in _TABLES["protocols"].items()}
# Methods of the authors' code, to which its settings of the training apply.
AUTHORS_METHODS = ("ae", "vae", "irmae", "lorae")


@dataclass(frozen=True)
class StudyConfig:
    """Configuration of a study: it turns systems and columns into configurations of models and measures.

    `faces` is the fingerprint of the CelebA images, as copies of them differ; None without CelebA.
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
        values: dict[str, Any] = {"data": data, "seed": seed}
        values |= _fitting(protocol.training.get(data, {}), system.settings["method"])
        values |= PRESETS[self.preset].training.get(data, {})
        values |= system.settings_on(data)
        values |= protocol.systems.get(system.name, {}).get(data, {})
        values |= {} if column is None else column.settings
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

        `labels` is a single number of labels, each a job of its own, as all of them take hours in the paper's preset.
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
