"""Train the trials of a sweep in this process, one after the other; `python -m lorae.sweeps.worker` is one process.

The process reads one line of JSON from standard input, with the folder and the URL of the database, which may hold a
password. The end of standard input, as when its parent dies, ends it as SIGTERM does: after a checkpoint.
"""

import contextlib
import json
import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorae import api
from lorae.errors import MODEL_FAILURES, LoraeError, LoraeWarning, as_flags
from lorae.runs.run import Run
from lorae.runs.trial import TrialOutcome, write_outcome
from lorae.sweeps.definition import SweepFolder
from lorae.sweeps.queue import MOST_DEATHS, Claim, Queue
from lorae.sweeps.results import measures_of, write_records
from lorae.sweeps.storage import open_study, reaching
from lorae.system.faults import is_out_of_memory, reason_of
from lorae.system.files import CannotWriteError, write_atomically
from lorae.system.signals import raised_as_exceptions

if TYPE_CHECKING:
    from lorae.training.callbacks import Progress

# Seconds between two looks at the trials of other workers, for one that has none.
PAUSE = 1.0


class Pruned(Exception):  # noqa: N818 - an end of a training, no error
    """The pruner has ended a training."""


class Reporter:
    """A callback of `lorae.train` that tells the database the held-out error of each epoch, and obeys the pruner."""

    def __init__(self, claim: Claim, url: str, *, prunes: bool) -> None:
        self._claim, self._url, self._prunes = claim, url, prunes
        self._one = len(claim.trial.study.directions) == 1
        # A continued run repeats the epochs after its checkpoint.
        with reaching(url):
            trials = claim.trial.study.get_trials(deepcopy=False)
        self._reported = set(next(trial for trial in trials if trial.number == claim.number).intermediate_values)

    def on_epoch_end(self, progress: "Progress") -> None:
        """Report an epoch; raise Pruned if the training is not worth its end."""
        error = progress.values["test_mse"]
        if error is None or not self._one:  # of a generator, or for Optuna, which takes no epochs of several objectives
            return
        trial = self._claim.trial
        with reaching(self._url):
            if progress.epoch not in self._reported:
                trial.report(error, progress.epoch)
                self._reported.add(progress.epoch)
            if self._prunes and progress.step < progress.total_steps and trial.should_prune():
                raise Pruned(f"after epoch {progress.epoch}, with a held-out error of {error:.4g}")


def work(path: str | Path, url: str, *, wait: bool = True, after: Callable[[], object] | None = None) -> None:
    """Train trials until none is left; call `after` after each.

    wait: stay until the trials of other workers have ended, to continue those of workers that die
    """
    folder = SweepFolder(path)
    definition = folder.read()
    with open_study(url, definition) as study:
        _empty(Queue(folder, definition, study, url), url, wait, after)


def _empty(queue: Queue, url: str, wait: bool, after: Callable[[], object] | None) -> None:
    while True:
        claim = queue.take()
        if claim is not None:
            try:
                _settle(queue, claim, url)
            finally:
                claim.lock.release()
            if after is not None:
                after()
        elif not wait or queue.finished():
            return
        else:
            time.sleep(PAUSE)


def _settle(queue: Queue, claim: Claim, url: str) -> None:
    """Train and measure a trial, and record its outcome; faults that other trials would meet as well are raised."""
    from optuna.trial import TrialState

    run_path = queue.folder.run_path(claim.number)
    state, values, reason = TrialState.FAIL, None, None
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", LoraeWarning)
        try:
            if claim.deaths >= MOST_DEATHS:
                raise LoraeError(
                    f"{claim.deaths} workers died in it at one place, perhaps for lack of memory; try a smaller model"
                )
            measured = _measured(queue, claim, url)
            values = [measured[name] for name in queue.definition["objective"]]
            state = TrialState.COMPLETE
        except KeyboardInterrupt:
            with contextlib.suppress(LoraeError), reaching(url):
                claim.trial.set_user_attr("interrupted", True)
            raise
        except CannotWriteError:
            raise
        except Exception as error:
            if isinstance(error.__cause__, Pruned):
                state, reason = TrialState.PRUNED, f"pruned {error.__cause__}"
            elif isinstance(error.__cause__, LoraeError):  # of the database
                raise error.__cause__ from None
            else:
                reason = _reason(queue.folder.path, claim.number, error)
    for found in said:
        if not isinstance(found.message, LoraeWarning):
            warnings.warn_explicit(found.message, found.category, found.filename, found.lineno)
    with reaching(url):
        if reason is not None:
            claim.trial.set_user_attr("reason", reason)
        texts = [as_flags(found.message) for found in said if isinstance(found.message, LoraeWarning)]
        if texts:
            claim.trial.set_user_attr("warnings", texts)
        queue.study.tell(claim.number, values, state=state)
    if run_path.is_dir():
        names = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"}
        outcome: Any = names.get(state, "failed")
        write_outcome(run_path, _outcome(queue, claim, outcome, reason))
    with queue.folder.deciding(), reaching(url):
        write_records(queue.folder, queue.study)


def _outcome(queue: Queue, claim: Claim, state: Any, reason: str | None) -> TrialOutcome:
    return {"sweep": str(queue.folder.path.absolute()), "number": claim.number, "state": state, "reason": reason}


def _reason(folder: Path, number: int, error: Exception) -> str:
    """Return the reason of a failed trial in one line; the traceback of an error of the program goes into a file."""
    if isinstance(error, MODEL_FAILURES):
        return f"{error.outcome}: {as_flags(error)}"
    if isinstance(error, LoraeError):
        return as_flags(error)
    if is_out_of_memory(error):
        return f"not enough memory: {reason_of(error)}"
    log = folder / "logs" / f"trial-{number}.txt"
    write_atomically(log, traceback.format_exc().encode(errors="backslashreplace"))
    return f"{type(error).__name__}: {reason_of(error)} (see {log})"


def _measured(queue: Queue, claim: Claim, url: str) -> dict[str, float]:
    """Train a trial, or continue its run, and return what was measured of its held-out items."""
    path = queue.folder.run_path(claim.number)
    settings = queue.space.settings(claim.parameters) | {"seed": claim.seed}
    data = settings.pop("data")
    callbacks = [Reporter(claim, url, prunes=queue.definition["pruner"] != "none")]
    if (path / "config.json").is_file():
        # The network of a file is that of this sweep, of which `sweep` has asked whether it is trusted.
        run = api.resume(Run(path, trust_code=True), quiet=True, callbacks=callbacks)
    else:
        run = api.train(data, out=path, quiet=True, callbacks=callbacks, **settings)
    if "fid" in queue.definition["objective"] and "fid" not in measures_of(run):
        api.evaluate(run, only="fid", quiet=True)
    measured = measures_of(run)
    missing = [name for name in queue.definition["objective"] if name not in measured]
    if missing:
        skipped = run.evaluation().get("skipped", {})
        why = next(iter(skipped.values()), "the method has none")
        raise LoraeError(f"objective: {', '.join(missing)} cannot be measured: {why}")
    with reaching(url):
        claim.trial.set_user_attr("measured", measured)
        for name, bound in (("rank", queue.definition["max_rank"]), ("error", queue.definition["max_error"])):
            if bound is not None and name in measured:
                claim.trial.set_constraint(name, measured[name] - bound)
    return measured


@contextlib.contextmanager
def thread_limit(count: int | None) -> Iterator[None]:
    """Compute with so many threads inside the block; None leaves torch's number."""
    import torch

    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def main() -> int:
    """Work as a process of a sweep; return the exit code of `lorae`."""
    line = b""
    while not line.endswith(b"\n"):
        part = os.read(0, 2**16)
        if not part:
            return 2
        line += part
    order = json.loads(line)

    def end_with_parent() -> None:
        # Without a lock of Python's, which a thread must not hold when the process ends.
        while os.read(0, 2**10):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    with raised_as_exceptions() as signaled:
        threading.Thread(target=end_with_parent, daemon=True).start()
        try:
            with thread_limit(order["threads"]):
                work(order["out"], order["storage"])
        except KeyboardInterrupt:
            return 128 + (signaled() or signal.SIGINT)
        except LoraeError as error:
            print(f"lorae: {as_flags(error)}", file=sys.stderr)
            return 2
        except Exception as error:
            if signaled():  # an import that was interrupted
                return 128 + (signaled() or signal.SIGINT)
            traceback.print_exc()
            print(f"lorae: {type(error).__name__}: {reason_of(error)}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
