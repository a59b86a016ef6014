"""Tables of the paper with published values and ours. Imports no torch."""

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lorae.reports.formatting import mean_and_deviation
from lorae.reproduction.tables.published import Cell, Column, System, Table


class NotMeasuredError(Exception):
    """A value that a check needs has not been measured."""


@dataclass(frozen=True)
class Value:
    """Values of a cell: the paper's, or None, ours, one for each seed, and outcomes of trainings that failed."""

    published: float | None
    ours: tuple[float, ...] = ()
    failed: tuple[str, ...] = ()

    @property
    def trainings(self) -> int:
        """Number of trainings with a value or a failure."""
        return len(self.ours) + len(self.failed)

    @property
    def mean(self) -> float | None:
        """Mean over the seeds; None without a value."""
        return statistics.fmean(self.ours) if self.ours else None

    @property
    def sd(self) -> float | None:
        """Sample standard deviation over the seeds; None for fewer than two."""
        return statistics.stdev(self.ours) if len(self.ours) > 1 else None


@dataclass(frozen=True)
class ResultsTable:
    """A table on one data set, with the values of every (row, column)."""

    table: Table
    data: str
    values: Mapping[Cell, Value]

    @property
    def rows(self) -> tuple[System, ...]:
        """Its rows on this data set."""
        return self.table.rows_on(self.data)

    @property
    def columns(self) -> tuple[Column, ...]:
        """Its columns on this data set."""
        return self.table.columns[self.data]

    def value(self, row: str, column: str) -> Value:
        """Return the values of a cell, by the names of its row and column."""
        return self.values[row, column]

    def text(self, row: str, column: str) -> str:
        """Return mean and deviation of our values of a cell as text; ranks are whole numbers."""
        decimals = next((found.decimals for found in self.columns if found.name == column), 1)
        return mean_and_deviation(self.value(row, column).ours, f".{decimals}f")

    def means(self, rows: Iterable[str], column: str) -> dict[str, float]:
        """Return row -> mean of our values; raise NotMeasuredError if a row has none."""
        found = {row: self.value(row, column).mean for row in rows}
        known = {row: mean for row, mean in found.items() if mean is not None}
        if len(known) < len(found):
            raise NotMeasuredError
        return known
