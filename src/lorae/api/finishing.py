"""The end of a training: weights, measurements, figures, report; a fault of the environment does not cost the model."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from lorae.errors import LoraeError, LoraeWarning, shell_command
from lorae.runs.network_files import write_config
from lorae.runs.run import Run
from lorae.runs.schema import Config
from lorae.system.faults import tolerated
from lorae.system.files import CannotWriteError, writing
from lorae.system.signals import Interrupted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lorae.data import Dataset
    from lorae.models.autoencoder import Autoencoder

# Training items whose encoder outputs are kept: a covariance of latents of more would change little.
KEPT = 10_000


def finish(run: Run, model: "Autoencoder", dataset: "Dataset", then: Callable[[Run], Any] = lambda _: None) -> Run:
    """Store a trained model with encoder outputs, measurements, figures and report, and return its run.

    A model that was trained on a GPU is measured there, and on the CPU again afterwards. `then(run)` is called between
    the measurements and the report. Where the folder cannot be written, the run is finished in another one, with a
    warning.
    """
    from lorae.evaluation.evaluator import evaluate_training
    from lorae.evaluation.figures import PICTURED

    def measure(run: Run) -> None:
        evaluate_training(run, model, dataset)
        then(run)

    with _on_gpu_of(run, model):
        return _stored(run, model, lambda: encoder_outputs(model, dataset), dataset.test.inputs[:PICTURED], measure)


@contextlib.contextmanager
def _on_gpu_of(run: Run, model: "Autoencoder") -> Iterator[None]:
    """Have the model of a run on the GPU while it is measured, if the run was trained on one and one is here."""
    from torch import cuda

    if run.settings.device != "cuda" or not cuda.is_available():
        yield
        return
    model.to("cuda")
    try:
        yield
    finally:
        model.to("cpu")


def finish_without_data(
    run: Run, model: "Autoencoder", outputs: "NDArray[Any]", items: "NDArray[Any] | None", reason: LoraeError
) -> Run:
    """Store a model made from another one with its kept encoder outputs (n, input_dim) and their rank; as `finish`.

    `items` are the test items that are kept; `reason` says why the data are not there: it stands for their measures.
    """
    from lorae.evaluation.evaluator import evaluate_without_data

    def measure(run: Run) -> None:
        evaluate_without_data(run, model, outputs, items, reason)

    return _stored(run, model, lambda: outputs, items, measure)


def _stored(
    run: Run,
    model: "Autoencoder",
    outputs: "Callable[[], NDArray[Any]]",
    items: "NDArray[Any] | None",
    measure: Callable[[Run], None],
) -> Run:
    """Store a model in its run, or where that cannot be written in a copy of it; return the run that has it."""

    def store(run: Run) -> None:
        run.save_weights(model)
        if model.spec.encodes:
            with tolerated("arrays for use without the data: to truncate, export, sample or interpolate needs them"):
                run.keep("encoder_outputs", outputs())
                if items is not None:
                    run.keep("reference_items", items)
        measure(run)
        run.mark_finished(model)
        report(run)

    kept = run
    try:
        try:
            store(kept)
        except CannotWriteError as error:
            kept = run.copied()
            warnings.warn(f"{error}; the run is stored in {kept.path} instead", LoraeWarning, stacklevel=5)
            store(kept)
    except KeyboardInterrupt:
        if kept.finished:
            command = shell_command("report", kept.path)
            raise Interrupted(f"after the end: the run is finished; write its report with `{command}`") from None
        command = shell_command("resume", run.path)
        raise Interrupted(f"after the training, which is saved; measure it with `{command}`") from None
    return kept


def encoder_outputs(model: "Autoencoder", dataset: "Dataset") -> "NDArray[Any]":
    """Return the encoder's outputs before the bottleneck for at least `KEPT` training items, or all of fewer."""
    from lorae.data import subsample_evenly

    return model.encoder_outputs(subsample_evenly(dataset.train.inputs, KEPT))


def report(run: Run) -> None:
    """Write the report of a run; without it the run is as usable, so that a fault is a warning."""
    from lorae.reports.report import write_report

    with tolerated(f"report: {run.path / 'report.html'} is not written"):
        write_report([run])


def complete_report(run: Run) -> None:
    """Write the report of a finished run that was killed before it had one."""
    if not (run.path / "report.html").exists():
        lost = f"report: {run.path / 'report.html'} is not written"
        with tolerated(lost), run.locked():  # which deletes what the kill left
            report(run)


def add_figure_data(run: Run) -> None:
    """Compute the arrays for the figures of a report from what a finished run of an earlier version keeps, if it does.

    They are stored in the run, or kept in memory where that cannot be written.
    """
    if not run.finished or run.figure_data.exists:
        return
    with tolerated("figures: not all are drawn"):
        if run.encoder_outputs() is not None:
            from lorae.evaluation.figure_data import figure_data

            model = run.load_model()
            data = figure_data(model, run.reference_items(model), run.encoder_outputs(model))
            with contextlib.suppress(CannotWriteError):  # the page needs no file
                run.figure_data.write(data)


def finish_points(run: Run, dataset: "Dataset") -> None:
    """Make a finished run of every point of a penalty path, with its log and a `point` in its config; idempotent."""
    from lorae.training.trainer import limited

    for point in run.evaluation()["schedule"]["points"]:
        folder = run.path / "path" / point["point"]
        penalties = run.settings.penalties | {"nuclear": point["penalty"]}
        settings = run.config["settings"] | {"penalty_path": None, "penalties": penalties}
        config: Config = {**run.config, "settings": settings, "point": {"of": str(run.path), "name": point["point"]}}
        with writing(folder):
            for name in ("checkpoints", "figures"):
                (folder / name).mkdir(exist_ok=True)
        write_config(folder, config, run.networks)
        made = Run.opened(folder, run.networks)
        made.copy_stats(run)
        finish(made, limited(run.load_model(point["point"]), dataset), dataset)
