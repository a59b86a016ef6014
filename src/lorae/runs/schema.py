"""Records of a run folder: their types, and the migration of records of earlier versions.

Every record has a key `schema`; one without it is of schema 0. To change a record, raise `SCHEMA` and append a function
for each kind of record to `_MIGRATIONS`.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypedDict

from lorae.errors import LoraeError
from lorae.system.faults import reason_of
from lorae.system.files import LARGEST_RECORD, read_file, write_atomically

SCHEMA = 1

# Names in schema 0 -> names in schema 1; `RENAMED` of the settings grows later, so it is not used here.
_SETTINGS = {"normalise": "normalize"}
_SEARCH = {"phase": "stage", "good": "feasible", "bad": "infeasible"}

Kind = Literal["config", "evaluation", "model", "checkpoint"]
Record = dict[str, Any]


class Machine(TypedDict):
    """Software and hardware of a training; `threads` are those of the CPU."""

    torch: str
    python: str
    processor: str
    device: str
    threads: int


class Config(TypedDict, total=False):
    """`config.json`: everything that decides a training."""

    schema: int
    version: str
    command: str
    created: str
    settings: dict[str, Any]
    data: dict[str, Any]
    parameters: dict[str, int]
    network: dict[str, Any]  # of a run with the user's networks: `lorae.models.own_networks.NetworkSource`
    machine: Machine
    truncated: dict[str, Any]  # in a truncated run: the run that it comes from, sizes and errors before
    extended: list[dict[str, int]]  # for each extension, the epochs before it
    point: dict[str, str]  # in a point of a penalty path: the run that it comes from


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
    """Read a JSON record in the current schema."""
    try:
        record = json.loads(read_file(path, LARGEST_RECORD))
    except (OSError, ValueError, RecursionError) as error:
        raise LoraeError(f"{path}: not readable as JSON ({reason_of(error)})") from None
    if not isinstance(record, dict):
        raise LoraeError(f"{path}: holds {type(record).__name__}, expected a JSON object")
    return upgrade(kind, record, path)


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a JSON record with its schema."""
    write_atomically(path, (json.dumps({"schema": SCHEMA, **record}, indent=2) + "\n").encode())


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
