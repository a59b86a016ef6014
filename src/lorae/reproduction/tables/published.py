"""The paper's tables and figures as data, read from `tables.toml`. Imports no torch."""

import dataclasses
import functools
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Names of row and column.
Cell = tuple[str, str]


@dataclass(frozen=True)
class System:
    """A row of a table.

    settings: settings of `lorae.train` for its model
    paper: whether the row is in the paper
    measures: measure of a column -> the measure that replaces it for this row
    data: its data sets; empty for all
    on: data set -> settings that differ there
    """

    name: str
    settings: Mapping[str, Any]
    paper: bool = True
    measures: Mapping[str, str] = field(default_factory=dict)
    data: tuple[str, ...] = ()
    on: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def settings_on(self, data: str) -> dict[str, Any]:
        """Return the settings of its model on a data set."""
        return {**self.settings, **self.on.get(data, {})}


@dataclass(frozen=True)
class Column:
    """A column of a table.

    name, title: name and heading
    measure: measure that fills it
    value: keys of the value in the measure's result, outermost first
    better ({"lower", "higher"}): the better end; None if there is none
    settings: settings of the model that the column changes
    measure_settings: settings of the measure that the table changes
    labels: number of labeled training items, for a measure of labels
    factor: factor to the paper's unit
    """

    name: str
    title: str
    measure: str
    value: tuple[str, ...]
    better: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    measure_settings: Mapping[str, Any] = field(default_factory=dict)
    labels: str | None = None
    factor: float = 1.0

    def measure_of(self, system: System) -> str:
        """Return the measure that fills this column for a system."""
        return system.measures.get(self.measure, self.measure)


@dataclass(frozen=True)
class Table:
    """A table or figure of the paper.

    name, title: name in `lorae reproduce NAME`, and title
    columns: data set -> columns
    published: data set -> (row, column) -> the paper's value; values that the paper lacks are missing
    pictures: figures of a run folder that it shows for every row
    """

    name: str
    title: str
    rows: tuple[System, ...]
    columns: Mapping[str, tuple[Column, ...]]
    published: Mapping[str, Mapping[Cell, float]]
    pictures: tuple[str, ...] = ()

    def rows_on(self, data: str) -> tuple[System, ...]:
        """Return the rows on a data set."""
        return tuple(row for row in self.rows if data in row.data or not row.data)

    @property
    def data(self) -> tuple[str, ...]:
        """Its data sets: `mnist`, `celeba`."""
        return tuple(self.columns)


@functools.cache
def tables() -> dict[str, Table]:
    """Return all tables and figures by name, in the paper's order.

    >>> tables()["table3"].published["mnist"]["LoRAE", "gaussian"]
    19.5
    """
    document = tomllib.loads(
        resources.files("lorae.reproduction.tables").joinpath("tables.toml").read_text(encoding="utf-8")
    )
    systems = {name: System(name, **values) for name, values in document["systems"].items()}
    columns = {name: _column(name, values) for name, values in document["columns"].items()}
    found: dict[str, Table] = {}
    for name, values in document["tables"].items():
        if "like" in values:
            found[name] = _like(found[values["like"]], name, values, systems)
        else:
            found[name] = _table(name, values, systems, columns)
    return found


def _column(name: str, values: Mapping[str, Any]) -> Column:
    column = Column(name, **{**values, "value": tuple(values["value"])})
    assert column.labels in (None, column.value[0]), f"{name}: {column.labels} labels are measured, and others shown"
    return column


def _table(name: str, values: Mapping[str, Any], systems: Mapping[str, System], columns: Mapping[str, Column]) -> Table:
    published = values["published"]
    return Table(
        name=name,
        title=values["title"],
        rows=tuple(systems[row] for row in values["rows"]),
        columns={data: tuple(columns[column] for column in found) for data, found in published.items()},
        published={
            data: {(row, column): float(value) for column, rows in found.items() for row, value in rows.items()}
            for data, found in published.items()
        },
        pictures=tuple(values.get("pictures", ())),
    )


def _like(table: Table, name: str, values: Mapping[str, Any], systems: Mapping[str, System]) -> Table:
    """Return rows and columns of a table with other settings of the measures and the same published values."""
    rows, names, others = values["rows"], values["columns"], values["measure_settings"]
    there = {column.name for columns in table.columns.values() for column in columns}
    assert there.issuperset(names), f"{name}: {table.name} has no columns {set(names) - there}"
    return Table(
        name=name,
        title=values["title"],
        rows=tuple(systems[row] for row in rows),
        columns={
            data: tuple(
                dataclasses.replace(column, measure_settings=others) for column in found if column.name in names
            )
            for data, found in table.columns.items()
        },
        published={
            data: {cell: value for cell, value in cells.items() if cell[0] in rows and cell[1] in names}
            for data, cells in table.published.items()
        },
    )
