"""Check what a sweep is asked for, before anything is written, and make or open its folder."""

import contextlib
import datetime
import io
import itertools
import math
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lorae import __version__, api
from lorae.api.loading import absolute_path, data_name, load_dataset, origin_of_argument
from lorae.config.data_settings import DataSettings
from lorae.config.evaluation_settings import EvaluationSettings
from lorae.config.methods import get_method
from lorae.config.resolution import resolve, with_epochs
from lorae.config.settings import ARRAY, MODULES, RANK_GOALS, Settings
from lorae.errors import LoraeError, shell_command, shown
from lorae.reports.formatting import plain
from lorae.sweeps.definition import SCHEMA, Definition, SweepFolder, refuse_other, space_of
from lorae.sweeps.options import SweepOptions
from lorae.sweeps.queue import cells
from lorae.sweeps.space import Origin, Range, Space, parse_space
from lorae.sweeps.storage import default_url, open_study, without_password
from lorae.system.files import read_file, write_atomically

if TYPE_CHECKING:
    from lorae.data import Dataset

# Held-out items by default: a tenth of the training items, and no more than the test digits of MNIST.
SHARE, MOST = 10, 10_000
# Combinations of settings that are checked before the first training; each takes a fraction of a millisecond.
CHECKED = 4096


def planned(data: Any, values: Mapping[str, Any], options: SweepOptions, origin: Origin) -> tuple[Definition, Any]:
    """Return the definition of a sweep, and its data as they were given; LoraeError where something does not fit."""
    values = dict(values)
    seeds = _seeds(values, options)
    values["data"] = data_name(data)
    for name in ("data_root", "network"):
        if isinstance(values.get(name), str):
            place, colon, function = values[name].rpartition(":") if name == "network" else (values[name], "", "")
            values[name] = f"{absolute_path(place)}{colon}{function}"
    space = parse_space(values, origin)
    if space.fixed.get("network") == MODULES:
        raise LoraeError("network: a sweep cannot take modules, expected a name or FILE.py:NAME of a function")
    if not space.searched and len(seeds) == 1:
        raise LoraeError(
            "sweep: all settings are fixed, expected at least one list such as penalty=1e-4,1e-3 or range such as "
            "penalty=1e-5:1e-2:log, or several seeds",
            settings={"penalty": "1e-4,1e-3"},
        )
    held_out = _loaded(space.fixed, data, origin)
    if "holdout" not in space.fixed:
        space.fixed["holdout"] = min(MOST, max(2, len(held_out.train) // SHARE))
        held_out = _loaded(space.fixed, data, origin)
    methods = _check_cells(space, held_out, options, origin)
    sampler, pruner = _choices(space, options, seeds)
    if "fid" in options.objective:
        _check_features(held_out, methods)
    definition: Definition = {
        "schema": SCHEMA,
        "version": __version__,
        "created": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "settings": space.fixed,
        "space": {name: values.to_json() for name, values in space.searched.items()},  # type: ignore[misc]
        "seeds": list(seeds),
        "trials": None if sampler == "grid" else options.trials,
        "objective": list(options.objective),
        "max_rank": options.max_rank,
        "max_error": options.max_error,
        "sampler": sampler,
        "pruner": pruner,
        "fingerprint": held_out.fingerprint,
        "study": "",
        "storage": None if options.storage is None else without_password(options.storage),
    }
    return definition, None if isinstance(data, (str, Path)) else data


def _seeds(values: dict[str, Any], options: SweepOptions) -> tuple[int, ...]:
    """Return the seeds, which may be given as the setting `seed` too, and take that out."""
    seed = values.pop("seed", None)
    if seed is None:
        return options.seeds or (0,)
    if options.seeds is not None:
        raise LoraeError(f"seed: got {shown(seed)} beside seeds, expected one of them", argument="seed")
    rule = SweepOptions.__dataclass_fields__["seeds"].metadata["rule"]
    found: tuple[int, ...] = rule.check("seed", seed, origin_of_argument("seed"))
    return found


def _loaded(fixed: Mapping[str, Any], data: Any, origin: Origin) -> "Dataset":
    names = DataSettings.__dataclass_fields__
    settings = {name: value for name, value in fixed.items() if name in names}
    return load_dataset(DataSettings.from_values(settings, origin), data)


def _check_cells(space: Space, dataset: "Dataset", options: SweepOptions, origin: Origin) -> set[str]:
    """Check combinations of settings as `lorae train` does; return the methods in them."""
    methods = set()
    for cell in itertools.islice(space.cells(), CHECKED):
        try:
            values = space.settings(cell)
            if "method" not in values and any(values.get(name) is not None for name in RANK_GOALS):
                values["method"] = "lorae+"  # as for `lorae train`
            settings = Settings.from_values(values, origin)
            settings = with_epochs(settings, math.ceil(len(dataset.train) / settings.batch_size))
            resolve(settings, dataset.kind, dataset.shape)
            methods.add(settings.method)
            if "fid" not in options.objective and not get_method(settings.method).encodes:
                raise LoraeError(
                    f"objective: method {settings.method} has no encoder, and so no error; choose objective=fid",
                    settings={"objective": "fid"},
                )
        except LoraeError as error:
            if not cell:
                raise
            where = ", ".join(f"{name}={plain(value)}" for name, value in cell.items())
            raise LoraeError(
                f"{error}; in the setting {where}", argument=error.argument, settings=error.settings
            ) from None
    return methods


def _choices(space: Space, options: SweepOptions, seeds: tuple[int, ...]) -> tuple[str, str]:
    """Return sampler and pruner; LoraeError where they do not fit the other options."""
    ranges = [name for name, values in space.searched.items() if isinstance(values, Range)]
    sampler = options.sampler
    if sampler == "auto":
        sampler = "grid" if options.trials is None and not ranges else "tpe"
    if sampler == "grid" and (ranges or options.trials is not None):
        reason = f"{ranges[0]} is a range" if ranges else "trials limits their number"
        raise LoraeError(f"sampler: got grid, but {reason}; a grid trains every combination of lists")
    if sampler != "grid" and options.trials is None:
        of = f" for the range of {ranges[0]}" if ranges else f" for sampler {sampler}"
        raise LoraeError(f"trials: got none, expected the largest number of trainings{of}", argument="trials")
    if options.trials is not None and options.trials < len(seeds):
        raise LoraeError(
            f"trials: got {options.trials}, expected at least {len(seeds)}, one for each seed", argument="trials"
        )
    if len(set(options.objective)) < len(options.objective):
        raise LoraeError(f"objective: got {','.join(options.objective)}, expected each once", argument="objective")
    several = len(options.objective) > 1
    if several and options.pruner not in ("auto", "none"):
        raise LoraeError(
            f"pruner: got {options.pruner}, but Optuna prunes no sweep of several objectives; choose pruner='none' or "
            "one objective",
            argument="pruner",
            settings={"pruner": "none"},
        )
    prunes = (
        options.objective == ("error",)
        and sampler != "grid"
        and not any(name in space.fixed or name in space.searched for name in RANK_GOALS)
    )
    pruner = options.pruner if options.pruner != "auto" else "median" if prunes else "none"
    return sampler, pruner


def _check_features(dataset: "Dataset", methods: set[str]) -> None:
    """Build the network of the FID, whose weights may be missing, before the first training."""
    from lorae.features import build_extractor

    method = sorted(methods)[0]
    features = EvaluationSettings().resolve(dataset.name, dataset.kind, method).features
    build_extractor(features)


def make_or_open(folder: SweepFolder, asked: Definition, array: Any, url: str | None) -> tuple[Definition, str]:
    """Make the folder and the study of a sweep, or open those that are there; return definition and URL.

    `array` is that of a sweep on items in memory, which its processes read from a file.
    """
    if not folder.exists and folder.path.exists() and not _only_locks(folder.path):
        raise LoraeError(f"out: {str(folder.path)!r} exists and is no sweep; choose another folder")
    if not folder.exists:
        _check_first(asked, folder)
    with folder.deciding():
        if array is not None:
            _keep_items(folder, asked, array)
        new = not folder.exists
        if new:
            asked["study"] = f"lorae-{folder.path.absolute().name}-{uuid.uuid4().hex[:8]}"
            definition = asked
        else:
            definition = folder.read()
            refuse_other(definition, asked, folder.path)
            if (definition["trials"] is None) != (asked["trials"] is None):
                raise LoraeError(
                    f"trials: got {asked['trials']}, but {str(folder.path)!r} has {definition['trials']}",
                    argument="trials",
                )
            definition["trials"] = asked["trials"]
            definition["storage"] = asked["storage"] or definition["storage"]
        url = url or definition["storage"] or default_url(folder.path)
        with open_study(url, definition, create=new):
            folder.write(definition)
    return definition, url


# Options that may change when a sweep is continued.
CHANGING = ("trials", "workers", "threads", "storage", "executor", "slurm")


def refuse_settings(given: Mapping[str, Any]) -> None:
    """Raise LoraeError for what may not be given for a sweep that is continued."""
    for name in given:
        if name not in CHANGING:
            words = ", ".join(CHANGING)
            raise LoraeError(
                f"{name}: given beside resume, which takes the settings of the sweep; only {words} may change",
                argument=name,
            )


def refuse_network(network: Any, remedy: str) -> None:
    """Raise LoraeError for networks of a file: it is imported only where the caller names it or trusts it."""
    if ":" in str(network):
        raise LoraeError(f"network: the settings name {str(network)!r}; {remedy}", settings={"trust_code": True})


def reopened(folder: SweepFolder, options: SweepOptions, *, trust_code: bool = False) -> tuple[Definition, str]:
    """Return definition and URL of a sweep that is continued."""
    # No lock may be written into a folder that is no sweep.
    with folder.deciding() if folder.exists else contextlib.nullcontext():
        definition = folder.read()
        if not trust_code:
            networks = definition["settings"].get("network"), definition["space"].get("network")
            refuse_network(networks, "pass trust_code=True to import that file")
        if options.trials is not None and definition["trials"] is None:
            raise LoraeError(f"trials: got {options.trials}, but {str(folder.path)!r} is a grid", argument="trials")
        definition["trials"] = options.trials or definition["trials"]
        if options.storage is not None:
            definition["storage"] = without_password(options.storage)
        url = options.storage or definition["storage"] or default_url(folder.path)
        with open_study(url, definition):
            folder.write(definition)
    return definition, url


def _only_locks(path: Path) -> bool:
    """Return whether a folder has nothing but the locks of a sweep that is being made."""
    return path.is_dir() and {found.name for found in path.iterdir()} <= {"locks", "items.npy"}


def _check_first(definition: Definition, folder: SweepFolder) -> None:
    """Build the model of the first setting, which finds what only a model shows."""
    if definition["settings"]["data"] == ARRAY:
        return
    space = space_of(definition)
    settings = space.settings(next(space.cells())) | {"seed": definition["seeds"][0]}
    api.plan(settings.pop("data"), out=folder.run_path(0), **settings)


def _keep_items(folder: SweepFolder, definition: Definition, array: Any) -> None:
    """Write items in memory to `items.npy`, and let the definition name it; refuse others than are there."""
    items = np.asarray(array)
    if items.dtype == object or items.ndim < 2:
        raise LoraeError(
            f"data: got {type(array).__name__}, expected numbers (n, d) or images; save other data as a file first"
        )
    path = folder.path / "items.npy"
    content = io.BytesIO()
    np.save(content, items)
    if path.exists():
        if read_file(path) != content.getvalue():
            raise LoraeError(f"data: they are not those of {str(folder.path)!r}; choose another folder")
    else:
        write_atomically(path, content.getvalue())
    definition["settings"]["data"] = str(path.absolute())
    definition["fingerprint"] = _loaded(definition["settings"], str(path), origin_of_argument).fingerprint


def resume_command(folder: SweepFolder) -> str:
    """Return the command that continues a sweep."""
    return shell_command("sweep --resume", folder.path)


def total(definition: Definition) -> int:
    """Return the number of trainings of a sweep, the largest one if it may end earlier."""
    return cells(definition) or 0 if definition["trials"] is None else definition["trials"]
