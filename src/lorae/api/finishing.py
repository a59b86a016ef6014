"""The end of a training: weights, measurements, figures, report; a fault of the environment does not cost the model."""

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lorae.errors import LoraeWarning
from lorae.runs.run import Run, shell_command
from lorae.system.faults import tolerated
from lorae.system.files import CannotWriteError
from lorae.system.signals import Interrupted

if TYPE_CHECKING:
    from lorae.data import Dataset
    from lorae.models.autoencoder import Autoencoder


def finish(run: Run, model: "Autoencoder", dataset: "Dataset", then: Callable[[Run], Any] = lambda _: None) -> Run:
    """Store a trained model with its measurements, figures and report, and return its run.

    `then(run)` is called between the measurements and the report. Where the folder cannot be written, the run is
    finished in another one, with a warning.
    """
    try:
        _store(run, model, dataset, then)
    except CannotWriteError as error:
        copy = run.copied()
        warnings.warn(f"{error}; the run is stored in {copy.path} instead", LoraeWarning, stacklevel=4)
        _store(copy, model, dataset, then)
        return copy
    except KeyboardInterrupt:
        command = shell_command("resume", run.path)
        raise Interrupted(f"after the training, which is saved; measure it with `{command}`") from None
    return run


def _store(run: Run, model: "Autoencoder", dataset: "Dataset", then: Callable[[Run], Any]) -> None:
    from lorae.evaluation.evaluator import evaluate_training

    run.save_weights(model)
    evaluate_training(run, model, dataset)
    then(run)
    run.mark_finished(model)
    report(run)


def report(run: Run) -> None:
    """Write the report of a run; without it the run is as usable, so that a fault is a warning."""
    from lorae.reports.report import write_report

    with tolerated(f"report: {run.path / 'report.html'} is not written"):
        write_report([run.path])
