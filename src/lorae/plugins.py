"""Extensions of other distributions, declared as entry points; names are read without importing anything.

Groups, and the object that an entry point of each refers to:

- `lorae.penalties`: a module with a docstring, `SOURCE`, and `penalty(context)` or `of_matrix(matrix)`, as the modules
  of `lorae.penalties`
- `lorae.bottlenecks`: a subclass of `lorae.models.bottlenecks.Bottleneck`
- `lorae.methods`: a `lorae.config.methods.Method` of the same name, such as one with a bottleneck of that distribution,
  in a module that imports no torch, as the command line reads its options
- `lorae.features`: a torch module, a function of items, or a function or class that gives one, for `--features NAME`
"""

from collections.abc import Container
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from lorae.errors import LoraeError


@cache
def _declared(group: str) -> dict[str, list[EntryPoint]]:
    points: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=group):
        points.setdefault(point.name, []).append(point)
    return points


def installed(group: str) -> dict[str, EntryPoint]:
    """Return the entry points of a group by name, the first one of each."""
    return {name: points[0] for name, points in _declared(group).items()}


def refuse_duplicates(group: str, taken: Container[str]) -> None:
    """Raise LoraeError for an entry point whose name is taken, or which two distributions declare."""
    for name, points in _declared(group).items():
        owners = ["lorae"] * (name in taken) + [distribution(point) for point in points]
        if len(owners) > 1:
            raise LoraeError(
                f"{group}: {owners[1]} adds {name!r}, a name that {owners[0]} has already; "
                "uninstall it, or rename its entry point"
            )


def load(group: str, name: str) -> Any:
    """Import the object of an entry point; LoraeError, which names the distribution, where that fails."""
    point = installed(group)[name]
    try:
        return point.load()
    except Exception as error:  # whatever the code of the distribution raises
        reason = (str(error).splitlines() or [""])[0]
        raise LoraeError(
            f"{group}: cannot import {name!r} of {distribution(point)} ({type(error).__name__}: {reason}); "
            "reinstall or uninstall that package"
        ) from None


def misfit(group: str, name: str, expected: str) -> LoraeError:
    """Return the error for an entry point that refers to something else than expected."""
    point = installed(group)[name]
    return LoraeError(f"{group}: {name!r} of {distribution(point)} is {point.value!r}, expected {expected}")


def distribution(point: EntryPoint) -> str:
    """Return name and version of the distribution of an entry point."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value


def summary(point: EntryPoint) -> str:
    """Return the one-line summary of the distribution of an entry point."""
    return (point.dist.metadata["Summary"] if point.dist else None) or f"from {distribution(point)}"
