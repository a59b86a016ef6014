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
    """Order of the rows in the paper and in our results.

    `published` and `ours` are the rows from the best to the worst. `same`, `other` and `undecided` are pairs (better in
    the paper, worse in the paper): in the same order, in the other order, or closer than chance allows to tell. `seeds`
    is the smallest number of seeds of a row.
    """

    published: tuple[str, ...]
    ours: tuple[str, ...]
    same: tuple[tuple[str, str], ...]
    other: tuple[tuple[str, str], ...]
    undecided: tuple[tuple[str, str], ...]
    seeds: int

    @property
    def words(self) -> str:
        """Text for the table: yes, no with the pairs, or undecided."""
        if not (self.same or self.other or self.undecided):
            return "–"
        seeds = f"{self.seeds} seeds" if self.seeds > 1 else "one seed"
        listed = ", ".join(f"{worse} before {better}" for better, worse in self.other)
        unsure = ", ".join(f"{better} and {worse}" for better, worse in self.undecided)
        if not (self.same or self.other):
            return f"cannot be told from {seeds}: {unsure}"
        answer = f"no: {listed}" if listed else "yes"
        if unsure:
            answer += f"; too close to tell: {unsure}" if listed else f", but too close to tell: {unsure}"
        return answer if self.seeds > 1 else f"{answer} ({seeds})"


def compare_order(results: ResultsTable, column: Column) -> RankingComparison:
    """Compare the published order of a column with ours, over the rows that have both values."""
    rows = [row.name for row in results.rows if _known(results.value(row.name, column.name))]
    found: dict[str, list[tuple[str, str]]] = {"same": [], "other": [], "undecided": []}
    for first, second in combinations(rows, 2):
        better, worse = _by_paper(results, column, first, second)
        here = difference(results.value(worse, column.name), results.value(better, column.name))
        if here is None:
            found["undecided"].append((better, worse))
        else:
            right = here > 0 if column.better == "lower" else here < 0
            found["same" if right else "other"].append((better, worse))
    sign = 1 if column.better == "lower" else -1
    seeds = min((len(results.value(row, column.name).ours) for row in rows), default=0)
    published = sorted(rows, key=lambda row: sign * (results.value(row, column.name).published or 0.0))
    ours = sorted(rows, key=lambda row: sign * (results.value(row, column.name).mean or 0.0))
    return RankingComparison(
        tuple(published), tuple(ours), tuple(found["same"]), tuple(found["other"]), tuple(found["undecided"]), seeds
    )


def difference(first: Value, second: Value) -> float | None:
    """Return the difference of the means; None if it may be chance.

    With one seed each there is no spread, and the difference is returned as it is.
    """
    assert first.mean is not None
    assert second.mean is not None
    gap = first.mean - second.mean
    variances = [value.sd**2 / len(value.ours) for value in (first, second) if value.sd is not None]
    return None if abs(gap) <= STANDARD_ERRORS * math.sqrt(sum(variances)) else gap


def _known(value: Value) -> bool:
    return value.published is not None and value.mean is not None


def _by_paper(results: ResultsTable, column: Column, first: str, second: str) -> tuple[str, str]:
    """Return the two rows, the better one in the paper first."""
    values = [results.value(row, column.name).published for row in (first, second)]
    assert values[0] is not None
    assert values[1] is not None
    return (first, second) if (values[0] < values[1]) == (column.better == "lower") else (second, first)
