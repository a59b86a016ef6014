"""Train and resume runs."""

import contextlib
import dataclasses
import math
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorae.api.extension import check_extension, extend
from lorae.api.finishing import complete_report, finish, finish_points
from lorae.api.loading import (
    absolute_path,
    as_run,
    axes_of,
    data_name,
    dataset_of,
    load_dataset,
    origin_of_argument,
    own_networks,
)
from lorae.api.run_config import begun_before_restart, choose_out, config_document, merge_settings, read_config
from lorae.api.truncation import continue_truncation
from lorae.config.resolution import resolve, with_epochs
from lorae.config.settings import ARRAY, RANK_GOALS, Settings, use_current_names
from lorae.documentation import RANK_CHOICE, see
from lorae.errors import LoraeError, LoraeWarning, shell_command
from lorae.runs.run import Run
from lorae.runs.schema import Config
from lorae.system.processes import Processes, session
from lorae.system.signals import Interrupted

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from lorae.data import Dataset
    from lorae.objectives import Objective
    from lorae.training.callbacks import Callbacks


def train(
    data: Any = None,
    *,
    out: str | Path | None = None,
    config: str | Path | None = None,
    quiet: bool = False,
    callbacks: "Sequence[object]" = (),
    encoder: "nn.Module | None" = None,
    decoder: "nn.Module | None" = None,
    **settings: Any,
) -> Run:
    """Train one method on one data set into a new run folder, measure it, and write its report.

    Parameters
    ----------
    data : object, default=None
        `mnist`, `fashion-mnist`, `celeba`, `shapes`, `shapes-grey`; a folder or .zip file of images, or an .npy, .npz,
        .csv, .tsv, .parquet or image file; or an array, a tensor, a table of pandas, polars or pyarrow, a Dataset or
        DataLoader of torch. Items are vectors (n, d), or images (n, h, w), (n, c, h, w) or (n, h, w, c), uint8 or
        floats in [0, 1]; see docs/data.md. None takes the data of `config`, else mnist.
    out : str or Path, default=None
        New run folder; None takes `runs/DATA-METHOD-PENALTY`.
    config : str or Path, default=None
        YAML file of settings, or the `config.json` of another run; keyword arguments override it.
    quiet : bool, default=False
        Show no progress bar.
    callbacks : sequence of objects, default=()
        Objects with any of the methods `on_step_end`, `on_epoch_end`, `on_checkpoint` and `close`, as
        `lorae.training.callbacks` describes. After an exception in one, `resume` continues the training.
    encoder, decoder : torch module, default=None
        Networks of your own, which are copied: from items, float32 (n, ...), to (n, latent_dim), and back. Arrays of
        three axes are then signals (n, c, t). `network="FILE.py:NAME"` has them made by a function instead.
    **settings
        Fields of `lorae.config.settings.Settings`, as in `method="lorae", penalty=1e-4, epochs=3`.

    Returns
    -------
    Run
        The finished run: `run.summary()` has its rank and error, `run.path` is its folder.

    Raises
    ------
    LoraeError
        If a setting does not fit, before anything is written.
    DivergedError
        If the loss is no longer finite.

    Examples
    --------
    >>> run = train("mnist", method="lorae", penalty=1e-4, epochs=3)   # doctest: +SKIP
    >>> run.summary()["rank"]                                          # doctest: +SKIP
    26
    """
    from lorae.training.builders import build

    networks = own_networks(encoder, decoder, settings)
    with session(settings.get("device", "auto")) as processes:
        planned, dataset, explicit = _plan(data, config, settings)
        processes.refuse_differences("settings", planned.to_json())
        processes.refuse_differences("data", dataset.fingerprint)
        calls = _callbacks(planned, callbacks, processes)

        def begin() -> Path:
            begun = begun_before_restart(planned, out)
            if begun is not None:
                return begun
            path = choose_out(planned, out)
            Run.create(path, config_document(planned, dataset, explicit, path, objective), networks)
            return path

        objective = build(planned, dataset, networks)
        run = Run.opened(processes.from_first(begin), networks)
        if processes.from_first(lambda: run.finished):  # by processes that were started again
            return run
        return _fit(run, dataset, quiet, calls, processes, objective)


def plan(
    data: Any = None,
    *,
    out: str | Path | None = None,
    config: str | Path | None = None,
    encoder: "nn.Module | None" = None,
    decoder: "nn.Module | None" = None,
    **settings: Any,
) -> Config:
    """Return the `config.json` that `train` would write, without training or writing anything.

    Parameters
    ----------
    data, out, config, encoder, decoder, **settings
        As in `train`.

    Returns
    -------
    dict
        Version, command, resolved settings, description of the data, numbers of parameters, and machine.

    Raises
    ------
    LoraeError
        If a setting does not fit.

    Examples
    --------
    >>> plan("shapes-grey", limit=100)["settings"]["latent_dim"]
    128
    """
    from lorae.training.builders import build

    networks = own_networks(encoder, decoder, settings)
    planned, dataset, explicit = _plan(data, config, settings)
    return config_document(planned, dataset, explicit, choose_out(planned, out), build(planned, dataset, networks))


def resume(
    run: "str | Path | Run",
    *,
    data: "str | Path | NDArray[Any] | None" = None,
    epochs: int | None = None,
    quiet: bool = False,
    callbacks: "Sequence[object]" = (),
) -> Run:
    """Continue a run from its last checkpoint to its end, or a finished run beyond it.

    On a CPU the weights are those of an uninterrupted run. A finished run is returned as it is, with a report if it has
    none, unless `epochs` extends it. A constant learning rate stays in an extension, whose weights are those of a run
    of that length from the start; with a cosine the rate rises over the first tenth of the added steps and falls over
    the others. A rank search refines the rank that it chose.

    Parameters
    ----------
    run : str | Path | Run
        A run, finished or not.
    data : str | Path | ndarray, default=None
        Where the data are now if they were moved, or the array of a run that was trained on one.
    epochs : int, default=None
        Number of epochs in all, more than those of the finished run. Its measurements are taken anew at the end.
    quiet : bool, default=False
        Show no progress bar.
    callbacks : sequence of objects, default=()
        As in `train`; those of `train` are not kept with the run.

    Returns
    -------
    Run
        The finished run.

    Raises
    ------
    LoraeError
        If the checkpoint has other settings, the data changed, or the run cannot be
        extended to `epochs`.

    Examples
    --------
    >>> resume("runs/demo").finished   # doctest: +SKIP
    True
    """
    opened = as_run(run)
    with session(opened.settings.device) as processes:
        return _resume(opened, data, epochs, quiet, callbacks, processes)


def _resume(
    run: Run,
    data: "str | Path | NDArray[Any] | None",
    epochs: int | None,
    quiet: bool,
    callbacks: "Sequence[object]",
    processes: Processes,
) -> Run:
    """Continue a run in all of the processes."""
    from lorae.system.hardware import choose_device

    extended = check_extension(run, epochs)
    if processes.from_first(lambda: run.finished) and extended is None:
        if processes.first:
            complete_report(run)
        return run
    if "truncated" in run.config:
        return continue_truncation(run, data) if processes.first else run
    choose_device(run.settings.device, str(run.path / "config.json"))
    calls = _callbacks(run.settings, callbacks, processes)
    dataset = dataset_of(run, data)
    processes.refuse_differences("data", dataset.fingerprint)
    if extended is not None:
        processes.from_first(lambda: extend(run, extended, dataset))
        run = run if processes.first else Run.opened(run.path, run.networks)
    return _fit(run, dataset, quiet, calls, processes)


def _plan(
    data: Any, config: str | Path | None, arguments: dict[str, Any]
) -> tuple[Settings, "Dataset", dict[str, Any]]:
    """Return resolved settings, the data, and the explicit values of settings."""
    from lorae.system.hardware import choose_device, choose_precision

    from_file = {} if config is None else use_current_names(read_config(Path(config)))
    arguments = use_current_names(arguments)
    if data is None:
        data = from_file.get("data", "mnist")
        if data == ARRAY:
            raise LoraeError(f"data: {str(config)!r} is of a run on an array in memory; pass it again as data=")
    explicit = merge_settings(from_file, arguments) | {"data": data_name(data)}
    if "method" not in explicit and any(explicit.get(name) is not None for name in RANK_GOALS):
        explicit["method"] = "lorae+"  # the method whose rank can be chosen
    if explicit.get("data_root") is not None:
        explicit["data_root"] = absolute_path(explicit["data_root"])
    if ":" in str(from_file.get("network")) and "network" not in arguments:
        address = from_file["network"]  # a file is imported only where the caller names it
        raise LoraeError(f"network: {str(config)!r} names {address!r}; pass it again as network= to import that file")
    in_file = from_file.keys() - arguments.keys()
    settings = Settings.from_values(explicit, lambda name: str(config) if name in in_file else origin_of_argument(name))
    if settings.own_network and settings.kind == "auto" and axes_of(data) == 3:
        settings = dataclasses.replace(settings, kind="tensors")
    device = choose_device(settings.device)
    dataset = load_dataset(settings, data)
    for split, part, cure in (
        (dataset.test, "test", "raise test_fraction"),
        (dataset.train, "training", "raise limit"),
    ):
        if len(split) < 2:
            raise LoraeError(
                f"data: {len(split)} of {len(dataset.train) + len(dataset.test)} items are in the {part} split, "
                f"expected at least 2 for a covariance; {cure} or give more items"
            )
    settings = with_epochs(settings, math.ceil(len(dataset.train) / settings.batch_size))
    settings = resolve(settings, dataset.kind, dataset.shape)
    assert settings.network is not None
    precision = choose_precision(settings.precision, device, settings.network)
    return settings.with_machine(device, precision), dataset, explicit


def _callbacks(settings: Settings, callbacks: "Sequence[object]", processes: Processes) -> "Callbacks":
    """Return the callbacks of a call and the trackers of the settings; LoraeError for one that is missing.

    Of several processes the first one calls them.
    """
    from lorae.training.callbacks import Callbacks
    from lorae.training.trackers import new_tracker

    if not processes.first:
        return Callbacks()
    return Callbacks([*callbacks, *(new_tracker(name) for name in settings.track or ())])


def _fit(
    run: Run,
    dataset: "Dataset",
    quiet: bool,
    callbacks: "Callbacks",
    processes: Processes,
    objective: "Objective | None" = None,
) -> Run:
    """Train a run; of several processes the first one measures and finishes it, and the others wait for that."""
    from lorae.evaluation.figures import explained_warning
    from lorae.training.pca_floor import with_pca_floor
    from lorae.training.schedule_factory import unmet_target
    from lorae.training.trainer import Trainer

    with _resumable(run):
        trainer = Trainer(run, dataset, objective, callbacks=callbacks, quiet=quiet, processes=processes)
        trained = trainer.fit()
        if not processes.first:
            return Run.opened(processes.from_first(lambda: run.path), run.networks)
        try:
            model, stopping = with_pca_floor(trainer, trained, quiet=quiet)
        except KeyboardInterrupt:  # of any part of it
            command = shell_command("resume", run.path)
            raise Interrupted(f"after the training, which is saved; compare it with PCA by `{command}`") from None
        found = trainer.schedule.result()

        def finish_schedule(run: Run) -> None:
            run.add_to_evaluation({"schedule": found, "stopping": stopping})
            if run.settings.penalty_path is not None:
                finish_points(run, dataset)

        run = finish(run, model, dataset, finish_schedule)
        processes.from_first(lambda: run.path)
        searched = "lower penalty, raise latent_dim, or set an easier goal"
        other = "or go on to larger penalties" if run.settings.penalty_path else searched
        died = trainer.context.death(trainer.step) if model is trained else None
        for complaint, advice in (
            (unmet_target(run.settings, found), f"raise epochs, {other}{see(RANK_CHOICE)}"),
            (died, "try a lower lr or another seed in a new run"),
        ):
            if complaint is not None:
                warnings.warn(f"{complaint}; {advice}", LoraeWarning, stacklevel=3)
        behind = explained_warning(run.evaluation().get("explained"), run.settings.network)
        if behind is not None and not died:
            warnings.warn(behind, stacklevel=3)
        return run


@contextlib.contextmanager
def _resumable(run: Run) -> Iterator[None]:
    """Say after an interrupt at any moment of a training that has its folder how to go on."""
    try:
        yield
    except Interrupted:
        raise
    except KeyboardInterrupt:
        command = shell_command("resume", run.path)
        state = "after the end: the run is finished" if run.finished else f"{run.path}; continue it with `{command}`"
        raise Interrupted(state) from None
