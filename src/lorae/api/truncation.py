"""From a trained run, a smaller one: its latent cut down to principal axes within the directions that M has left."""

import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorae.api.loading import as_run, dataset_of
from lorae.api.run_config import refuse_out
from lorae.config.methods import METHODS
from lorae.config.settings import ARRAY
from lorae.errors import LoraeError
from lorae.runs.run import Run
from lorae.runs.schema import Config

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lorae.data import Dataset
    from lorae.models.autoencoder import Autoencoder
    from lorae.models.truncation import PrincipalTruncation

# Training items that the principal axes are those of: for a covariance of latents more would change little.
ITEMS = 10_000


def truncate(
    run: "str | Path | Run",
    rank: int | None = None,
    out: str | Path | None = None,
    *,
    data: "NDArray[Any] | None" = None,
) -> Run:
    """Cut a run's latent to its leading principal axes, into a new finished run that every other command takes.

    The new run has no M, and an encoder and a decoder with as many latent coordinates as directions are kept: those of
    the largest variance over the first 10,000 training items, see `Autoencoder.truncate`. Its `config.json` is that of
    the source, settings included, with its own parameters and a key `truncated`, which holds the standard deviation of
    every direction and the share of variance that is dropped; the log of training is copied, reconstruction and rank
    are measured anew.

    Parameters
    ----------
    rank: how many directions to keep; None: all that M has left, those whose singular value is above 1e-6 of the
        largest, so that reconstructions stay as they are.
    out: the new run folder, which must not exist; by default `RUN-rank<r>`.
    data: the array of a run that was trained on one.

    Raises LoraeError for a method without M, a run that is truncated already, and a rank that does not fit.

    >>> small = truncate("runs/demo", rank=20)   # doctest: +SKIP
    >>> lorae.load(small).spec.latent_dim        # doctest: +SKIP
    20
    """
    from lorae.evaluation.evaluator import evaluate_training
    from lorae.reports.report import write_report

    run = as_run(run)
    refuse_truncated(run)
    model = run.load_model()
    refuse_without_matrix(run)
    rank = model.truncation_rank(rank)
    path = beside(run, f"rank{rank}") if out is None else Path(out)
    refuse_out(path, run.settings.data)
    dataset = dataset_of(run, data)
    truncation = model.find_truncation(items_for_axes(dataset), rank)
    small = model.truncated(truncation)
    new = Run.create(path, _config(run, model, small, truncation, path))
    shutil.copyfile(run.path / "stats.jsonl", new.path / "stats.jsonl")
    evaluate_training(new, small, dataset)
    write_report([new.path])
    new.save_model(small)  # last: it marks the run as finished
    return new


def describe_truncation(run: Run) -> dict[str, Any]:
    """What `lorae truncate --json` prints of a truncated run: its rank, and the sizes and errors before and after."""
    truncated = run.config["truncated"]
    after = _sizes(run, run.config["parameters"])
    return {"run": str(run.path), **truncated, "after": after}


def items_for_axes(dataset: "Dataset") -> "NDArray[Any]":
    """The raw training items that a run's principal axes are those of."""
    from lorae.data import subsample_evenly

    return subsample_evenly(dataset.train.inputs, ITEMS)


def refuse_truncated(run: Run) -> None:
    """LoraeError for a run that is truncated: it has no M left to cut."""
    if "truncated" in run.config:
        source, rank = run.config["truncated"]["from"], run.config["truncated"]["rank"]
        raise LoraeError(
            f"run: {str(run.path)!r} is truncated already, to rank {rank}; "
            f"cut the run that it came from anew: {source!r}"
        )


def beside(run: Run, suffix: str) -> Path:
    """The folder `RUN-suffix`, also of a run that is called `.`."""
    path = run.path if run.path.name not in ("", "..") else run.path.resolve()
    return path.with_name(f"{path.name}-{suffix}")


def _config(
    run: Run, model: "Autoencoder", small: "Autoencoder", truncation: "PrincipalTruncation", path: Path
) -> Config:
    deviations = truncation.deviations.tolist()
    truncated = {
        "from": str(run.path),
        "rank": truncation.rank,
        "latent_dim": model.spec.latent_dim,
        "standard_deviations": {"kept": deviations[: truncation.rank], "dropped": deviations[truncation.rank :]},
        "dropped_variance": truncation.dropped_variance,
        "before": _sizes(run, model.parameter_counts()),
    }
    counts = small.parameter_counts()
    command = _command(run, truncation.rank, path)
    return {**run.config, "command": command, "parameters": counts, "truncated": truncated}


def _sizes(run: Run, parameters: dict[str, int]) -> dict[str, Any]:
    return {
        "parameters": parameters,
        "bytes": (run.path / "model.safetensors").stat().st_size,
        "test_mse": run.summary()["test_mse"],
    }


def _command(run: Run, rank: int, path: Path) -> str:
    """What trains the source, then what cuts it."""
    trained = str(run.config.get("command"))
    if run.settings.data == ARRAY:
        return f"{trained}; lorae.truncate({str(run.path)!r}, {rank}, {str(path)!r}, data=array)"
    return f"{trained} && {shlex.join(['lorae', 'truncate', str(run.path), '--rank', str(rank), '--out', str(path)])}"


def refuse_without_matrix(run: Run) -> None:
    """Raise LoraeError for a run of a method without M, which cannot be truncated; list the methods that can."""
    if run.settings.method not in methods_with_matrix():
        raise LoraeError(
            f"truncate: method {run.settings.method!r} has no matrix M to cut, expected a model of one of the methods "
            f"{', '.join(methods_with_matrix())}"
        )


def methods_with_matrix() -> list[str]:
    """Return the names of the methods whose bottleneck has a matrix, which are those that can be truncated.

    >>> "lorae" in methods_with_matrix()
    True
    """
    from lorae.models.bottlenecks import BOTTLENECKS, Bottleneck

    return [name for name, method in METHODS.items() if BOTTLENECKS[method.bottleneck].matrix is not Bottleneck.matrix]
