"""Results that take longer than an answer may: computed one after another in a thread while the page is used."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any


class Background:
    """Jobs by name, in their order, each with a future.

    The thread is a daemon, so that the end of the process waits for no job.
    """

    def __init__(self, jobs: Mapping[str, Callable[[], Any]]) -> None:
        self._jobs = dict(jobs)
        self._futures: dict[str, Future[Any]] = {name: Future() for name in jobs}
        threading.Thread(target=self._run, name="lorae explorer", daemon=True).start()

    def result(self, name: str) -> Any:
        """Return the result of a job, or None while it is not ready; raise its error."""
        future = self._futures[name]
        return future.result() if future.done() else None

    def wait(self, timeout: float) -> None:
        """Wait until all jobs have ended, for some seconds at most."""
        for future in self._futures.values():
            future.exception(timeout)

    def _run(self) -> None:
        for name, job in self._jobs.items():
            try:
                self._futures[name].set_result(job())
            except Exception as error:  # it is raised where the result is asked for
                self._futures[name].set_exception(error)
