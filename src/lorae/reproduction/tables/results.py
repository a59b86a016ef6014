"""A table of the paper with our values beside the published ones. Imports no torch."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from lorae.reproduction.tables.published import Cell, Column, System, Table


@dataclass(frozen=True)
class Value:
    """What is known of a cell. published: the paper's value; ours: one a seed, empty where nothing was measured."""

    published: float | None
    ours: tuple[float, ...] = ()

    @property
    def mean(self) -> float | None:
        """The mean over the seeds."""
        return statistics.fmean(self.ours) if self.ours else None

    @property
    def sd(self) -> float | None:
        """The sample standard deviation over the seeds; None of fewer than two."""
        return statistics.stdev(self.ours) if len(self.ours) > 1 else None


@dataclass(frozen=True)
class ResultsTable:
    """A table on one data set. values: every (row, column) of it."""

    table: Table
    data: str
    values: Mapping[Cell, Value]

    @property
    def rows(self) -> tuple[System, ...]:
        """The rows that there are on this data set."""
        return self.table.rows_on(self.data)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns on this data set."""
        return self.table.columns[self.data]

    def value(self, row: str, column: str) -> Value:
        """One cell, by the names of its row and column."""
        return self.values[row, column]
