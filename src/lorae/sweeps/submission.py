"""Workers of a sweep as jobs of submitit: on Slurm, or as its local processes.

A job that is preempted or reaches its time limit is queued again by submitit, and goes on with the trials that are
left, its own from the last checkpoint.
"""

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lorae.errors import LoraeError
from lorae.extras import import_extra
from lorae.sweeps.worker import thread_limit, work

# Seconds between two looks at the jobs: a scheduler is asked by a command.
POLL = 2.0
# Parameters that submitit names alike for all executors; others get the name of the executor before them.
COMMON = (
    "name",
    "timeout_min",
    "mem_gb",
    "nodes",
    "cpus_per_task",
    "gpus_per_node",
    "tasks_per_node",
    "stderr_to_stdout",
)
# Minutes of a job, where none are given: submitit's 5 end before most trainings.
MINUTES = 24 * 60


class Worker:
    """A worker as submitit stores it: no password is in it."""

    def __init__(self, folder: str, url: str, threads: int | None, wait: bool) -> None:
        self.folder, self.url, self.threads, self.wait = folder, url, threads, wait

    def __call__(self) -> None:
        """Train trials until none is left."""
        with thread_limit(self.threads):
            work(self.folder, self.url, wait=self.wait)

    def checkpoint(self) -> Any:
        """Return what is queued again: the same, since trainings keep their checkpoints."""
        submitit = import_extra("submitit", "executor")
        return submitit.helpers.DelayedSubmission(self)


def run_jobs(
    folder: Path,
    url: str,
    count: int,
    threads: int | None,
    finished: Callable[[], int],
    executor: str,
    parameters: dict[str, Any],
) -> None:
    """Train the trials of a sweep in jobs of submitit, and wait for them; an exception cancels the jobs.

    finished: called all the time
    """
    submitit = import_extra("submitit", f"executor {executor}")
    asked = {"timeout_min": MINUTES, "name": "lorae-sweep"} | parameters
    prefix = f"{executor}_"
    named = {
        name if name in COMMON or name.startswith(prefix) else f"{prefix}{name}": value for name, value in asked.items()
    }
    try:
        made = submitit.AutoExecutor(folder=folder / "logs" / "submitit", cluster=executor)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of parameters that it does not know
            made.update_parameters(**named)
    except (AssertionError, NameError, TypeError, ValueError, RuntimeError, Warning, OSError) as error:
        reason = " ".join(str(error).split())[:300]
        raise LoraeError(f"slurm: submitit refuses {parameters or executor}: {reason}", argument="slurm") from None
    worker = Worker(str(folder.absolute()), url, threads, False)
    try:
        with made.batch():
            jobs = [made.submit(worker) for _ in range(count)]
    except (RuntimeError, OSError) as error:  # of sbatch
        raise LoraeError(f"executor: cannot submit to {executor}: {' '.join(str(error).split())[:300]}") from None
    try:
        while not all(job.done() for job in jobs):
            finished()
            time.sleep(POLL)
        for job in jobs:
            fault = job.exception()
            if fault is not None:
                reason = " ".join(str(fault).split())[-300:]
                raise LoraeError(f"executor: job {job.job_id} ended: {reason}; see {job.paths.stderr}")
    except BaseException:
        for job in jobs:
            job.cancel(check=False)
        raise
    finally:
        finished()
