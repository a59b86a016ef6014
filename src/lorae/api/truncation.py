"""Truncate the latent of a trained run to its leading principal axes, as a new run."""

import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorae.api.finishing import encoder_outputs, finish, finish_without_data
from lorae.api.loading import as_run, dataset_of
from lorae.api.run_config import refuse_out
from lorae.config.methods import METHODS
from lorae.config.settings import ARRAY
from lorae.errors import LoraeError, MissingDataError
from lorae.runs.run import Run
from lorae.runs.schema import Config, Sizes, Truncated

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lorae.models.autoencoder import Autoencoder
    from lorae.models.truncation import PrincipalTruncation


def truncate(
    run: "str | Path | Run",
    rank: int | None = None,
    out: str | Path | None = None,
    *,
    data: "str | Path | NDArray[Any] | None" = None,
) -> Run:
    """Truncate the latent of a run to its leading principal axes, as a new finished run.

    The new model has no M, and one latent coordinate for each axis: those of the largest variance over 10,000 training
    items, see `Autoencoder.truncate`. The new run has the config of the original, with its own numbers of parameters
    and a key `truncated`: the standard deviation of every axis and the share of variance that is dropped. The log of
    the training is copied; reconstruction and rank are measured anew, without the data only the rank.

    Parameters
    ----------
    run : str | Path | Run
        A finished run of a method with a matrix M.
    rank : int, default=None
        Number of axes; None keeps all directions of M, its singular values above 1e-6 of the largest, so that
        reconstructions stay the same. These may be more than the rank of the run, which counts the directions of the
        latents with more than 1e-3 of the largest variance.
    out : str or Path, default=None
        New run folder; None takes `RUN-rankR`, or `RUN-widthW` without a rank.
    data : str | Path | ndarray, default=None
        Where the data are now if they were moved, or the array of a run that was trained on one.

    Returns
    -------
    Run
        The new run, finished.

    Raises
    ------
    LoraeError
        If the method has no M, the run is truncated already, or the rank does not fit.

    Examples
    --------
    >>> small = truncate("runs/demo", rank=20)   # doctest: +SKIP
    >>> lorae.load(small).spec.latent_dim        # doctest: +SKIP
    20
    """
    run = as_run(run)
    refuse_truncated(run)
    model = run.load_model()
    method, able = run.settings.method, methods_with_matrix()
    if method not in able:
        one_of = f"expected a model of one of the methods {', '.join(able)}"
        raise LoraeError(f"truncate: method {method!r} has no matrix M to cut, {one_of}")
    width = model.truncation_rank(rank)
    path = beside(run, f"width{width}" if rank is None else f"rank{width}") if out is None else Path(out)
    _remove_interrupted(path, run, width)
    refuse_out(path, run.settings.data)
    outputs, dataset, gone = run.encoder_outputs(model), None, None
    try:
        dataset = dataset_of(run, data)
        outputs = encoder_outputs(model, dataset) if outputs is None else outputs
    except MissingDataError as missing:
        if outputs is None:
            raise
        gone = missing
    truncation = model.truncation_of(outputs, width)
    small = model.truncated(truncation)
    new = Run.create(path, _config(run, model, small, truncation, path), run.networks)
    with new.locked():
        new.copy_stats(run)
        if dataset is not None:
            return finish(new, small, dataset)
        assert gone is not None
        return finish_without_data(new, small, truncation.codes(outputs), run.reference_items(model), gone)


def continue_truncation(run: Run, data: "str | Path | NDArray[Any] | None" = None) -> Run:
    """Make a truncated run anew that was interrupted; LoraeError if the run that it comes from is not there."""
    source, rank = run.config["truncated"]["from"], run.config["truncated"]["rank"]
    if not (Path(source) / "config.json").is_file():
        raise LoraeError(
            f"run: {str(run.path)!r} was being cut from {source!r}, which is not here; run the command in the folder "
            "that this path begins in, or delete the interrupted run"
        )
    return truncate(Run.opened(source, run.networks), rank, run.path, data=data)


def _remove_interrupted(path: Path, source: Run, rank: int) -> None:
    """Delete a truncated run that was interrupted, if the same command made it and no process is at it."""
    if not (path / "config.json").is_file():
        return
    found = Run(path)
    of = found.config.get("truncated")
    if of is None or found.finished or (Path(of["from"]).resolve(), of["rank"]) != (source.path.resolve(), rank):
        return
    with found.locked():
        shutil.rmtree(path)


def describe_truncation(run: Run) -> dict[str, Any]:
    """Return the output of `lorae truncate --json`: the rank of a truncated run, sizes and errors before and after."""
    return {"run": str(run.path), **run.config["truncated"], "after": _sizes(run, run.fact("parameters"))}


def explain_width(run: Run, width: int) -> str:
    """Return one line on a number of latent coordinates beside the rank of a run, which is another number.

    The rank counts the directions of the latents above a share of the largest variance, as in the report.
    """
    words, found = f"latent width {width} of {run.settings.latent_dim}", run.evaluation().get("rank")
    if found is None:
        return words
    rank, tolerance = found["rank"], found["tolerance"]
    if width == rank:
        return f"{words}, the rank (directions with more than {tolerance:g} of the largest variance)"
    words += f"; rank {rank} (directions with more than {tolerance:g} of the largest variance)"
    if width < rank or "truncated" in run.config or run.settings.method not in methods_with_matrix():
        return words
    return f"{words}. All directions of M keep all reconstructions; --rank {rank} keeps those of the rank alone"


def refuse_truncated(run: Run) -> None:
    """Raise LoraeError for a truncated run, which has no M."""
    if "truncated" in run.config:
        source, rank = run.config["truncated"]["from"], run.config["truncated"]["rank"]
        raise LoraeError(
            f"run: {str(run.path)!r} is truncated already, to rank {rank}; "
            f"cut the run that it came from anew: {source!r}"
        )


def beside(run: Run, suffix: str) -> Path:
    """Return the folder `RUN-suffix`, also for a run with the path `.`."""
    path = run.path if run.path.name not in ("", "..") else run.path.resolve()
    return path.with_name(f"{path.name}-{suffix}")


def _config(
    run: Run, model: "Autoencoder", small: "Autoencoder", truncation: "PrincipalTruncation", path: Path
) -> Config:
    deviations = truncation.deviations.tolist()
    truncated: Truncated = {
        "from": str(run.path),
        "rank": truncation.rank,
        "latent_dim": model.spec.latent_dim,
        "standard_deviations": {"kept": deviations[: truncation.rank], "dropped": deviations[truncation.rank :]},
        "dropped_variance": truncation.dropped_variance,
        "before": _sizes(run, model.parameter_counts()),
    }
    cut = ["lorae", "truncate", str(run.path), "--rank", str(truncation.rank), "--out", str(path)]
    if run.settings.data == ARRAY:
        then = f"; lorae.truncate({str(run.path)!r}, {truncation.rank}, {str(path)!r}, data=array)"
    else:
        then = f" && {shlex.join(cut)}"
    command = str(run.config.get("command")) + then
    return {**run.config, "command": command, "parameters": small.parameter_counts(), "truncated": truncated}


def _sizes(run: Run, parameters: dict[str, int]) -> Sizes:
    size = (run.path / "model.safetensors").stat().st_size
    return {"parameters": parameters, "bytes": size, "test_mse": run.summary()["test_mse"]}


def methods_with_matrix() -> list[str]:
    """Return the names of the methods whose bottleneck has a matrix, which are those that can be truncated."""
    from lorae.models.bottlenecks import BOTTLENECKS, Bottleneck

    return [name for name, method in METHODS.items() if BOTTLENECKS[method.bottleneck].matrix is not Bottleneck.matrix]
