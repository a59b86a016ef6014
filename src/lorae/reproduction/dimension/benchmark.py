"""Benchmark of estimators on data of known dimension: jobs for data x estimator x weight x seed."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lorae.config.methods import Method, get_method
from lorae.config.resolution import resolve
from lorae.config.settings import Settings
from lorae.data.manifolds import AMBIENT
from lorae.errors import LoraeError
from lorae.plotting.plots import plot_dimensions
from lorae.reproduction.dimension import tables as dimension_table
from lorae.reproduction.jobs.store import Job, Record
from lorae.system.files import write_atomically

# Increased when a measurement changes without a change of settings, which invalidates earlier records.
PROTOCOL = 1

# Pictures of this side show every factor and cost a quarter of those of 32 x 32.
SIDE = 16
FACTORS = ("x", "y", "size", "red", "green", "blue", "background")

# Two decades around the default weight of a method: the same rule for all, so that none is tuned.
WEIGHT_FACTORS = (0.1, 0.316, 1.0, 3.16, 10.0)

TEST_FRACTION = 0.2
SETTINGS: dict[str, Any] = {
    "latent_dim": 32,  # larger than the largest dimension here, so that methods have to reduce it
    "batch_size": 128,  # twice as many items per second as 32 on one core
    "test_fraction": TEST_FRACTION,
    "log_every": 1000,  # the log is not read
    # The same numbers on every machine, as far as possible.
    "device": "cpu",
    "precision": "float32",
}
# For all methods: at three times the paper's rate the errors of these shallow networks settle in 2,000 steps.
VECTOR_SETTINGS = {"lr": 3e-3}
# A quarter of the width for MNIST is enough for pictures of one shape, at half the cost.
IMAGE_SETTINGS = {"width": 0.25}


@dataclass(frozen=True)
class Source:
    """Data of known dimension: name, family (for the plot), dimension, and options of the generator."""

    name: str
    family: str
    dimension: int
    options: Mapping[str, Any]

    @property
    def kind_and_shape(self) -> tuple[str, tuple[int, ...]]:
        """Kind and shape of an item, as `lorae.config.resolution.resolve` takes them."""
        return ("images", (3, SIDE, SIDE)) if "factors" in self.options else ("vectors", (AMBIENT,))


def _manifold(name: str, dimension: int, noise: float = 0.0) -> Source:
    title = name if name == "swiss-roll" else f"{name}-{dimension}"
    options = {"manifold": name, "ambient": AMBIENT, "noise": noise}
    suffix = {0.0: "", NOISE: "-noise", STRONG_NOISE: "-strong-noise"}[noise]
    return Source(title + suffix, name, dimension, options)


def _shapes(count: int) -> Source:
    return Source(f"shapes-{count}", "shapes", count, {"factors": list(FACTORS[:count]), "size": SIDE})


# Share of the standard deviation. A twentieth is far above the rounding of float32 and far below the variance that PCA
# keeps at 99%. A tenth is a hundredth of the variance, exactly what PCA at 99% may leave out.
NOISE, STRONG_NOISE = 0.05, 0.1

# The last three sets of vectors have many dimensions or noise, which neighbor-based estimators handle badly.
SOURCES = {
    source.name: source
    for source in (
        _manifold("linear", 5),
        _manifold("linear", 10),
        _manifold("swiss-roll", 2),
        *(_manifold("warped", dimension) for dimension in (3, 5, 8)),
        _manifold("linear", 5, NOISE),
        _manifold("warped", 5, NOISE),
        _manifold("linear", 20),
        _manifold("swiss-roll", 2, NOISE),
        _manifold("warped", 3, STRONG_NOISE),
        *(_shapes(count) for count in range(2, len(FACTORS) + 1)),
    )
}


@dataclass(frozen=True)
class Estimator:
    """An estimator of the dimension.

    name: name, of the method if it trains one
    reads ({"latents", "matrix", "smallest", "items"}): its estimate: the rank of the covariance of test latents, the
        rank of M, the smallest rank that reconstructs as well as the largest, or a function of the training items
        without a model
    settings: further settings of `lorae.train`
    """

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


ESTIMATORS = {
    estimator.name: estimator
    for estimator in (
        Estimator("lorae", "latents"),
        Estimator("lorae+", "matrix", {"rank": "auto"}),
        Estimator("irmae", "latents"),
        Estimator("irmae-wd", "latents"),
        Estimator("least-volume", "latents"),
        Estimator("rrae", "smallest"),
        Estimator("pca-95", "items"),
        Estimator("pca-99", "items"),
        Estimator("two-nn", "items"),
        Estimator("mle", "items"),
    )
}


@dataclass(frozen=True)
class Preset:
    """Size of the benchmark: number of items with test items, epochs of vectors and of images, number of seeds."""

    sources: tuple[str, ...]
    n: int
    epochs: int
    image_epochs: int
    seeds: int
    weight_factors: tuple[float, ...] = WEIGHT_FACTORS


PRESETS = {
    # 280 steps a fit: a test of the whole study.
    "smoke": Preset(("linear-5", "shapes-2"), 1000, 40, 10, 1, (1.0,)),
    # 2,000 steps a fit for vectors and 1,000 for images, so that a job takes 5 to 10 seconds.
    "quick": Preset(tuple(SOURCES), 5000, 63, 31, 3),
    # 10,000 steps a fit.
    "paper": Preset(tuple(SOURCES), 5000, 313, 313, 3),
}


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
        name = " ".join(
            [source.name, estimator.name, *([] if factor is None else [f"weight x {factor:g}"]), f"seed {seed}"]
        )
        configuration = {
            "study": "dimension",
            "protocol": PROTOCOL,
            "data": data | dict(source.options),
            "estimator": chosen,
            "settings": settings,
        }
        yield Job(name, configuration)


def _settings(preset: Preset, source: Source, estimator: Estimator, factor: float | None, seed: int) -> dict[str, Any]:
    """Return resolved settings that differ from the defaults, so that a new setting at its default changes no job."""
    if estimator.reads == "items":
        return {"test_fraction": TEST_FRACTION}
    kind, shape = source.kind_and_shape
    values = SETTINGS | {"method": estimator.name, "seed": seed} | dict(estimator.settings)
    vectors = kind == "vectors"
    values |= VECTOR_SETTINGS if vectors else IMAGE_SETTINGS
    values["epochs"] = preset.epochs if vectors else preset.image_epochs
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


def draw(records: list[Record], folder: Path) -> dict[str, Any]:
    """Draw table and plot beside the records, without earlier revisions; return their paths and the shares within 1."""
    estimates = current_estimates(records)
    if not estimates:
        raise LoraeError(f"out: {str(folder)!r} holds {len(records)} records, but none of known dimensions")
    table, figure = folder / "table.md", folder / "dimension.png"
    write_atomically(table, (dimension_table.markdown(estimates) + "\n").encode())
    plot_dimensions([asdict(estimate) for estimate in estimates], figure)
    return {
        "table": str(table),
        "figure": str(figure),
        "within_one": dimension_table.shares_within_one(estimates),
    }
