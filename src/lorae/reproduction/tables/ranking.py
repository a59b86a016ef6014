"""Comparison of the order of rows with the paper's, pair by pair within the noise of seeds. Imports no torch."""

import math
from dataclasses import dataclass
from itertools import combinations

from lorae.reproduction.tables.published import Column
from lorae.reproduction.tables.results import ResultsTable, Value

# A difference of means below this many of its standard errors may be chance.
STANDARD_ERRORS = 2.0


@dataclass(frozen=True)
class RankingComparison:
    """Order of the rows in the paper and in our results, from the best to the worst.

    `same`, `other` and `undecided` are pairs (better in the paper, worse in the paper): in the same order, in the other
    order, or closer than chance allows to tell.
    """

    published: tuple[str, ...]
    ours: tuple[str, ...]
    same: tuple[tuple[str, str], ...]
    other: tuple[tuple[str, str], ...]
    undecided: tuple[tuple[str, str], ...]

    @property
    def outcome(self) -> bool | None:
        """Whether no pair that can be told is in the other order; None if no pair can be told."""
        return None if not (self.same or self.other) else not self.other

    @property
    def pairs(self) -> tuple[str, str]:
        """Pairs in the other order, and pairs that cannot be told, as text."""
        swapped = ", ".join(f"{worse} before {better}" for better, worse in self.other)
        unsure = ", ".join(f"{better} and {worse}" for better, worse in self.undecided)
        return swapped, unsure


def compare_order(results: ResultsTable, column: Column) -> RankingComparison:
    """Compare the published order of a column with ours, over the rows that have both values."""
    sign = 1 if column.better == "lower" else -1
    values = {row.name: results.value(row.name, column.name) for row in results.rows}
    published = {
        row: sign * value.published for row, value in values.items() if value.ours and value.published is not None
    }
    ours = {row: sign * (values[row].mean or 0.0) for row in published}
    found: dict[str, list[tuple[str, str]]] = {"same": [], "other": [], "undecided": []}
    for first, second in combinations(published, 2):
        better, worse = (first, second) if published[first] < published[second] else (second, first)
        here = difference(values[worse], values[better])
        kind = "undecided" if here is None else "same" if sign * here > 0 else "other"
        found[kind].append((better, worse))
    return RankingComparison(
        published=tuple(sorted(published, key=lambda row: published[row])),
        ours=tuple(sorted(ours, key=lambda row: ours[row])),
        **{kind: tuple(pairs) for kind, pairs in found.items()},
    )


def difference(first: Value, second: Value) -> float | None:
    """Return the difference of the means; None if it may be chance, which one seed each cannot tell."""
    assert first.mean is not None
    assert second.mean is not None
    gap = first.mean - second.mean
    variances = [value.sd**2 / len(value.ours) for value in (first, second) if value.sd is not None]
    return None if abs(gap) <= STANDARD_ERRORS * math.sqrt(sum(variances)) else gap
