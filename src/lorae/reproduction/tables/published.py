"""The paper's tables and figures as data, read from `tables.toml`. Imports no torch."""

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lorae.system.files import read_toml

# Names of row and column.
Cell = tuple[str, str]


@dataclass(frozen=True)
class System:
    """A row of a table; `tables.toml` explains the entries."""

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
    """A column of a table; `tables.toml` explains the entries, `measure_settings` those of a table that is like one."""

    name: str
    title: str
    measure: str
    value: tuple[str, ...]
    better: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    measure_settings: Mapping[str, Any] = field(default_factory=dict)
    labels: str | None = None
    factor: float = 1.0
    decimals: int = 1

    def measure_of(self, system: System) -> str:
        """Return the measure that fills this column for a system."""
        return system.measures.get(self.measure, self.measure)


@dataclass(frozen=True)
class Table:
    """A table or figure of the paper: its columns and published values by data set; `tables.toml` explains the rest."""

    name: str
    title: str
    rows: tuple[System, ...]
    columns: Mapping[str, tuple[Column, ...]]
    published: Mapping[str, Mapping[Cell, float]]
    pictures: tuple[str, ...] = ()
    remark: str = ""

    def rows_on(self, data: str) -> tuple[System, ...]:
        """Return the rows on a data set."""
        return tuple(row for row in self.rows if data in row.data or not row.data)

    @property
    def data(self) -> tuple[str, ...]:
        """Its data sets: `mnist`, `celeba`."""
        return tuple(self.columns)


@functools.cache
def texts() -> dict[str, str]:
    """Return captions of pictures, by the name of their figure, and paragraphs of the pages."""
    found: dict[str, str] = read_toml("lorae.reproduction.tables", "tables.toml")["texts"]
    return found


@functools.cache
def tables() -> dict[str, Table]:
    """Return all tables and figures by name, in the paper's order.

    >>> tables()["table3"].published["mnist"]["LoRAE", "gaussian"]
    19.5
    """
    document = read_toml("lorae.reproduction.tables", "tables.toml")
    systems = {name: System(name, **values) for name, values in document["systems"].items()}
    columns = {name: _column(name, values) for name, values in document["columns"].items()}
    found: dict[str, Table] = {}
    for name, values in document["tables"].items():
        rows = tuple(systems[row] for row in values["rows"])
        if "like" in values:
            found[name] = _like(found[values["like"]], name, values, rows)
        else:
            found[name] = _table(name, values, rows, columns)
    return found


def _column(name: str, values: Mapping[str, Any]) -> Column:
    column = Column(name, **{**values, "value": tuple(values["value"])})
    assert column.labels in (None, column.value[0]), f"{name}: {column.labels} labels are measured, and others shown"
    return column


def _table(name: str, values: Mapping[str, Any], rows: tuple[System, ...], columns: Mapping[str, Column]) -> Table:
    published = values["published"]
    return Table(
        name=name,
        title=values["title"],
        rows=rows,
        columns={data: tuple(columns[column] for column in found) for data, found in published.items()},
        published={
            data: {(row, column): float(value) for column, rows in found.items() for row, value in rows.items()}
            for data, found in published.items()
        },
        pictures=tuple(values.get("pictures", ())),
        remark=values.get("remark", ""),
    )


def _like(table: Table, name: str, values: Mapping[str, Any], rows: tuple[System, ...]) -> Table:
    """Return rows and columns of a table with other settings of the measures and the same published values."""
    names, others = values["columns"], values["measure_settings"]
    there = {column.name for columns in table.columns.values() for column in columns}
    assert there.issuperset(names), f"{name}: {table.name} has no columns {set(names) - there}"
    columns = {
        data: tuple(dataclasses.replace(column, measure_settings=others) for column in found if column.name in names)
        for data, found in table.columns.items()
    }
    kept = {(row.name, column) for row in rows for column in names}
    published = {
        data: {cell: value for cell, value in cells.items() if cell in kept} for data, cells in table.published.items()
    }
    return Table(name, values["title"], rows, columns, published)
