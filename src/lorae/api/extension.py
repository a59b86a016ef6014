"""Extension of finished runs by more epochs."""

from typing import TYPE_CHECKING, Any

from lorae.api.loading import origin_of_argument
from lorae.errors import LoraeError, shell_command
from lorae.runs.run import Run
from lorae.validation import whole

if TYPE_CHECKING:
    from lorae.data import Dataset


def check_extension(run: Run, epochs: Any) -> int | None:
    """Return the number of epochs to which a run is extended, if it is; LoraeError where that cannot be."""
    if epochs is None:
        return None
    wanted: int = whole(1).check("epochs", epochs, origin_of_argument("epochs"))
    before, name = run.settings.epochs, str(run.path)
    if wanted == before:
        return None
    reason = None
    if not run.finished:
        reason = f"is not finished; continue it first with `{shell_command('resume', run.path)}`"
    elif run.settings.penalty_path is not None:
        reason = "has a penalty path, whose points share the steps; train a new run"
    elif not isinstance(before, int):
        reason = "ended where its held-out loss had stopped falling; train a new run with a number or more patience"
    elif wanted < before:
        reason = f"has {before}, expected more"
    elif run.last_checkpoint is None:
        reason = "has no checkpoint to continue from (it may be a truncation); train a new run"
    if reason is not None:
        raise LoraeError(f"epochs: got {wanted}, but run {name!r} {reason}", argument="epochs")
    return wanted


def extend(run: Run, epochs: int, dataset: "Dataset") -> None:
    """Extend a finished run; raise LoraeError before anything changes if its checkpoint does not allow it."""
    from lorae.training.checkpointing import check_fingerprint

    state = run.load_checkpoint()
    assert state is not None
    check_fingerprint(state, dataset, run)
    run.extend(epochs)
