"""Benchmarks that can be reproduced: the paper's tables, figures and theorems, and the known dimensions.

Each is a plan of cells, the records of all of them, and a page.
"""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorae import validation as rules
from lorae.errors import MODEL_FAILURES, LoraeError

if TYPE_CHECKING:
    from lorae.reproduction.jobs.store import Configuration, Job, ResultStore, State
    from lorae.reproduction.pages.blocks import Page
    from lorae.reproduction.studies import Study
    from lorae.reproduction.tables.presets import StudyConfig

TABLES = (*(f"table{number}" for number in range(1, 7)), "table6-authors", "table7", "table8")
STUDIES = (*TABLES, "figure2", "figure3", "theorem1", "theorem2", "proposition1", "all", "dimension")
PRESETS = ("smoke", "quick", "paper")
PROTOCOLS = ("paper", "authors_code")


def reproduce(
    study: str,
    *,
    preset: str = "quick",
    seeds: int | None = None,
    protocol: str = "paper",
    data_root: str | Path | None = None,
    out: str | Path | None = None,
    workers: int | None = None,
    draw_only: bool = False,
    quiet: bool = False,
) -> dict[str, Any]:
    """Run a study, or what of it is missing in its folder, and write its records and its page.

    study: a table, figure or theorem of the paper, `table6-authors` (table 6 as the authors' code measures it), `all`
    of these, or `dimension`, the estimated against the known dimension of synthetic data. preset: `smoke` (a minute or
    two), `quick` (an evening on 2 cores) or `paper` (the paper's settings). seeds: how many; by the preset. protocol:
    the `paper`'s text, or `authors_code` where that differs. data_root: the folder with CelebA's files; without it the
    studies are of MNIST alone. out: the folder, by default `runs/paper-PRESET`; the same call goes on where an
    interrupted one stopped, studies share the models in it, and several calls, on several machines that see the folder,
    share the work. workers: processes of one thread each; as many as there are cores by default, four at most on a GPU.
    draw_only: draw from the records that are there, and measure nothing.

    Returns the number of `cells`, the path of `records`, those of the `pages` and the `claims` with what was seen; of
    `dimension` the paths of `table` and `figure` and a summary. Raises LoraeError for a value outside these, where
    data are missing, and where `draw_only` finds no records.

    >>> reproduce("table3", preset="smoke", out="runs/smoke")["pages"]   # doctest: +SKIP
    """
    values = _checked(study, preset, seeds, protocol, workers)
    study, preset = values["study"], values["preset"]
    folder = _folder(out, study, preset, protocol)
    if study == "dimension":
        from lorae.reproduction.dimension import benchmark as dimension

        for name, given in (("protocol", protocol != "paper"), ("data_root", data_root is not None)):
            if given:
                raise LoraeError(f"study: dimension makes its own data and is not of the paper: it takes no {name}")
        return dimension.reproduce(
            folder, preset=preset, seeds=values["seeds"], workers=values["workers"], draw_only=draw_only, quiet=quiet
        )
    scale = _scale(values, data_root, folder, draw_only)
    chosen = _chosen(study, scale)
    if not draw_only:
        _work(chosen, scale, folder, values["workers"], data_root, quiet)
    return _draw(chosen, scale, folder)


def status(
    study: str,
    *,
    preset: str = "quick",
    seeds: int | None = None,
    protocol: str = "paper",
    data_root: str | Path | None = None,
    out: str | Path | None = None,
) -> "State":
    """How far a study is in its folder, while other processes work on it or while none does."""
    from lorae.reproduction.jobs.store import ResultStore

    values = _checked(study, preset, seeds, protocol, None)
    folder = _folder(out, values["study"], values["preset"], protocol)
    if values["study"] == "dimension":
        from lorae.reproduction.dimension import benchmark as dimension

        return ResultStore(folder).state(dimension.plan(dimension.PRESETS[values["preset"]], values["seeds"]))
    scale = _scale(values, data_root, folder, False)
    return ResultStore(folder).state(_cells(_chosen(values["study"], scale), scale))


def _checked(study: str, preset: str, seeds: Any, protocol: str, workers: Any) -> dict[str, Any]:
    chosen = {
        "study": (rules.choice(*STUDIES), study),
        "preset": (rules.choice(*PRESETS), preset),
        "seeds": (rules.optional(rules.whole(1)), seeds),
        "protocol": (rules.choice(*PROTOCOLS), protocol),
        "workers": (rules.optional(rules.whole(1)), workers),
    }
    origin = {"study": "the call"}  # no flag of the command line
    return {
        name: rule.check(name, value, origin.get(name, f"argument {name}")) for name, (rule, value) in chosen.items()
    }


def _folder(out: str | Path | None, study: str, preset: str, protocol: str) -> Path:
    """Where a study goes: those of the paper share a folder, and with it their models."""
    parts = ["dimension" if study == "dimension" else "paper", preset, *([] if protocol == "paper" else [protocol])]
    folder = Path("runs") / "-".join(parts) if out is None else Path(out)
    if folder.exists() and not folder.is_dir():
        raise LoraeError(f"out: got {str(folder)!r}, which is a file, expected a folder")
    return folder


def _scale(values: dict[str, Any], data_root: str | Path | None, folder: Path, draw_only: bool) -> "StudyConfig":
    """The scale of what is measured: CelebA takes part where its files are given, or where it is only drawn."""
    from lorae.reproduction.jobs.store import ResultStore
    from lorae.reproduction.tables import presets

    faces = None
    if data_root is not None:
        from lorae import api

        faces = api.load_data("celeba", data_root=str(data_root)).fingerprint
    elif draw_only:
        faces = _faces_of(ResultStore(folder))
    seeds = values["seeds"] or presets.PRESETS[values["preset"]].seeds
    return presets.StudyConfig(values["preset"], values["protocol"], seeds, faces)


def _faces_of(store: "ResultStore") -> str | None:
    """The fingerprint of the CelebA images that there are records of."""
    found = (record["configuration"].get("model", {}).get("faces") for record in store.finished().values())
    return next((faces for faces in found if faces is not None), None)


def _chosen(study: str, scale: "StudyConfig") -> list["Study"]:
    """The studies of a name that the data at hand allow; LoraeError where there is none."""
    from lorae.reproduction.studies import studies

    named = list(studies().values()) if study == "all" else [studies()[study]]
    possible = [found for found in named if not found.data or set(found.data) & set(scale.data)]
    if not possible:
        raise LoraeError(f"study: {study} is of CelebA alone; pass --data-root FOLDER with its files")
    return possible


def _cells(chosen: list["Study"], scale: "StudyConfig") -> list["Job"]:
    from lorae.reproduction.tables.plan import by_seed, distinct

    return by_seed(distinct(cell for study in chosen for cell in study.cells(scale)))


def _work(
    chosen: list["Study"], scale: "StudyConfig", folder: Path, workers: int | None, data_root: Any, quiet: bool
) -> None:
    from lorae.features import build_extractor
    from lorae.reproduction.jobs.pool import run_jobs
    from lorae.reproduction.jobs.store import ResultStore

    root = None if data_root is None else str(Path(data_root).expanduser().absolute())
    cells = _cells(chosen, scale)
    # Weights that are missing are missed now, not when the first model is trained.
    finished = ResultStore(folder).finished()
    needed = {cell.configuration.get("measure", {}).get("features") for cell in cells if cell.key not in finished}
    for features in sorted(needed - {None}):
        build_extractor(features)
    run_jobs(
        cells,
        functools.partial(measure, folder=folder, data_root=root),
        folder,
        workers=workers or _default_workers(),
        title=f"{chosen[0].name if len(chosen) == 1 else 'all'}, {scale.preset}",
        quiet=quiet,
    )


def measure(configuration: "Configuration", folder: Path, data_root: str | None) -> dict[str, Any]:
    """The result of a cell of any study of the paper."""
    from lorae.reproduction.tables import measurements
    from lorae.reproduction.theory import adam_convergence as convergence

    if configuration["study"] == "theorem1":
        return convergence.measure(configuration)
    return measurements.measure(configuration, folder, data_root)


def _drawn(scale: "StudyConfig", store: "ResultStore") -> "StudyConfig":
    """The scale that is drawn: with CelebA where the folder has records of it, and at least the preset's seeds."""
    import dataclasses

    from lorae.reproduction.tables import presets

    seeds = max(scale.seeds, presets.PRESETS[scale.preset].seeds)
    return dataclasses.replace(scale, seeds=seeds, faces=scale.faces or _faces_of(store))


def _default_workers() -> int:
    import torch

    from lorae.reproduction.jobs.pool import available_cores

    # One model of this size leaves most of a GPU idle; more than four wait for each other there.
    return min(4, available_cores()) if torch.cuda.is_available() else available_cores()


def _page(study: "Study", scale: "StudyConfig", records: dict[str, Any], folder: Path) -> "Page":
    """The page of a study: results of the usable models, and a note naming those that diverged or collapsed."""
    import dataclasses

    from lorae.reproduction.pages.blocks import Text

    failed = {
        key: failure.outcome
        for key, record in records.items()
        for failure in MODEL_FAILURES
        if failure.outcome in record["result"]
    }
    page = study.page(scale, {key: record for key, record in records.items() if key not in failed}, folder)
    notes = []
    for outcome in sorted(set(failed.values())):
        lost = [cell.name for cell in study.cells(scale) if failed.get(cell.key) == outcome]
        notes += [Text(f"Left out, as training {outcome}: {'; '.join(lost)}.")] if lost else []
    return dataclasses.replace(page, blocks=(*page.blocks, *notes))


def _draw(chosen: list["Study"], scale: "StudyConfig", folder: Path) -> dict[str, Any]:
    """The pages of studies from the records in the folder."""
    from lorae.reproduction.jobs.store import ResultStore
    from lorae.reproduction.pages.blocks import ClaimResult
    from lorae.reproduction.pages.render import write_html, write_markdown

    store = ResultStore(folder)
    records = store.finished() or {record["key"]: record for record in store.records()}
    scale = _drawn(scale, store)
    measured = [study for study in chosen if any(cell.key in records for cell in study.cells(scale))]
    if not measured:
        names = chosen[0].name if len(chosen) == 1 else "any study"
        raise LoraeError(
            f"out: {str(folder)!r} holds {len(records)} records, but none of {names} in preset {scale.preset}, "
            f"protocol {scale.protocol}; its pages are left as they are"
        )
    pages = [_page(study, scale, records, folder) for study in measured]
    claims = [
        {"study": page.name, "claim": block.claim, "holds": block.holds, "seen": block.seen}
        for page in pages
        for block in page.blocks
        if isinstance(block, ClaimResult)
    ]
    return {
        "cells": len(records),
        "records": str(store.records_path),
        "pages": {
            page.name: {"markdown": str(write_markdown(page, folder)), "html": str(write_html(page, folder))}
            for page in pages
        },
        "claims": claims,
    }
