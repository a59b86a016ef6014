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
from lorae.system.progress import progress_bar

# Seconds until cells that another invocation is working on are looked at again; a cell takes some.
PAUSE = 1.0


def run_jobs(
    cells: Sequence[Job],
    measure: Measure,
    folder: str | Path,
    *,
    workers: int = 1,
    title: str = "",
    quiet: bool = False,
) -> list[Record]:
    """Measure the cells that have no record yet, each in one thread of one process; the records of all, in order.

    Several calls with one folder share the work. workers: processes; a single one is this process itself. Raises
    LoraeError with the first error of a cell, and KeyboardInterrupt after SIGINT or SIGTERM; what is finished is kept,
    and the same call goes on from there.
    """
    store = ResultStore(folder)
    finished = store.finished()
    left = [cell for cell in cells if cell.key not in finished]
    work = functools.partial(_work_on, measure, store.folder)
    with progress_bar(quiet) as bar, _pool(min(workers, len(left))) as pool:
        task = bar.add_task(title, total=len(cells), completed=len(cells) - len(left), note="")

        def show(running: Sequence[Job]) -> None:
            bar.update(task, note=f"now: {'; '.join(cell.name for cell in running)}" if running else "")

        try:
            while left:
                busy = []
                for cell, done in _outcomes(pool, workers, work, left, show):
                    bar.update(task, advance=int(done))
                    busy += [] if done else [cell]
                if len(busy) == len(left):
                    time.sleep(PAUSE)
                left = busy
        except KeyboardInterrupt:
            done_now = len(store.finished().keys() & {cell.key for cell in cells})
            if done_now:
                store.gather(cells)  # so that what there is can be drawn
            raise KeyboardInterrupt(
                f"with {done_now} of {len(cells)} cells finished; the same command goes on from there"
            ) from None
    return store.gather(cells)


def _work_on(measure: Measure, folder: Path, cell: Job) -> bool:
    """Measure one cell, unless that has happened meanwhile; False where another process is at it or what it needs."""
    import torch

    store, threads = ResultStore(folder), torch.get_num_threads()
    with store.claimed(cell) as ours:
        if not ours:
            return False
        if not store.has(cell):
            torch.set_num_threads(1)  # the same sums, whoever does them and however many beside it
            started = time.perf_counter()
            try:
                result = measure(cell.configuration)
            except BusyError:
                return False
            except LoraeError as error:
                raise LoraeError(f"{cell.name}: {error}") from None
            finally:
                torch.set_num_threads(threads)
            store.write(cell, result, time.perf_counter() - started)
    return True


def _outcomes(
    pool: ProcessPoolExecutor | None,
    workers: int,
    work: Callable[[Job], bool],
    cells: Sequence[Job],
    show: Callable[[Sequence[Job]], None],
) -> Iterator[tuple[Job, bool]]:
    """Cells and what `work` says of them, as they come; `show` is told of those that are worked on."""
    if pool is None:
        for cell in cells:
            show([cell])
            yield cell, work(cell)
        return
    waiting = list(reversed(cells))
    running: dict[Future[bool], Job] = {}
    try:
        while waiting or running:
            # No more than are worked on: what lies in the pool's queue can no longer be called off.
            while waiting and len(running) < workers:
                cell = waiting.pop()
                running[pool.submit(work, cell)] = cell
            show(list(running.values()))
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    except BrokenProcessPool:
        raise LoraeError(
            "workers: a worker process died, perhaps for lack of memory; the same command goes on, try fewer --workers"
        ) from None


def available_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor | None]:
    """Processes of their own, or None for a single one; SIGTERM interrupts like SIGINT meanwhile."""
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
        # A cell may take an hour: what is being trained is kept in a checkpoint, the rest is measured again.
        for worker in set(multiprocessing.active_children()) - others:
            worker.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _terminations_interrupt() -> Iterator[None]:
    """Outside the main thread Python allows no signal handlers: there the caller's own handling stays."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _start_worker() -> None:
    """An interrupt is the parent's business, and a worker whose parent was killed ends too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
