"""Records of a run folder: their types, and the migration of records of earlier versions.

Every record has a key `schema`; one without it is of schema 0. To change a record, raise `SCHEMA` and append a function
for each kind of record to `_MIGRATIONS`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypedDict, cast

from lorae.errors import LoraeError
from lorae.system.files import write_atomically
from lorae.system.records import Record, check_type, read_record_file, record_text

SCHEMA = 1

# Names in schema 0 -> names in schema 1; `RENAMED` of the settings grows later, so it is not used here.
_SETTINGS = {"normalise": "normalize"}
_SEARCH = {"phase": "stage", "good": "feasible", "bad": "infeasible"}

Kind = Literal["config", "evaluation", "model", "checkpoint"]


class Machine(TypedDict, total=False):
    """Software and hardware of a training; `threads` are those of the CPU."""

    torch: str
    python: str
    processor: str
    device: str
    threads: int


class Data(TypedDict, total=False):
    """The data of a training, as `lorae.data.Dataset.describe` gives them."""

    name: str
    kind: Literal["images", "vectors", "tensors"]
    shape: list[int]
    dtype: str
    splits: dict[str, int]
    labels: int | None
    intrinsic_dimension: int | None
    source: str
    left_out: list[str]
    columns: list[str]
    checksums: dict[str, str]
    fingerprint: str


class Sizes(TypedDict):
    """Sizes of a model, and its error, which is not known without the data."""

    parameters: dict[str, int]
    bytes: int
    test_mse: float | None


# `from` is a word of Python.
Truncated = TypedDict(
    "Truncated",
    {
        "from": str,
        "rank": int,
        "latent_dim": int,
        "standard_deviations": dict[str, list[float]],
        "dropped_variance": float,
        "before": Sizes,
    },
)


class Point(TypedDict):
    """The run and the name of a point of a penalty path."""

    of: str
    name: str


class _Settings(TypedDict):
    settings: dict[str, Any]  # checked by `Settings.from_values`


class Config(_Settings, total=False):
    """`config.json`: everything that decides a training."""

    schema: int
    version: str
    command: str
    created: str
    data: Data
    parameters: dict[str, int]
    network: dict[str, Any]  # of a run with the user's networks: `lorae.models.own_networks.NetworkSource`
    machine: Machine
    truncated: Truncated  # in a truncated run: the run that it comes from, sizes and errors before
    extended: list[dict[str, int]]  # for each extension, the epochs before it
    point: Point  # in a point of a penalty path: the run that it comes from


class _Measured(TypedDict):
    mse: float


class ReconstructionResult(_Measured, total=False):
    """Error of reconstructions, by its protocol."""

    n: int
    protocol: dict[str, Any]


class _Counted(TypedDict):
    rank: int
    tolerance: float


class Rank(_Counted, total=False):
    """Rank of the latents, with the spectrum that it is counted in."""

    energy_99: int
    entropy_rank: float
    stable_rank: float
    ranks: dict[str, int]
    eigenvalues: list[float]
    split: str
    n: int
    protocol: dict[str, Any]
    matrix_rank: int | None
    matrix_ranks: dict[str, int] | None
    interval: dict[str, Any]


class _Explained(TypedDict):
    model: float
    pca: float
    rank: int
    latent_dim: int


class Explained(_Explained, total=False):
    """Share of the variance that a model explains, and PCA with as many directions."""

    mse: float
    pca_mse: float
    variance: float
    protocol: dict[str, Any]


class TriedRank(TypedDict):
    """A rank that a search tried, and its error."""

    rank: int
    mse: float


class Search(TypedDict):
    """Result of a search for the rank."""

    rank: int
    bound: float | None
    tried: list[TriedRank]


class PathPoint(TriedRank):
    """A point of a penalty path: its name, and its penalty."""

    point: str
    penalty: float


class PathResult(TypedDict):
    """Result of a penalty path; `knee` is the name of the point that is the model."""

    points: list[PathPoint]
    knee: str


class _Floor(TypedDict):
    kept: Literal["network", "pca"]
    rank: int


class Floor(_Floor, total=False):
    """Comparison of a network with PCA at the end of a training; errors where there were items to judge by."""

    error: float
    pca_error: float
    items: int
    strength: float  # share of the corrections to PCA that a kept network has


class _Stopping(TypedDict):
    epochs: int
    best_epoch: int
    loss: float
    patience: float
    reason: str


class Stopping(_Stopping, total=False):
    """The epochs and the reason at which a training ended, with `epochs` auto."""

    floor: Floor


class Evaluation(TypedDict, total=False):
    """`evaluation.json`: results by measure. Measures that only tables show are checked where their values are."""

    schema: int
    reconstruction: ReconstructionResult
    rank: Rank
    explained: Explained
    schedule: Search | PathResult | None
    stopping: Stopping | None
    skipped: dict[str, str] | None
    log_lines: int | None  # of `stats.jsonl` at the end of the training


class _Statistic(TypedDict):
    event: str
    step: int


class Statistic(_Statistic, total=False):
    """A line of `stats.jsonl`: means of the steps since the last one, or measurements at the end of an epoch."""

    epoch: int
    loss: float
    terms: dict[str, float]
    weights: dict[str, float]
    rank: int | None
    test_mse: float | None
    n: int
    images_per_second: float
    data_wait: float  # share of the time in which steps waited for items that are read from a file
    seconds: float


class TrainingState(TypedDict):
    """Everything that a training needs to continue after `step` steps."""

    model: dict[str, Any]
    adversary: dict[str, Any]
    optimizers: list[dict[str, Any]]
    schedule: dict[str, Any]
    step: int
    seconds: float
    data: str
    rng: Any
    cuda_rng: Any


class Checkpoint(TrainingState):
    """`checkpoints/last.pt`: a training state, with the settings that it belongs to."""

    schema: int
    settings: dict[str, Any]


def read_record(kind: Kind, path: Path) -> Record:
    """Read a JSON record in the current schema; LoraeError with the first value of another type."""
    record = upgrade(kind, read_record_file(path, dict), path)
    check_type(record, _TYPES[kind], path)
    return record


def as_checkpoint(state: Any, path: Path) -> Checkpoint:
    """Return a loaded checkpoint in the current schema; errors as `read_record`."""
    check_type(state, dict, path)
    checkpoint = upgrade("checkpoint", state, path)
    check_type(checkpoint, Checkpoint, path)
    return cast(Checkpoint, checkpoint)


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a JSON record with its schema and a checksum."""
    write_atomically(path, record_text({"schema": SCHEMA, **record}, indent=2).encode())


def upgrade(kind: Kind, record: Record, origin: object) -> Record:
    """Return a record in the current schema; refuse one of a later version, with `origin`, the path, in the message."""
    schema = record.get("schema", 0)
    if not isinstance(schema, int) or not 0 <= schema <= SCHEMA:
        raise LoraeError(
            f"{origin}: got schema {schema!r}, expected at most {SCHEMA}: a later version of lorae wrote this file; "
            "upgrade lorae"
        )
    for migrate in _MIGRATIONS[kind][schema:]:
        record = migrate(record)
    return record | {"schema": SCHEMA}


def rename_weights(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state of a model with the tensors of schema 0 under their names in schema 1."""
    return {name.replace("bottleneck.normaliser.", "bottleneck.normalizer."): value for name, value in weights.items()}


def _rename(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in values.items()}


def _config_to_1(config: Record) -> Record:
    settings = config.get("settings")
    return config | {"settings": _rename(settings, _SETTINGS)} if isinstance(settings, dict) else config


def _model_to_1(spec: Record) -> Record:
    options = spec.get("bottleneck_options")
    return spec | {"bottleneck_options": _rename(options, _SETTINGS)} if isinstance(options, dict) else spec


def _checkpoint_to_1(state: Record) -> Record:
    schedule = state["course"]
    if "search" in schedule:
        schedule = _rename(schedule, {"turn": "phase"}) | {"search": _rename(schedule["search"], _SEARCH)}
    return _config_to_1(_rename(state, {"course": "schedule"})) | {
        "schedule": schedule,
        "model": rename_weights(state["model"]),
    }


# For each kind, the function that leads from schema 0 to 1, then that from 1 to 2, ...
_MIGRATIONS: dict[Kind, tuple[Callable[[Record], Record], ...]] = {
    "config": (_config_to_1,),
    "evaluation": (lambda evaluation: _rename(evaluation, {"course": "schedule"}),),
    "model": (_model_to_1,),
    "checkpoint": (_checkpoint_to_1,),
}

_TYPES: dict[Kind, type] = {"config": Config, "evaluation": Evaluation, "model": dict, "checkpoint": Checkpoint}
