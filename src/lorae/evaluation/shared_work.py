"""Rows of items that several processes compute for an evaluation, which the first of them takes."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae.system.processes import Processes

# Number of items computed at a time. The results do not depend on the number of processes, which take whole chunks.
CHUNK = 1000

Rows = NDArray[Any]
Advance = Callable[[int], Any]


class SharedWork:
    """Functions of items by name, which the first process asks for and all compute in turn, chunk by chunk.

    functions: take items (m, ...) and a function to call with numbers of items that are done, and return rows (m, ...)
    known: arrays of items that every process has, by name, so that they are not sent
    """

    def __init__(
        self, functions: Mapping[str, Callable[[Rows, Advance], Rows]], known: Mapping[str, Rows], processes: Processes
    ) -> None:
        self._functions = functions
        self._known = known
        self._processes = processes

    def rows(self, name: str, items: Rows, advance: Advance) -> Rows:
        """Return the results (n, ...) of a function on items (n, ...); for the first process.

        advance: is called with the numbers of items that this process has computed, and at the end with the others'
        """
        if not self._processes.alone:
            place = next((key for key, array in self._known.items() if array is items), None)
            request = name, place, items if place is None else None
            self._processes.from_first(lambda: request)
        return self._computed(name, items, advance)

    def serve(self) -> None:
        """Compute what the first process asks for, until it has ended; for the others."""
        while (request := self._processes.from_first(lambda: None)) is not None:
            name, place, items = request
            self._computed(name, items if place is None else self._known[place], lambda _: None)

    def end(self) -> None:
        """Let the other processes end; for the first one."""
        self._processes.from_first(lambda: None)

    def _computed(self, name: str, items: Rows, advance: Advance) -> Rows:
        """Return the results of all processes, in the order of the items; raise the error of one in all."""
        function, results, done = self._functions[name], [], 0
        failure: Exception | None = None
        try:
            for chunk in self._chunks(items):
                results.append(function(chunk, advance))
                done += len(chunk)
        except Exception as error:  # any of the user's code; the others must not wait for this process
            if self._processes.alone:
                raise
            failure = error
        if self._processes.alone:
            return np.concatenate(results)
        found = self._processes.collected((results, failure))
        failures = [error for _, error in found if error is not None]
        if failures and self._processes.first:
            raise failures[0]
        advance(len(items) - done)
        if failures:
            return np.zeros(0)
        longest = max(len(parts) for parts, _ in found)
        return np.concatenate([parts[turn] for turn in range(longest) for parts, _ in found if turn < len(parts)])

    def _chunks(self, items: Rows) -> Iterator[Rows]:
        """Yield the chunks of this process: the processes take them in turn, the first one the first."""
        starts = range(0, max(1, len(items)), CHUNK)[self._processes.rank :: self._processes.count]
        for start in starts:
            yield items[start : start + CHUNK]
