"""The table of studies: the jobs of each, and the drawing of their records."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorae.errors import LoraeError
from lorae.metrics.ranks import visible
from lorae.reproduction.dimension import benchmark, estimators
from lorae.reproduction.jobs.store import Configuration, Job, Record
from lorae.reproduction.pages.blocks import SMOKE_TEST, ClaimResult, Page, Text, unjudged
from lorae.reproduction.pages.render import write_html, write_markdown
from lorae.reproduction.tables.page import table_page
from lorae.reproduction.tables.plan import distinct, fill, measurement, outcome_of, planned
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

    Any of its data sets is enough; a study without one makes its own data. `draw` returns entries for the result of
    `reproduce`, or None without a record. `of_paper`: it is part of `all` and follows a protocol of the paper.
    """

    name: str
    title: str
    data: tuple[str, ...]
    jobs: Callable[[StudyConfig], list[Job]]
    draw: Callable[[StudyConfig, Records, Path], dict[str, Any] | None]
    of_paper: bool = True


def studies() -> dict[str, Study]:
    """Return all studies by name, the paper's in its order."""
    weights = tables()["table7"].rows
    ranks = functools.partial(rank_scaling.page, weights=len(weights))
    found = [_table_study(table) for table in tables().values()]
    found += [
        _paper_study("theorem1", "Convergence of the gradient", (), _convergence_jobs, _convergence_page),
        _of_weights("theorem2", "Contrast of distances", "contrast", [NO_PENALTY, *weights], contrast.page),
        _of_weights("proposition1", "Rank against the penalty's weight", "rank", weights, ranks),
        Study(
            "dimension",
            "Estimated against known dimensions",
            (),
            lambda config: benchmark.plan(benchmark.PRESETS[config.preset], config.seeds),
            lambda config, records, folder: benchmark.draw(list(records.values()), folder, **_smoke_note(config)),
            of_paper=False,
        ),
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
        found = [job for job in jobs(config) if job.key in records]
        if not found:
            return None
        failed: dict[str, list[str]] = {}
        for job in found:
            outcome = outcome_of(records[job.key]["result"])
            if outcome is not None:
                failed.setdefault(outcome, []).append(job.name)
        drawn = page(config, records, folder)
        notes = [Text(f"Left out, as training {how}: {'; '.join(names)}.") for how, names in sorted(failed.items())]
        drawn = dataclasses.replace(drawn, blocks=(*drawn.blocks, *notes))
        drawn = unjudged(drawn) if config.preset == "smoke" else drawn
        paths = {"markdown": str(write_markdown(drawn, folder)), "html": str(write_html(drawn, folder))}
        claims = [
            {"study": drawn.name, "claim": block.claim, "holds": block.holds, "seen": block.seen}
            for block in drawn.blocks
            if isinstance(block, ClaimResult)
        ]
        return {"pages": {drawn.name: paths}, "claims": claims, **_smoke_note(config)}

    return Study(name, title, data, jobs, draw)


def _smoke_note(config: StudyConfig) -> dict[str, str]:
    return {"note": SMOKE_TEST} if config.preset == "smoke" else {}


def _succeeded(jobs: Sequence[Job], records: Records) -> list[Job]:
    """Return the jobs with a record of a training that did not fail."""
    return [job for job in jobs if job.key in records and outcome_of(records[job.key]["result"]) is None]


# Tables and figures


def _table_study(table: Table) -> Study:
    def jobs(config: StudyConfig) -> list[Job]:
        return distinct(entry.job for entry in planned(table, config))

    def page(config: StudyConfig, records: Records, folder: Path) -> Page:
        shown: dict[tuple[str, str, str], Path] = {}
        spectra: dict[str, dict[str, list[float]]] = {}
        for entry in planned(table, config):
            if entry.seed or not _succeeded([entry.job], records):
                continue
            result = records[entry.job.key]["result"]
            for name in table.pictures if entry.column is None else ():
                shown[entry.data, entry.row, name] = _picture(result["pictures"][name], folder)
            if table.name == "figure2":
                spectra.setdefault(entry.data, {})[entry.row] = visible(result["eigenvalues"], result.get("n"))
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


def _of_weights(name: str, title: str, measure: str, systems: Sequence[System], page: Callable[..., Page]) -> Study:
    """Build a study of a model for each weight of the penalty; `page` takes rows of results and the folder."""

    def planned_jobs(config: StudyConfig) -> list[tuple[System, int, Job]]:
        return [
            (system, seed, measurement(config, "mnist", system, measure, seed))
            for seed in range(config.seeds)
            for system in systems
        ]

    def draw(config: StudyConfig, records: Records, folder: Path) -> Page:
        published = tables()["table7"].published["mnist"]
        rows = [
            records[job.key]["result"]
            | {"weight": float(system.name), "seed": seed, "published": published.get((system.name, "rank"))}
            for system, seed, job in planned_jobs(config)
            if _succeeded([job], records)
        ]
        return page(rows, folder)

    return _paper_study(name, title, ("mnist",), lambda config: [job for *_, job in planned_jobs(config)], draw)


def _convergence_jobs(config: StudyConfig) -> list[Job]:
    return convergence.jobs(config.preset, config.seeds)


def _convergence_page(config: StudyConfig, records: Records, folder: Path) -> Page:
    return convergence.page([records[job.key] for job in _succeeded(_convergence_jobs(config), records)], folder)
