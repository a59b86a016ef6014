"""The table of studies: the jobs of each, and the drawing of their records."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorae.errors import MODEL_FAILURES, LoraeError
from lorae.reproduction.dimension import benchmark, estimators
from lorae.reproduction.jobs.store import Configuration, Job, Record
from lorae.reproduction.pages.blocks import ClaimResult, Page, Text
from lorae.reproduction.pages.render import write_html, write_markdown
from lorae.reproduction.tables.page import table_page
from lorae.reproduction.tables.plan import distinct, fill, measurement, planned
from lorae.reproduction.tables.presets import StudyConfig
from lorae.reproduction.tables.protocol import compared_features, describe_protocol
from lorae.reproduction.tables.published import System, Table, tables
from lorae.reproduction.theory import adam_convergence as convergence
from lorae.reproduction.theory import distance_contrast as contrast
from lorae.reproduction.theory import rank_scaling

Records = Mapping[str, Record]

# Studies whose jobs need none of the trained models that the tables share. A lambda looks its function up when called.
WITHOUT_MODELS: dict[str, Callable[[Configuration], dict[str, Any]]] = {
    "theorem1": lambda configuration: convergence.measure(configuration),
    "dimension": lambda configuration: estimators.measure(configuration),
}


@dataclass(frozen=True)
class Study:
    """A table, figure or theorem, or another benchmark.

    name: name in `lorae reproduce NAME`
    data: data sets that it is of, any of which is enough; empty if it makes its own data
    jobs: configuration -> its jobs
    draw: draws it: configuration, records by key and folder -> entries for the result of `reproduce`, or None if there
        is no record of it
    of_paper: whether it is part of `all` and follows a protocol of the paper
    """

    name: str
    title: str
    data: tuple[str, ...]
    jobs: Callable[[StudyConfig], list[Job]]
    draw: Callable[[StudyConfig, Records, Path], dict[str, Any] | None]
    of_paper: bool = True


def studies() -> dict[str, Study]:
    """Return all studies by name, the paper's in its order."""
    found = [_table_study(table) for table in tables().values()]
    found += [
        _paper_study("theorem1", "Convergence of the gradient", (), _convergence_jobs, _convergence_page),
        _paper_study("theorem2", "Contrast of distances", ("mnist",), _contrast_jobs, _contrast_page),
        _paper_study("proposition1", "Rank against the penalty's weight", ("mnist",), _scaling_jobs, _scaling_page),
        Study("dimension", "Estimated against known dimensions", (), _dimension_jobs, _draw_dimension, of_paper=False),
    ]
    return {study.name: study for study in found}


def _paper_study(
    name: str,
    title: str,
    data: tuple[str, ...],
    jobs: Callable[[StudyConfig], list[Job]],
    page: Callable[[StudyConfig, Records, Path], Page],
) -> Study:
    """Build a study that is drawn as a page with claims."""

    def draw(config: StudyConfig, records: Records, folder: Path) -> dict[str, Any] | None:
        found = {job.key: job for job in jobs(config) if job.key in records}
        if not found:
            return None
        failed = {
            key: failure.outcome
            for key in found
            for failure in MODEL_FAILURES
            if failure.outcome in records[key]["result"]
        }
        drawn = page(config, {key: record for key, record in records.items() if key not in failed}, folder)
        notes = []
        for outcome in sorted(set(failed.values())):
            names = [found[key].name for key in failed if failed[key] == outcome]
            notes.append(Text(f"Left out, as training {outcome}: {'; '.join(names)}."))
        drawn = dataclasses.replace(drawn, blocks=(*drawn.blocks, *notes))
        paths = {"markdown": str(write_markdown(drawn, folder)), "html": str(write_html(drawn, folder))}
        claims = [
            {"study": drawn.name, "claim": block.claim, "holds": block.holds, "seen": block.seen}
            for block in drawn.blocks
            if isinstance(block, ClaimResult)
        ]
        return {"pages": {drawn.name: paths}, "claims": claims}

    return Study(name, title, data, jobs, draw)


# Tables and figures


def _table_study(table: Table) -> Study:
    def jobs(config: StudyConfig) -> list[Job]:
        return distinct(entry.job for entry in planned(table, config))

    def page(config: StudyConfig, records: Records, folder: Path) -> Page:
        shown: dict[tuple[str, str, str], Path] = {}
        spectra: dict[str, dict[str, list[float]]] = {}
        for entry in planned(table, config):
            result = records.get(entry.job.key, {}).get("result")
            if result is None or entry.seed:
                continue
            for name in table.pictures if entry.column is None else ():
                shown[entry.data, entry.row, name] = _picture(result["pictures"][name], folder)
            if table.name == "figure2":
                spectra.setdefault(entry.data, {})[entry.row] = result["eigenvalues"]
        return table_page(
            fill(table, config, records),
            protocol=describe_protocol(config, table),
            pictures=shown,
            spectra=spectra,
            features=compared_features(config, table),
            folder=folder,
        )

    return _paper_study(table.name, table.title, table.data, jobs, page)


def _picture(place: str, folder: Path) -> Path:
    if not (folder / place).exists():
        raise LoraeError(f"out: {str(folder / place)!r} is missing; it belongs to the records in {str(folder)!r}")
    return Path(place)


# Theorems. Two of them measure the models of table 7, one also a model without the penalty.

NO_PENALTY = System("0", {"method": "lorae", "penalty": 0.0}, paper=False)


def _weights() -> list[System]:
    return list(tables()["table7"].rows)


def _weighted(config: StudyConfig, measure: str, systems: list[System]) -> list[tuple[System, int, Job]]:
    return [
        (system, seed, measurement(config, "mnist", system, measure, seed))
        for seed in range(config.seeds)
        for system in systems
    ]


def _contrast_jobs(config: StudyConfig) -> list[Job]:
    return [job for _, _, job in _weighted(config, "contrast", [NO_PENALTY, *_weights()])]


def _contrast_page(config: StudyConfig, records: Records, folder: Path) -> Page:
    rows = [
        {
            "weight": float(system.name),
            "label": system.name,
            "seed": seed,
            "contrast": records[job.key]["result"]["contrast"],
        }
        for system, seed, job in _weighted(config, "contrast", [NO_PENALTY, *_weights()])
        if job.key in records
    ]
    return contrast.page(rows, folder)


def _scaling_jobs(config: StudyConfig) -> list[Job]:
    return [job for _, _, job in _weighted(config, "rank", _weights())]


def _scaling_page(config: StudyConfig, records: Records, folder: Path) -> Page:
    published = tables()["table7"].published["mnist"]
    rows = [
        {"weight": float(system.name), "seed": seed, "published": published.get((system.name, "rank"))}
        | {name: records[job.key]["result"][name] for name in ("ranks", "matrix_ranks", "entropy_rank")}
        for system, seed, job in _weighted(config, "rank", _weights())
        if job.key in records
    ]
    return rank_scaling.page(rows, folder, len(_weights()))


def _convergence_jobs(config: StudyConfig) -> list[Job]:
    return convergence.jobs(config.preset, config.seeds)


def _convergence_page(config: StudyConfig, records: Records, folder: Path) -> Page:
    return convergence.page([records[job.key] for job in _convergence_jobs(config) if job.key in records], folder)


# Known dimensions


def _dimension_jobs(config: StudyConfig) -> list[Job]:
    return benchmark.plan(benchmark.PRESETS[config.preset], config.seeds)


def _draw_dimension(_: StudyConfig, records: Records, folder: Path) -> dict[str, Any]:
    return benchmark.draw(list(records.values()), folder)
