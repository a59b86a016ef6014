"""Measure the jobs of a study in several processes."""

import contextlib
import functools
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from pathlib import Path

from lorae.errors import LoraeError
from lorae.reproduction.jobs.store import BusyError, Job, Measure, Record, ResultStore
from lorae.system.files import CannotWriteError
from lorae.system.progress import progress_bar

# Seconds between two checks of jobs that other invocations run; a job takes several.
PAUSE = 1.0


def run_jobs(
    jobs: Sequence[Job],
    measure: Measure,
    folder: str | Path,
    *,
    workers: int = 1,
    title: str = "",
    quiet: bool = False,
) -> list[Record]:
    """Measure the jobs that have no record yet, each in one thread of one process.

    Several calls with one folder share the work. A single worker is this process itself; for several, `measure` is
    imported by name. Returns the records of all jobs, in their order. A job that fails does not stop the others: its
    error is raised after them. Raises LoraeError if a worker dies, and KeyboardInterrupt after SIGINT or SIGTERM;
    finished jobs are kept, and the same call goes on from there.
    """
    store = ResultStore(folder)
    finished = store.finished()
    left = [job for job in jobs if job.key not in finished]
    failed: dict[str, Exception] = {}
    work = functools.partial(_work_on, measure, store.folder)
    with progress_bar(quiet) as bar, _pool(min(workers, len(left))) as pool:
        task = bar.add_task(title, total=len(jobs), completed=len(jobs) - len(left), note="")

        def show(running: Sequence[Job]) -> None:
            bar.update(task, note=f"now: {'; '.join(job.name for job in running)}" if running else "")

        try:
            while left:
                busy = []
                for job, outcome in _outcomes(pool, workers, work, left, show):
                    if isinstance(outcome, Exception):
                        failed[job.name] = outcome
                    else:
                        bar.update(task, advance=int(outcome))
                        busy += [] if outcome else [job]
                if len(busy) == len(left):
                    time.sleep(PAUSE)
                left = busy
        except KeyboardInterrupt:
            done_now = len(store.finished().keys() & {job.key for job in jobs})
            if done_now:
                store.gather(jobs)  # so that the finished ones can be drawn
            raise KeyboardInterrupt(
                f"with {done_now} of {len(jobs)} jobs finished; the same command goes on from there"
            ) from None
    records = store.gather(jobs)
    if failed:
        raise _failure(failed, len(jobs))
    return records


def _failure(failed: dict[str, Exception], jobs: int) -> Exception:
    """Return the error for jobs that failed, by name: the first that nobody foresaw, else one for all of them."""
    for error in failed.values():
        if not isinstance(error, LoraeError):
            return error
    (name, first), *others = failed.items()
    more = f" ({len(others)} more failed: {'; '.join(other for other, _ in others)})" if others else ""
    return LoraeError(
        f"{name}: {first}{more}; {jobs - len(failed)} of {jobs} jobs are finished, and the same command runs the rest"
    )


def _work_on(measure: Measure, folder: Path, job: Job) -> bool:
    """Measure a job unless it is finished; return False if another process holds it or its model."""
    import torch

    store, threads = ResultStore(folder), torch.get_num_threads()
    with store.claimed(job) as ours:
        if not ours:
            return False
        if not store.has(job):
            torch.set_num_threads(1)  # sums do not depend on the number of workers
            started = time.perf_counter()
            try:
                result = measure(job.configuration)
            except BusyError:
                return False
            finally:
                torch.set_num_threads(threads)
            store.write(job, result, time.perf_counter() - started)
    return True


def _outcomes(
    pool: ProcessPoolExecutor | None,
    workers: int,
    work: Callable[[Job], bool],
    jobs: Sequence[Job],
    show: Callable[[Sequence[Job]], None],
) -> Iterator[tuple[Job, bool | Exception]]:
    """Yield jobs with the result of `work`, or its error, as they finish; call `show` with the running ones."""
    if pool is None:
        for job in jobs:
            show([job])
            yield job, _outcome(functools.partial(work, job))
        return
    waiting = list(reversed(jobs))
    running: dict[Future[bool], Job] = {}
    try:
        while waiting or running:
            # Submit only as many as run at once: jobs in the queue of the pool can no longer be cancelled.
            while waiting and len(running) < workers:
                job = waiting.pop()
                running[pool.submit(work, job)] = job
            show(list(running.values()))
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), _outcome(future.result)
    except BrokenProcessPool:
        raise LoraeError(
            "workers: a worker process died, perhaps for lack of memory; the same command goes on, try workers=1",
            settings={"workers": 1},
        ) from None


def _outcome(result: Callable[[], bool]) -> bool | Exception:
    """Return the result of a job or its error; raise those that the other jobs would meet as well."""
    try:
        return result()
    except (BrokenProcessPool, CannotWriteError):
        raise
    except Exception as error:  # the other jobs are worth no less
        return error


@contextlib.contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor | None]:
    """Start worker processes, or yield None for a single one; SIGTERM interrupts like SIGINT meanwhile."""
    if workers < 2:
        with _terminations_interrupt():
            yield None
        return
    # Spawned: a forked process would inherit torch's threads, half of them gone.
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
    try:
        with _terminations_interrupt():
            yield pool
    except BaseException:
        # A job may take an hour: its training continues from a checkpoint, its measures are taken again.
        for worker in set(multiprocessing.active_children()) - others:
            worker.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _terminations_interrupt() -> Iterator[None]:
    """Treat SIGTERM as SIGINT; no-op outside the main thread, which alone may set signal handlers."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _start_worker() -> None:
    """Ignore SIGINT, which the parent handles, and exit if the parent dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
