"""Requests to stop: an exception anywhere, and within a training the end of the current step, which is saved.

A second request ends a training at once.
"""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """Work was stopped by a signal; the message says what is stored and how to go on.

    number: the signal, if it is known
    """

    def __init__(self, message: str = "", number: int | None = None) -> None:
        super().__init__(message)
        self.number = number


class Terminated(KeyboardInterrupt):
    """SIGTERM, which asks for the same as SIGINT."""


# Signals that were raised as an exception and reached no handler of it: code of extension modules, which runs while
# they are imported, may take any exception for one of its own.
_raised: list[int] = []


@contextlib.contextmanager
def raised_as_exceptions() -> Iterator[Callable[[], int | None]]:
    """Raise KeyboardInterrupt for SIGINT and SIGTERM inside the block, as Python does for the former alone.

    Yields a function that returns the signal that has come, or None; it tells an exception that an interrupt has become
    from one of the program. Ignored signals stay ignored, as under nohup, and so does every handling outside the main
    thread, where Python allows no signal handlers.
    """

    def interrupt(number: int, _: Any) -> None:
        _raised.append(number)
        raise Terminated if number == signal.SIGTERM else KeyboardInterrupt

    _raised.clear()
    try:
        with _handled(interrupt, [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]):
            yield lambda: _raised[-1] if _raised else None
    finally:
        _raised.clear()  # else a later training of the process would end by it


# Seconds after a first request within which others are copies of it: the terminal sends Ctrl-C to all processes of a
# command, and a launcher of several processes, such as torchrun, passes it on to each once more.
COPIES = 0.5


@contextlib.contextmanager
def stop_requests() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM in a list instead of stopping at once, with those that were lost before.

    A second request is not content with that: it raises KeyboardInterrupt at once. Outside the main thread Python
    allows no signal handlers; the caller's own handling stays.
    """
    received, first = list(_raised), time.monotonic()

    def collect(number: int, _: Any) -> None:
        nonlocal first
        if not received:
            first = time.monotonic()
        elif time.monotonic() - first > COPIES:
            raise KeyboardInterrupt
        received.append(number)

    with _handled(collect, SIGNALS):
        yield received


@contextlib.contextmanager
def _handled(handler: Callable[[int, Any], None], numbers: Sequence[signal.Signals]) -> Iterator[None]:
    """Handle signals by a function inside the block."""
    previous: dict[signal.Signals, Any] = {}
    try:
        for number in numbers:
            previous[number] = signal.signal(number, handler)
    except ValueError:
        pass
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)
