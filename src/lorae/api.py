"""Training and loading, as a user calls them; each command of the command line is one call of `api` or `inspection`."""

import dataclasses
import datetime
import platform
import shlex
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from lorae import __version__
from lorae.errors import LoraeError, LoraeWarning
from lorae.goals import missed_goal
from lorae.methods import METHODS
from lorae.methods import list_methods as list_methods
from lorae.runs import Run
from lorae.settings import RANK_GOALS, Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lorae.data import Dataset
    from lorae.model import Autoencoder

# What `settings.data` says of a run that was trained on an array in memory.
ARRAY = "array"


def train(
    data: "str | Path | NDArray[Any] | None" = None,
    *,
    out: str | Path | None = None,
    config: str | Path | None = None,
    quiet: bool = False,
    **settings: Any,
) -> Run:
    """Train one method on one data set into a new run folder, measure it, and write its report.

    Parameters
    ----------
    data: `mnist`, `fashion-mnist`, `celeba`, `shapes`, `shapes-grey`, a folder of images, an .npy/.npz file, or an
        array: vectors (n, d), images (n, h, w), (n, c, h, w) or (n, h, w, c), uint8 or floats in [0, 1];
        None: the data of `config`, else mnist.
    out: the run folder, which must not exist; by default `runs/<data>-<method>-<penalty>`.
    config: a YAML file of settings, or the `config.json` of another run; keyword arguments win over it.
    quiet: no progress bar (there is none anyway where standard error is no terminal).
    **settings: any field of `lorae.settings.Settings`, as in `method="lorae", penalty=1e-4, epochs=3`.

    Raises LoraeError for a setting that does not fit, before anything is written, and the DivergedError among them for
    a loss that is not finite.

    >>> run = train("mnist", method="lorae", penalty=1e-4, epochs=3)   # doctest: +SKIP
    >>> run.summary()["rank"]                                          # doctest: +SKIP
    """
    planned, dataset, explicit = _plan(data, config, settings)
    path = _out(planned, out)
    document = _config_document(planned, dataset, explicit, path)
    run = Run.create(path, document)
    return _fit(run, dataset, quiet)


def plan(
    data: "str | Path | NDArray[Any] | None" = None,
    *,
    out: str | Path | None = None,
    config: str | Path | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """The complete `config.json` that `train` would write, with nothing trained or written (`--dry-run`)."""
    planned, dataset, explicit = _plan(data, config, settings)
    return _config_document(planned, dataset, explicit, _out(planned, out))


def resume(run: "str | Path | Run", *, data: "NDArray[Any] | None" = None, quiet: bool = False) -> Run:
    """Continue a run from its last checkpoint to its end; on a CPU its weights are those of an unbroken run.

    A finished run is given back as it is. data: the array of a run that was trained on one. Raises LoraeError where
    the checkpoint belongs to other settings or the data have changed.
    """
    from lorae.hardware import choose_device

    run = as_run(run)
    if run.finished:
        return run
    if "truncated" in run.config:
        source = run.config["truncated"]["from"]
        raise LoraeError(
            f"run: {str(run.path)!r} was cut from {source!r}, and that was interrupted: there is nothing to train; "
            f"delete it and run `lorae truncate {source}`"
        )
    choose_device(run.settings.device, str(run.path / "config.json"))
    return _fit(run, dataset_of(run, data), quiet)


def load(run: "str | Path | Run", *, point: str | None = None) -> "Autoencoder":
    """The trained model of a run: `encode`, `decode`, `reconstruct`, `spectrum`, `collapse`, `truncate`.

    point: the name of a point of a penalty path, as in `evaluation.json`; None: the model of the run itself.
    """
    return as_run(run).load_model(point)


def load_data(data: "str | Path | NDArray[Any]" = "mnist", **settings: Any) -> "Dataset":
    """A data set as training sees it: two splits of uint8 images (n, c, h, w) or float32 vectors (n, d).

    Takes the data settings of `train`: data_root, limit, size, crop, channels, factors, test_fraction, split_seed,
    holdout, skip_bad.
    """
    return _load(Settings.from_values(settings | {"data": _data_name(data)}, origin_of_argument), data)


def origin_of_argument(name: str) -> str:
    """Where a value came from, for a message about it."""
    return f"argument {name}"


def as_run(run: "str | Path | Run") -> Run:
    """A run from its folder or itself."""
    return run if isinstance(run, Run) else Run(run)


def _data_name(data: Any) -> str:
    """What the settings say of data: a known name, the absolute path (runs are read from anywhere), or ARRAY."""
    from lorae.data import source_names

    if isinstance(data, (str, Path)):
        return str(data) if str(data) in source_names() else _absolute(data)
    if type(data).__module__.split(".")[0] != "numpy":
        raise LoraeError(f"data: got {type(data).__name__}, expected a name, a path or a NumPy array")
    return ARRAY


def _absolute(path: str | Path) -> str:
    """The absolute path where there is something; else as it is, so that the error shows what was typed."""
    found = Path(path).expanduser()
    return str(found.absolute()) if str(path) and found.exists() else str(path)


def _load(settings: Settings, data: Any) -> "Dataset":
    from lorae.data import DataSettings
    from lorae.data import load_data as load_source

    named = {field.name: getattr(settings, field.name) for field in dataclasses.fields(DataSettings)}
    request = DataSettings(**named | {"data": settings.data if isinstance(data, (str, Path)) else data})
    return load_source(request).held_out(request.holdout, request.split_seed).limited(settings.limit)


def dataset_of(run: Run, data: "NDArray[Any] | None") -> "Dataset":
    """The data that a run was trained on; data: the array, for a run on one. LoraeError where they have changed."""
    if run.settings.data == ARRAY and data is None:
        raise LoraeError(f"data: {str(run.path)!r} was trained on an array in memory; pass it again as data=")
    dataset = _load(run.settings, run.settings.data if data is None else data)
    trained_on = str(run.config.get("data", {}).get("fingerprint", ""))
    if dataset.fingerprint != trained_on:
        raise LoraeError(
            f"data: {dataset.name!r} has fingerprint {dataset.fingerprint[:12]}, expected {trained_on[:12]} "
            f"(from {run.path / 'config.json'}): the files have changed since training"
        )
    return dataset


def _plan(
    data: Any, config: str | Path | None, arguments: dict[str, Any]
) -> tuple[Settings, "Dataset", dict[str, Any]]:
    """Resolved settings, the data, and the values that were given explicitly."""
    from lorae.hardware import choose_device, choose_precision

    from_file = {} if config is None else _read_config(Path(config))
    if data is None:
        data = from_file.get("data", "mnist")
        if data == ARRAY:
            raise LoraeError(f"data: {str(config)!r} is of a run on an array in memory; pass it again as data=")
    explicit = _merged(from_file, arguments) | {"data": _data_name(data)}
    if "method" not in explicit and any(explicit.get(name) is not None for name in RANK_GOALS):
        explicit["method"] = "lorae+"  # the method whose rank can be chosen
    if explicit.get("data_root") is not None:
        explicit["data_root"] = _absolute(explicit["data_root"])

    def origin(name: str) -> str:
        return origin_of_argument(name) if name in arguments or name not in from_file else str(config)

    settings = Settings.from_values(explicit, origin)
    device = choose_device(settings.device)
    dataset = _load(settings, data)
    for split, cure in ((dataset.test, "raise --test-fraction"), (dataset.train, "raise --limit")):
        if len(split) < 2:
            part = "test" if split is dataset.test else "training"
            raise LoraeError(
                f"data: {len(split)} of {len(dataset.train) + len(dataset.test)} items are in the {part} split, "
                f"expected at least 2 for a covariance; {cure} or give more items"
            )
    settings = settings.resolve(dataset.kind, dataset.shape)
    assert settings.network is not None
    precision = choose_precision(settings.precision, device, settings.network)
    return settings.with_machine(device, precision), dataset, explicit


def _merged(from_file: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments over the file's settings; of penalties each by its name, whichever way it was given."""
    merged = from_file | arguments
    ours, theirs = arguments.get("penalties"), from_file.get("penalties")
    if isinstance(ours, dict) and isinstance(theirs, dict):
        merged["penalties"] = theirs | ours
    method = METHODS.get(str(merged.get("method", "lorae")))
    main = method.main if method else None
    if isinstance(ours, dict) and main in ours and "penalty" not in arguments:
        merged.pop("penalty", None)
    if "penalty" in arguments and isinstance(theirs, dict) and not (isinstance(ours, dict) and main in ours):
        merged["penalties"] = {name: weight for name, weight in merged["penalties"].items() if name != main}
    return merged


def _read_config(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LoraeError(f"config: cannot read {str(path)!r}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise LoraeError(f"config: {str(path)!r} is not YAML: {' '.join(str(error).split())}") from None
    if isinstance(values, dict) and isinstance(values.get("settings"), dict):
        values = values["settings"]  # the config.json of a run
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise LoraeError(f"config: {str(path)!r} holds {type(values).__name__}, expected settings by name")
    return values


def _out(settings: Settings, out: str | Path | None) -> Path:
    """Where the run goes, if it may."""
    path = _default_out(settings) if out is None else Path(out)
    refuse_out(path, settings.data)
    return path


def refuse_out(path: Path, settings_data: str) -> None:
    """LoraeError where something is at the place of a new run, or where its pictures would become data."""
    data = Path(settings_data)
    if data.is_dir() and data in (path.absolute(), *path.absolute().parents):
        raise LoraeError(f"out: {str(path)!r} lies in the data folder {str(data)!r}; choose another --out")
    Run.refuse_existing(path)


def _default_out(settings: Settings) -> Path:
    parts = [Path(settings.data).stem, settings.method]
    parts += [f"{weight:g}" for weight in settings.penalties.values()]
    goals = {name: getattr(settings, name) for name in RANK_GOALS}
    parts += [_goal_in_name(name, value) for name, value in goals.items() if value is not None]
    parts += [f"seed{settings.seed}"] if settings.seed else []
    return Path("runs") / "-".join(parts)


def _goal_in_name(name: str, value: Any) -> str:
    """A goal as a part of a folder's name, so that runs of the same data to other goals have other folders."""
    if isinstance(value, tuple):
        low, high, points = value
        return f"path{low:g}to{high:g}in{points}"
    return f"{name.replace('target_', '')}{value if isinstance(value, str) else f'{value:g}'}"


def _config_document(settings: Settings, dataset: "Dataset", explicit: dict[str, Any], path: Path) -> dict[str, Any]:
    """Try the objective on two items, so that a misfit shows before anything is written; then all there is to know."""
    import torch

    from lorae.training import build_model, build_objective

    model = build_model(settings, dataset)
    objective = build_objective(settings, model)
    x = model.scaling(torch.as_tensor(dataset.train.inputs[:2].copy()))
    for player in objective.players():
        player.play(x)
    return {
        "version": __version__,
        "command": _command(explicit, path),
        "created": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "settings": settings.to_json(),
        "data": dataset.describe(),
        "parameters": model.parameter_counts(),
        "machine": {
            "torch": torch.__version__,
            "python": platform.python_version(),
            "processor": platform.machine(),
            "device": settings.device,
            "threads": torch.get_num_threads(),
        },
    }


def _command(explicit: dict[str, Any], path: Path) -> str:
    """The command line that trains the same run (for an array in memory, the call)."""
    if explicit["data"] == ARRAY:
        values = ", ".join(f"{name}={value!r}" for name, value in explicit.items() if name != "data")
        return f"lorae.train(array, {values}, out={str(path)!r})"
    words = ["lorae", "train", explicit["data"]]
    for name, value in explicit.items():
        flag = f"--{name.replace('_', '-')}"
        if name == "data" or value is None:
            continue
        if isinstance(value, dict):
            for part, number in value.items():
                words += [f"--{name}.{part}", f"{float(number):g}"]
        elif value is True:
            words.append(flag)
        elif value is not False:
            between = ":" if name == "penalty_path" else ","
            words += [flag, between.join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)]
    return shlex.join([*words, "--out", str(path)])


def _fit(run: Run, dataset: "Dataset", quiet: bool) -> Run:
    from lorae.evaluation.evaluator import evaluate_training
    from lorae.path_points import finish_points
    from lorae.report import write_report
    from lorae.training import Trainer

    trainer = Trainer(run, dataset, quiet=quiet)
    model = trainer.fit()
    evaluate_training(run, model, dataset)
    found = trainer.course.result()
    if found is not None:
        run.add_to_evaluation({"course": found})
    if run.settings.penalty_path is not None:
        finish_points(run, dataset)
    write_report([run.path])
    run.save_model(model)  # last: it marks the run as finished
    searched = "lower --penalty, raise --latent-dim, or ask for less"
    other = "or go on to larger penalties" if run.settings.penalty_path else searched
    for complaint, advice in (
        (missed_goal(run.settings, found), f"train longer (--epochs), {other}"),
        (trainer.steering.death(trainer.step), "try a lower --lr or another --seed in a new run"),
    ):
        if complaint is not None:
            warnings.warn(f"{complaint}; {advice}", LoraeWarning, stacklevel=3)
    return run
