"""Which jobs fill a table: every one a measure of a model of a system on data with a seed. Imports no torch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lorae.reproduction.jobs.store import Job, Record
from lorae.reproduction.tables.presets import StudyConfig
from lorae.reproduction.tables.published import Column, System, Table
from lorae.reproduction.tables.results import ResultsTable, Value

# Raised when a measurement changes in a way that no setting shows: then no earlier record counts.
PROTOCOL = 1


@dataclass(frozen=True)
class Planned:
    """A job and what it is for. column: None for what belongs to the whole row, like its pictures."""

    data: str
    row: str
    column: str | None
    seed: int
    job: Job


def measurement(
    config: StudyConfig, data: str, system: System, measure: str, seed: int, column: Column | None = None
) -> Job:
    """The job of one measure of one model."""
    model = config.model(data, system, column, seed)
    chosen: dict[str, Any] = {} if column is None else {"labels": column.labels, "settings": column.measure_settings}
    configuration = {
        "study": "paper",
        "protocol": PROTOCOL,
        "model": model,
        "measure": config.measure(data, system.settings["method"], measure, **chosen),
    }
    width = f" {column.name}" if column is not None and column.settings else ""
    labels = "" if column is None or column.labels is None else f" with labels {column.labels}"
    others = "" if column is None else "".join(f", {name} {value}" for name, value in column.measure_settings.items())
    return Job(f"{data} {system.name}{width} seed {seed}: {measure}{labels}{others}", configuration)


def planned(table: Table, config: StudyConfig) -> list[Planned]:
    """The jobs of a table on all data at hand, seed by seed, so that an interrupted study has something of all.

    A measure that trains its own model has its own seeds: one job stands for all of them.
    """
    found = []
    for seed in range(config.seeds):
        for data in (name for name in table.data if name in config.data):
            for system in table.rows_on(data):
                for column in table.columns[data]:
                    measure = column.measure_of(system)
                    if not config.has(data, system, column) or (measure == "supervised" and seed):
                        continue
                    job = measurement(config, data, system, measure, seed, column)
                    found.append(Planned(data, system.name, column.name, seed, job))
                # One seed is enough to look at.
                if seed == 0 and table.pictures:
                    job = measurement(config, data, system, "pictures", seed)
                    found.append(Planned(data, system.name, None, seed, job))
    return found


def distinct(jobs: Iterable[Job]) -> list[Job]:
    """Each job once, in the order in which they first come."""
    return list({job.key: job for job in jobs}.values())


def by_seed(jobs: Iterable[Job]) -> list[Job]:
    """The jobs in the order of their seeds, so that a study of several tables has something of all of them early."""

    def seed(job: Job) -> int:
        configuration = job.configuration
        values = configuration["model"]["settings"] if "model" in configuration else configuration
        return int(values.get("data", values).get("seed", 0))

    return sorted(jobs, key=seed)


def fill(table: Table, config: StudyConfig, records: Mapping[str, Record]) -> list[ResultsTable]:
    """The table on every data set at hand, with the values of the records (by the keys of their jobs)."""
    plan = planned(table, config)
    columns = {(data, column.name): column for data in table.data for column in table.columns[data]}
    filled = []
    for data in (name for name in table.data if name in config.data):
        ours: dict[tuple[str, str], list[float]] = {
            (row.name, column.name): [] for row in table.rows_on(data) for column in table.columns[data]
        }
        for entry in plan:
            if entry.data == data and entry.column is not None and entry.job.key in records:
                result = records[entry.job.key]["result"]
                ours[entry.row, entry.column] += _values(result, columns[data, entry.column])
        published = table.published[data]
        cells = {cell: Value(published.get(cell), tuple(values)) for cell, values in ours.items()}
        filled.append(ResultsTable(table, data, cells))
    return filled


def _values(result: Mapping[str, Any], column: Column) -> list[float]:
    """The value of a record, or those of all its seeds where it has several of its own."""
    found: Any = result
    for name in column.value[:-1]:
        found = found.get(name)
        if found is None:  # the measure leaves it out: there are not as many items with labels
            return []
    values = found["values"] if result["measure"] == "supervised" else [found.get(column.value[-1])]
    return [float(value) * column.factor for value in values if value is not None]
