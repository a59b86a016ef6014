"""The summary of a finished run."""

from typing import TYPE_CHECKING, Any

from lorae.config.methods import get_method
from lorae.errors import LoraeError, shell_command

if TYPE_CHECKING:
    from lorae.runs.run import Run


# Keys that are shown of the last lines.
STEP, EPOCH = {"loss", "terms"}, {"epoch", "seconds", "images_per_second"}


def summarize(run: "Run") -> dict[str, Any]:
    """Return the last line of the statistics and the results of a run, see `Run.summary`."""
    steps, epochs, evaluation = list(run.stats("step")), list(run.stats("epoch")), run.evaluation()
    measured = "rank" in evaluation and "reconstruction" in evaluation | evaluation.get("skipped", {})
    complete = steps and epochs and steps[-1].keys() >= STEP and epochs[-1].keys() >= EPOCH
    if not (complete and (measured or not get_method(run.settings.method).encodes)):
        raise LoraeError(
            f"run: {str(run.path)!r} lacks statistics or measurements; delete its model.json and "
            f"run `{shell_command('resume', run.path)}`"
        )
    last, epoch = steps[-1], epochs[-1]
    return {
        "run": str(run.path),
        "epochs": epoch["epoch"],
        "seconds": epoch["seconds"],
        "images_per_second": epoch["images_per_second"],
        "loss": {"total": last["loss"], **last["terms"]},
        **({name: evaluation["rank"][name] if measured else None for name in ("rank", "tolerance")}),
        "test_mse": evaluation.get("reconstruction", {}).get("mse"),
        "schedule": evaluation.get("schedule"),
        "stopping": evaluation.get("stopping"),
    }
