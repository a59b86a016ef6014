"""Requests to stop a training, which finishes the current step and saves it."""

import contextlib
import signal
from collections.abc import Iterator
from typing import Any


class Interrupted(KeyboardInterrupt):
    """Training was stopped by a signal; the checkpoint holds everything up to the last step."""


@contextlib.contextmanager
def stop_requests() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM in a list instead of stopping at once.

    Outside the main thread Python allows no signal handlers; the caller's own handling stays.
    """
    received: list[int] = []
    previous: dict[signal.Signals, Any] = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            previous[number] = signal.signal(number, lambda signum, _: received.append(signum))
    except ValueError:
        pass
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
