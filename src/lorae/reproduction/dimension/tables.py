"""Tables of the benchmark of known dimensions, from its records. Imports no torch."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lorae.reports.formatting import NOTHING, markdown_table
from lorae.reproduction.jobs.store import Record

# Family of the pictures; all other data are vectors.
PICTURES = "shapes"


@dataclass(frozen=True)
class Estimate:
    """Estimate of a job; the value is None if training diverged."""

    data: str
    family: str
    dimension: int
    noise: float
    method: str
    weight_factor: float | None
    seed: int
    value: float | None

    @property
    def within_one(self) -> bool:
        """Whether the estimate exists and is at most one away from the dimension."""
        return self.value is not None and abs(self.value - self.dimension) <= 1


def estimates(records: Iterable[Record]) -> list[Estimate]:
    """Return the estimates of records, in their order."""
    return [
        Estimate(
            data=data["name"],
            family=data["family"],
            dimension=data["dimension"],
            noise=data.get("noise", 0.0),
            method=record["configuration"]["estimator"]["name"],
            weight_factor=record["configuration"]["estimator"]["weight_factor"],
            seed=data["seed"],
            value=record["result"]["estimate"],
        )
        for record in records
        for data in [record["configuration"]["data"]]
    ]


def shares_within_one(rows: Sequence[Estimate]) -> dict[str, float]:
    """Return method -> share of its estimates at most one away from the dimension."""
    return {method: share(_of(rows, method)) for method in _methods(rows)}


def share(rows: Sequence[Estimate]) -> float:
    """Return the share of estimates at most one away from the dimension."""
    return sum(row.within_one for row in rows) / len(rows)


def markdown(rows: Sequence[Estimate]) -> str:
    """Return Markdown tables of data x method and, with several weights, of method x weight."""
    parts = [_by_data(rows)]
    if len(_factors(rows)) > 1:
        parts += [
            "Share of cells within 1 of the dimension, by the weight as a multiple of the default:",
            _by_weight(rows),
        ]
    return "\n\n".join(parts)


def _by_data(rows: Sequence[Estimate]) -> str:
    methods = _methods(rows)
    lines = []
    for data, dimension in dict.fromkeys((row.data, row.dimension) for row in rows):
        found = [summary([row for row in _of(rows, method) if row.data == data]) for method in methods]
        lines.append([data, str(dimension), *found])
    lines.append(["**within 1**", "", *(f"**{share(_of(rows, method)):.0%}**" for method in methods)])
    return markdown_table(["data", "dimension", *methods], lines)


def _by_weight(rows: Sequence[Estimate]) -> str:
    factors, lines = _factors(rows), []
    for method in _methods(rows):
        own = _of(rows, method)
        if all(row.weight_factor is not None for row in own):
            found = [[row for row in own if row.weight_factor == factor] for factor in factors]
            lines.append([method, *(f"{share(part):.0%}" for part in found)])
    return markdown_table(["method", *(f"x {factor:g}" for factor in factors)], lines)


def shares_table(rows: Sequence[Estimate]) -> str:
    """Return method x kind of data as a Markdown table of the shares of estimates within 1 of the dimension."""
    kinds = {
        "vectors": [row for row in rows if row.family != PICTURES],
        "pictures": [row for row in rows if row.family == PICTURES],
        "all": list(rows),
    }
    lines = []
    for method in sorted(_methods(rows), key=lambda method: -share(_of(rows, method))):
        found = [_of(of_kind, method) for of_kind in kinds.values()]
        lines.append([f"`{method}`", *(f"{share(own):.0%}" if own else NOTHING for own in found)])
    return markdown_table(["method", *kinds], lines)


def summary(rows: Sequence[Estimate]) -> str:
    """Return median and range of estimates as text, or one number if all agree, and the number that diverged.

    >>> summary([Estimate("a", "a", 5, 0.0, "b", None, seed, value) for seed, value in enumerate([4, 5, 7])])
    '5 [4-7]'
    """
    values = [row.value for row in rows if row.value is not None]
    diverged = len(rows) - len(values)
    parts = []
    if values:
        middle, lowest, highest = (_number(value) for value in (statistics.median(values), min(values), max(values)))
        parts.append(middle if lowest == highest else f"{middle} [{lowest}-{highest}]")
    if diverged:
        parts.append(f"{diverged} diverged")
    return ", ".join(parts)


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _of(rows: Sequence[Estimate], method: str) -> list[Estimate]:
    return [row for row in rows if row.method == method]


def _methods(rows: Sequence[Estimate]) -> list[str]:
    return list(dict.fromkeys(row.method for row in rows))


def _factors(rows: Sequence[Estimate]) -> list[float]:
    return sorted({row.weight_factor for row in rows if row.weight_factor is not None})
