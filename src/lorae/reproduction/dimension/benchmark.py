"""Benchmark of estimators on data of known dimension: jobs for data x estimator x weight x seed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lorae.config.methods import Method, get_method
from lorae.config.resolution import resolve
from lorae.config.settings import Settings
from lorae.data.manifolds import AMBIENT
from lorae.errors import LoraeError
from lorae.plotting.dimensions import plot_dimensions
from lorae.reproduction.dimension import tables as dimension_table
from lorae.reproduction.jobs.store import Job, Record
from lorae.system.files import read_toml, write_atomically

# Increased when a measurement changes without a change of settings, which invalidates earlier records.
PROTOCOL = 1

# Pictures of this side show every factor and cost a quarter of those of 32 x 32.
SIDE = 16
FACTORS = ("x", "y", "size", "red", "green", "blue", "background")

# Two decades around the default weight of a method: the same rule for all, so that none is tuned.
WEIGHT_FACTORS = (0.1, 0.316, 1.0, 3.16, 10.0)

_TABLES = read_toml("lorae.reproduction.dimension", "benchmark.toml")
SETTINGS: dict[str, dict[str, Any]] = _TABLES["settings"]
TEST_FRACTION: float = SETTINGS["all"]["test_fraction"]


@dataclass(frozen=True)
class Source:
    """Data of known dimension; `benchmark.toml` explains the entries."""

    name: str
    family: str
    dimension: int
    noise: float = 0.0

    @property
    def options(self) -> dict[str, Any]:
        """Options of the generator."""
        if self.family == dimension_table.PICTURES:
            return {"factors": list(FACTORS[: self.dimension]), "size": SIDE}
        return {"manifold": self.family, "ambient": AMBIENT, "noise": self.noise}

    @property
    def kind_and_shape(self) -> tuple[str, tuple[int, ...]]:
        """Kind and shape of an item, as `lorae.config.resolution.resolve` takes them."""
        return ("images", (3, SIDE, SIDE)) if self.family == dimension_table.PICTURES else ("vectors", (AMBIENT,))


@dataclass(frozen=True)
class Estimator:
    """An estimator of the dimension; `benchmark.toml` explains the entries."""

    name: str
    reads: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def method(self) -> Method | None:
        """Its method; None if it reads the items."""
        return None if self.reads == "items" else get_method(self.name)

    @property
    def default_weight(self) -> float | None:
        """Default weight of the method's main penalty; None without one."""
        method = self.method
        return None if method is None or method.main is None else method.weights[method.main]

    @property
    def revision(self) -> int:
        """Revision of its method; records of earlier revisions are ignored."""
        return 1 if self.method is None else self.method.revision


@dataclass(frozen=True)
class Preset:
    """Size of the benchmark; `benchmark.toml` explains the entries."""

    n: int
    epochs: int
    image_epochs: int
    seeds: int
    sources: Sequence[str] = tuple(_TABLES["sources"])
    weight_factors: Sequence[float] = WEIGHT_FACTORS


SOURCES = {name: Source(name, **values) for name, values in _TABLES["sources"].items()}
ESTIMATORS = {name: Estimator(name, **values) for name, values in _TABLES["estimators"].items()}
PRESETS = {name: Preset(**values) for name, values in _TABLES["presets"].items()}


def plan(preset: Preset, seeds: int | None = None) -> list[Job]:
    """Return all jobs of a preset, seed by seed, so that an interrupted study covers all data and estimators."""
    return [
        job
        for seed in range(preset.seeds if seeds is None else seeds)
        for name in preset.sources
        for estimator in ESTIMATORS.values()
        for job in _jobs(preset, SOURCES[name], estimator, seed)
    ]


def _jobs(preset: Preset, source: Source, estimator: Estimator, seed: int) -> Iterator[Job]:
    data = {"name": source.name, "family": source.family, "dimension": source.dimension, "n": preset.n, "seed": seed}
    factors = (None,) if estimator.default_weight is None else preset.weight_factors
    for factor in factors:
        chosen: dict[str, Any] = {"name": estimator.name, "reads": estimator.reads, "weight_factor": factor}
        if estimator.revision > 1:
            chosen["revision"] = estimator.revision
        settings = _settings(preset, source, estimator, factor, seed)
        weight = "" if factor is None else f" weight x {factor:g}"
        configuration = {"study": "dimension", "protocol": PROTOCOL, "data": data | source.options}
        yield Job(
            f"{source.name} {estimator.name}{weight} seed {seed}",
            configuration | {"estimator": chosen, "settings": settings},
        )


def _settings(preset: Preset, source: Source, estimator: Estimator, factor: float | None, seed: int) -> dict[str, Any]:
    """Return resolved settings that differ from the defaults, so that a new setting at its default changes no job."""
    if estimator.reads == "items":
        return {"test_fraction": TEST_FRACTION}
    kind, shape = source.kind_and_shape
    values = SETTINGS["all"] | {"method": estimator.name, "seed": seed} | dict(estimator.settings) | SETTINGS[kind]
    values["epochs"] = preset.epochs if kind == "vectors" else preset.image_epochs
    if factor is not None:
        assert estimator.default_weight is not None
        values["penalty"] = float(f"{factor * estimator.default_weight:.3g}")
    resolved = resolve(Settings.from_values(values, lambda _: "the plan"), kind, shape).to_json()
    defaults = Settings().to_json()
    return {name: value for name, value in resolved.items() if value != defaults[name]}


def current_estimates(records: list[Record]) -> list[dimension_table.Estimate]:
    """Return the estimates of records, without those of earlier revisions."""
    return dimension_table.estimates(record for record in records if _is_current(record))


def _is_current(record: Record) -> bool:
    """Return whether a record is of the current protocol and revision."""
    configuration = record["configuration"]
    if configuration["study"] != "dimension":
        return False
    estimator = ESTIMATORS.get(configuration["estimator"]["name"])
    revision = configuration["estimator"].get("revision", 1)
    return configuration["protocol"] == PROTOCOL and estimator is not None and revision == estimator.revision


def draw(records: list[Record], folder: Path, note: str | None = None) -> dict[str, Any]:
    """Draw table and plot beside the records, without earlier revisions; return their paths and the shares within 1.

    A note is written below the table and returned.
    """
    estimates = current_estimates(records)
    if not estimates:
        raise LoraeError(f"out: {str(folder)!r} holds {len(records)} records, but none of known dimensions")
    table, figure = folder / "table.md", folder / "dimension.png"
    text = dimension_table.markdown(estimates) + ("" if note is None else f"\n\n> **Note.** {note}")
    write_atomically(table, f"{text}\n".encode())
    plot_dimensions([asdict(estimate) for estimate in estimates], figure)
    shares = dimension_table.shares_within_one(estimates)
    found = {"table": str(table), "figure": str(figure), "within_one": shares}
    return found if note is None else found | {"note": note}
