"""Requests to stop a training, so that it can finish the step at hand and keep it."""

import contextlib
import signal
from collections.abc import Iterator
from typing import Any


class Interrupted(KeyboardInterrupt):
    """Training was asked to stop; everything up to the last step is in the checkpoint."""


@contextlib.contextmanager
def stop_requests() -> Iterator[list[int]]:
    """A list that is no longer empty once SIGINT or SIGTERM came; the step at hand is finished first.

    Outside the main thread Python allows no signal handlers: there the caller's own handling stays.
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
