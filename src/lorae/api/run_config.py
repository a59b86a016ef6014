"""The config of a new run: settings from files and arguments, its folder, and its `config.json`."""

import dataclasses
import datetime
import platform
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import yaml

from lorae import __version__
from lorae.config.methods import get_method, method_names
from lorae.config.settings import ARRAY, MODULES, RANK_GOALS, Settings
from lorae.errors import LoraeError, flag
from lorae.runs.run import Run
from lorae.runs.schema import SCHEMA, Config, Data, upgrade
from lorae.system.faults import reason_of
from lorae.system.files import read_file
from lorae.system.processes import restarted
from lorae.system.records import read_record_file

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from lorae.data.dataset import Dataset
    from lorae.objectives import Objective


# Bytes of a file of settings, which has some dozen lines. YAML is parsed at a hundred thousand bytes a second.
LARGEST_YAML = 2**18


def merge_settings(from_file: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """Merge the settings of a file with arguments, which override it; penalties are merged by name."""
    merged = from_file | arguments
    ours, theirs = arguments.get("penalties"), from_file.get("penalties")
    if isinstance(ours, dict) and isinstance(theirs, dict):
        merged["penalties"] = theirs | ours
    name = str(merged.get("method", "lorae"))
    method = get_method(name) if name in method_names() else None
    main = method.main if method else None
    if isinstance(ours, dict) and main in ours and "penalty" not in arguments:
        merged.pop("penalty", None)
    if "penalty" in arguments and isinstance(theirs, dict) and not (isinstance(ours, dict) and main in ours):
        merged["penalties"] = {name: weight for name, weight in merged["penalties"].items() if name != main}
    return merged


class _PlainLoader(yaml.SafeLoader):
    """Safe loader without aliases, nine levels of which stand for a value of a billion entries."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it uses an alias, expected plain settings")
        return super().compose_node(parent, index)


def read_config(path: Path) -> dict[str, Any]:
    """Read settings from a YAML or TOML file, or from the `config.json` of a run."""
    kind = "YAML"
    try:
        if path.suffix == ".json":  # of a run: it has a checksum, and numbers such as 1e-05, which are text in YAML
            values = read_record_file(path, dict)
        elif path.suffix == ".toml":
            kind = "TOML"
            values = tomllib.loads(read_file(path, LARGEST_YAML).decode())
        else:
            values = yaml.load(read_file(path, LARGEST_YAML), _PlainLoader)
    except OSError as error:
        raise LoraeError(f"config: cannot read {str(path)!r}: {reason_of(error)}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise LoraeError(f"config: {str(path)!r} is not {kind}: {reason_of(error)}") from None
    if isinstance(values, dict) and isinstance(values.get("settings"), dict):
        values = upgrade("config", values, path)["settings"]  # the config.json of a run
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise LoraeError(f"config: {str(path)!r} holds {type(values).__name__}, expected settings by name")
    return values


def choose_out(settings: Settings, out: str | Path | None) -> Path:
    """Return the folder of a new run; raise LoraeError if it cannot be one."""
    path = _default_out(settings) if out is None else Path(out)
    refuse_out(path, settings.data)
    return path


def begun_before_restart(planned: Settings, out: str | Path | None) -> Path | None:
    """Return the folder of the same training if `torchrun` has started it again, after a process had failed."""
    path = _default_out(planned) if out is None else Path(out)
    if not restarted() or not (path / "config.json").exists():
        return None
    return path if Run(path).settings == planned else None


def refuse_out(path: Path, settings_data: str) -> None:
    """Raise LoraeError if the folder of a new run exists, or lies in the data folder, whose images it would join."""
    data = Path(settings_data)
    if data.is_dir() and data in (path.absolute(), *path.absolute().parents):
        raise LoraeError(f"out: {str(path)!r} lies in the data folder {str(data)!r}; choose another folder")
    Run.refuse_existing(path)


def _default_out(settings: Settings) -> Path:
    parts = [Path(settings.data).stem, settings.method]
    parts += [f"{weight:g}" for weight in settings.penalties.values()]
    goals = {name: getattr(settings, name) for name in RANK_GOALS}
    parts += [_goal_in_name(name, value) for name, value in goals.items() if value is not None]
    parts += [f"seed{settings.seed}"] if settings.seed else []
    return Path("runs") / "-".join(parts)


def _goal_in_name(name: str, value: Any) -> str:
    """Return a rank goal as a part of a folder's name, so that runs with other goals have other folders."""
    if isinstance(value, tuple):
        low, high, points = value
        return f"path{low:g}to{high:g}in{points}"
    return f"{name.replace('target_', '')}{value if isinstance(value, str) else f'{value:g}'}"


def config_document(
    settings: Settings, dataset: "Dataset", explicit: dict[str, Any], path: Path, objective: "Objective"
) -> Config:
    """Return the content of `config.json` for a run; LoraeError for a penalty that does not fit the model."""
    import torch

    from lorae.system.hardware import thread_count
    from lorae.training.builders import check_objective

    check_objective(objective, dataset)
    own = objective.model.spec.own
    config: Config = {
        "schema": SCHEMA,
        "version": __version__,
        "command": _command(explicit, path),
        "created": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "settings": settings.to_json(),
        "data": cast(Data, dataset.describe()),
        "parameters": objective.model.parameter_counts(),
        "machine": {
            "torch": torch.__version__,
            "python": platform.python_version(),
            "processor": platform.machine(),
            "device": settings.device,
            "threads": thread_count(settings.batch_size, objective.model),
        },
    }
    if own is not None:
        config["network"] = dataclasses.asdict(own)
    return config


def _command(explicit: dict[str, Any], path: Path) -> str:
    """Return the command that trains the same run, or the Python call for an array or modules in memory."""
    if explicit["data"] == ARRAY or explicit.get("network") == MODULES:
        data = "array" if explicit["data"] == ARRAY else repr(explicit["data"])
        modules = "encoder=encoder, decoder=decoder, " if explicit.get("network") == MODULES else ""
        left_out = ("data", "network") if modules else ("data",)
        values = "".join(f"{name}={value!r}, " for name, value in explicit.items() if name not in left_out)
        return f"lorae.train({data}, {modules}{values}out={str(path)!r})"
    words = ["lorae", "train", explicit["data"]]
    for name, value in explicit.items():
        if name == "data" or value is None:
            continue
        if isinstance(value, dict):
            for part, number in value.items():
                words += [f"--{name}.{part}", f"{float(number):g}"]
        elif value is True:
            words.append(flag(name))
        elif value is not False:
            between = ":" if name in ("penalty_path", "value_range") else ","
            words += [flag(name), between.join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)]
    return shlex.join([*words, "--out", str(path)])
