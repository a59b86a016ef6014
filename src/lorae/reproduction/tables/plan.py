"""Jobs that fill a table, each a measure of a system's model on a data set with a seed. Imports no torch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lorae.errors import MODEL_FAILURES
from lorae.reproduction.jobs.store import Job, Record
from lorae.reproduction.tables.presets import StudyConfig
from lorae.reproduction.tables.published import Column, System, Table
from lorae.reproduction.tables.results import ResultsTable, Value

# Increased when a measurement changes without a change of settings, which invalidates earlier records.
PROTOCOL = 1


@dataclass(frozen=True)
class Planned:
    """A job and its place in a table; the column is None for pictures, which belong to the whole row."""

    data: str
    row: str
    column: str | None
    seed: int
    job: Job


def measurement(
    config: StudyConfig, data: str, system: System, measure: str, seed: int, column: Column | None = None
) -> Job:
    """Return the job of one measure of one model."""
    chosen: dict[str, Any] = {} if column is None else {"labels": column.labels, "settings": column.measure_settings}
    configuration = {
        "study": "paper",
        "protocol": PROTOCOL,
        "model": config.model(data, system, column, seed),
        "measure": config.measure(data, system.settings["method"], measure, **chosen),
    }
    width = f" {column.name}" if column is not None and column.settings else ""
    labels = "" if column is None or column.labels is None else f" with labels {column.labels}"
    others = "" if column is None else "".join(f", {name} {value}" for name, value in column.measure_settings.items())
    return Job(f"{data} {system.name}{width} seed {seed}: {measure}{labels}{others}", configuration)


def planned(table: Table, config: StudyConfig) -> list[Planned]:
    """Return the jobs of a table, seed by seed, so that an interrupted study covers all rows and columns.

    A measure that trains its own models has its own seeds: one job covers all of them.
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
                # Pictures are shown of one seed.
                if seed == 0 and table.pictures:
                    job = measurement(config, data, system, "pictures", seed)
                    found.append(Planned(data, system.name, None, seed, job))
    return found


def distinct(jobs: Iterable[Job]) -> list[Job]:
    """Return each job once, in the order of first occurrence."""
    return list({job.key: job for job in jobs}.values())


def by_seed(jobs: Iterable[Job]) -> list[Job]:
    """Return jobs in the order of their seeds, so that an interrupted study of several tables covers all of them."""

    def seed(job: Job) -> int:
        configuration = job.configuration
        values = configuration["model"]["settings"] if "model" in configuration else configuration
        return int(values.get("data", values).get("seed", 0))

    return sorted(jobs, key=seed)


def fill(table: Table, config: StudyConfig, records: Mapping[str, Record]) -> list[ResultsTable]:
    """Return the table on every available data set, with the values of the records (by the keys of their jobs)."""
    plan = [entry for entry in planned(table, config) if entry.column is not None and entry.job.key in records]
    results = []
    for data in (name for name in table.data if name in config.data):
        columns = {column.name: column for column in table.columns[data]}
        cells = {
            (row.name, column): Value(table.published[data].get((row.name, column)))
            for row in table.rows_on(data)
            for column in columns
        }
        for entry in plan:
            if entry.data == data and entry.column is not None:
                result, cell = records[entry.job.key]["result"], (entry.row, entry.column)
                failed, before = outcome_of(result), cells[cell]
                if failed is None:
                    ours = (*before.ours, *_values(result, columns[entry.column]))
                    cells[cell] = replace(before, ours=ours)
                else:
                    cells[cell] = replace(before, failed=(*before.failed, failed))
        results.append(ResultsTable(table, data, cells))
    return results


def outcome_of(result: Mapping[str, Any]) -> str | None:
    """Return how a training failed, `collapsed` or `diverged`; None for one with a result."""
    return next((failure.outcome for failure in MODEL_FAILURES if failure.outcome in result), None)


def _values(result: Mapping[str, Any], column: Column) -> list[float]:
    """Return the value of a record, or the values of all seeds for a measure with its own seeds."""
    found: Any = result
    for name in column.value[:-1]:
        found = found.get(name)
        if found is None:  # left out by the measure: too few labeled items
            return []
    values = found["values"] if result["measure"] == "supervised" else [found.get(column.value[-1])]
    return [float(value) * column.factor for value in values if value is not None]
