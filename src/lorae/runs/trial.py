"""`trial.json` in a run folder: of which trial of a sweep it is the run, and its outcome."""

from pathlib import Path
from typing import Literal, TypedDict, cast

from lorae.errors import LoraeError
from lorae.system.files import write_atomically
from lorae.system.records import read_record_file, record_text

NAME = "trial.json"

State = Literal["running", "complete", "pruned", "failed"]


class TrialOutcome(TypedDict):
    """A trial by its number, with the reason of an outcome other than complete."""

    sweep: str
    number: int
    state: State
    reason: str | None


def write_outcome(run: Path, outcome: TrialOutcome) -> None:
    """Write `trial.json` into a run folder."""
    write_atomically(run / NAME, record_text(outcome).encode())


def read_outcome(run: Path) -> TrialOutcome | None:
    """Return the outcome of the trial that a run is of; None for any other run, and for a damaged file."""
    if not (run / NAME).is_file():
        return None
    try:
        return cast(TrialOutcome, read_record_file(run / NAME, TrialOutcome))
    except LoraeError:
        return None
