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
    return {method: share(own) for method, own in _by_method(rows).items()}


def share(rows: Sequence[Estimate]) -> float:
    """Return the share of estimates at most one away from the dimension."""
    return sum(row.within_one for row in rows) / len(rows)


def markdown(rows: Sequence[Estimate]) -> str:
    """Return Markdown tables of data x method and, with several weights, of method x weight."""
    if len(_factors(rows)) < 2:
        return _by_data(rows)
    words = "Share of cells within 1 of the dimension, by the weight as a multiple of the default:"
    return "\n\n".join([_by_data(rows), words, _by_weight(rows)])


def _by_data(rows: Sequence[Estimate]) -> str:
    methods = _by_method(rows)
    lines = []
    for data, dimension in dict.fromkeys((row.data, row.dimension) for row in rows):
        found = [summary([row for row in own if row.data == data]) for own in methods.values()]
        lines.append([data, str(dimension), *found])
    lines.append(["**within 1**", "", *(f"**{share(own):.0%}**" for own in methods.values())])
    return markdown_table(["data", "dimension", *methods], lines)


def _by_weight(rows: Sequence[Estimate]) -> str:
    factors, lines = _factors(rows), []
    for method, own in _by_method(rows).items():
        if all(row.weight_factor is not None for row in own):
            found = [[row for row in own if row.weight_factor == factor] for factor in factors]
            lines.append([method, *(f"{share(part):.0%}" for part in found)])
    return markdown_table(["method", *(f"x {factor:g}" for factor in factors)], lines)


def shares_table(rows: Sequence[Estimate]) -> str:
    """Return method x kind of data as a Markdown table of the shares of estimates within 1 of the dimension."""
    lines = []
    for method, own in sorted(_by_method(rows).items(), key=lambda entry: -share(entry[1])):
        pictures = [row for row in own if row.family == PICTURES]
        kinds = ([row for row in own if row.family != PICTURES], pictures, own)
        lines.append([f"`{method}`", *(f"{share(found):.0%}" if found else NOTHING for found in kinds)])
    return markdown_table(["method", "vectors", "pictures", "all"], lines)


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


def _by_method(rows: Sequence[Estimate]) -> dict[str, list[Estimate]]:
    """Return the estimates of each method, in the order of first occurrence."""
    return {name: [row for row in rows if row.method == name] for name in dict.fromkeys(row.method for row in rows)}


def _factors(rows: Sequence[Estimate]) -> list[float]:
    return sorted({row.weight_factor for row in rows if row.weight_factor is not None})
