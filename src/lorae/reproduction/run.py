"""Reproduce the studies of the package: the paper's tables, figures and theorems, and the known dimensions."""

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorae import validation as rules
from lorae.errors import LoraeError

if TYPE_CHECKING:
    from lorae.reproduction.jobs.store import Configuration, Job, ResultStore, State
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
    """Run the jobs of a study that have no record yet, write their records, and draw its pages.

    An interrupted study is continued by the same call. Studies share the models in their folder, and several calls, on
    several machines that see the folder, share the work.

    Parameters
    ----------
    study : str
        A table, figure or theorem of the paper; `table6-authors`, which is table 6 as the authors' code measures it;
        `all` of these; or `dimension`, which compares estimated with known dimensions of synthetic data.
    preset : {"smoke", "quick", "paper"}, default="quick"
        `smoke` takes a minute or two, `quick` an evening on 2 cores, `paper` has the paper's settings.
    seeds : int, default=None
        Number of seeds, from 0 on; None takes that of the preset.
    protocol : {"paper", "authors_code"}, default="paper"
        Follow the paper's text, or the authors' code wherever the two differ.
    data_root : str or Path, default=None
        Folder with CelebA's files; without it the studies are of MNIST alone.
    out : str or Path, default=None
        Folder of the study; None takes `runs/paper-PRESET` or `runs/dimension-PRESET`.
    workers : int, default=None
        Number of processes, each with one thread; None takes the number of cores, on a GPU at most 4.
    draw_only : bool, default=False
        Whether to draw from the existing records without measuring.
    quiet : bool, default=False
        Whether to hide the progress bar.

    Returns
    -------
    dict
        `cells` is the number of records and `records` their path. The paper's studies add the paths of their `pages`
        and the `claims` with the numbers that decide them; `dimension` adds the paths of `table` and `figure`, and
        `within_one`, each method's share of estimates at most one away from the dimension.

    Raises
    ------
    LoraeError
        For an invalid argument, missing data, and `draw_only` without a record of the study.

    Examples
    --------
    >>> reproduce("table3", preset="smoke", out="runs/smoke")["pages"]   # doctest: +SKIP
    """
    arguments = _check_arguments(study, preset, seeds, protocol, workers)
    chosen, config, folder = _select(arguments, data_root, out, draw_only)
    if not draw_only:
        _run_missing_jobs(chosen, config, folder, arguments["workers"], data_root, quiet)
    return _draw(chosen, config, folder)


def status(
    study: str,
    *,
    preset: str = "quick",
    seeds: int | None = None,
    protocol: str = "paper",
    data_root: str | Path | None = None,
    out: str | Path | None = None,
) -> "State":
    """Return the progress of a study in its folder; the parameters are those of `reproduce`."""
    from lorae.reproduction.jobs.store import ResultStore

    arguments = _check_arguments(study, preset, seeds, protocol, None)
    chosen, config, folder = _select(arguments, data_root, out, False)
    return ResultStore(folder).state(_all_jobs(chosen, config))


def measure(configuration: "Configuration", folder: Path, data_root: str | None) -> dict[str, Any]:
    """Return the result of a job of any study; models and pictures are kept in `folder`."""
    from lorae.reproduction.studies import WITHOUT_MODELS
    from lorae.reproduction.tables import measurements

    if configuration["study"] in WITHOUT_MODELS:
        return WITHOUT_MODELS[configuration["study"]](configuration)
    return measurements.measure(configuration, folder, data_root)


def _check_arguments(study: str, preset: str, seeds: Any, protocol: str, workers: Any) -> dict[str, Any]:
    given = {
        "study": (rules.choice(*STUDIES), study),
        "preset": (rules.choice(*PRESETS), preset),
        "seeds": (rules.optional(rules.whole(1)), seeds),
        "protocol": (rules.choice(*PROTOCOLS), protocol),
        "workers": (rules.optional(rules.whole(1)), workers),
    }
    origin = {"study": "the call"}  # no flag of the command line
    return {
        name: rule.check(name, value, origin.get(name, f"argument {name}")) for name, (rule, value) in given.items()
    }


def _select(
    arguments: dict[str, Any], data_root: str | Path | None, out: str | Path | None, draw_only: bool
) -> tuple[list["Study"], "StudyConfig", Path]:
    """Return the studies of a name that the given data allow, their configuration and their folder."""
    from lorae.reproduction.studies import studies

    name, protocol = arguments["study"], arguments["protocol"]
    named = [study for study in studies().values() if study.name == name or (name == "all" and study.of_paper)]
    if not all(study.of_paper for study in named):
        for option, given in (("protocol", protocol != "paper"), ("data_root", data_root is not None)):
            if given:
                raise LoraeError(f"study: {name} makes its own data and is not of the paper: it takes no {option}")
    # The paper's studies share a folder, and with it their models.
    parts = ["paper" if named[0].of_paper else name, arguments["preset"], *([] if protocol == "paper" else [protocol])]
    folder = Path("runs") / "-".join(parts) if out is None else Path(out)
    if folder.exists() and not folder.is_dir():
        raise LoraeError(f"out: got {str(folder)!r}, which is a file, expected a folder")
    config = _build_config(arguments, data_root, folder, draw_only)
    possible = [study for study in named if not study.data or set(study.data) & set(config.data)]
    if not possible:
        raise LoraeError(
            f"study: {name} is of CelebA alone; pass data_root=FOLDER with its files", settings={"data_root": "FOLDER"}
        )
    return possible, config, folder


def _build_config(
    arguments: dict[str, Any], data_root: str | Path | None, folder: Path, draw_only: bool
) -> "StudyConfig":
    """Return the configuration; CelebA takes part if its files are given, or if only its records are drawn."""
    from lorae.reproduction.jobs.store import ResultStore
    from lorae.reproduction.tables import presets

    faces = None
    if data_root is not None:
        from lorae import api

        faces = api.load_data("celeba", data_root=str(data_root)).fingerprint
    elif draw_only:
        faces = _find_faces(ResultStore(folder))
    seeds = arguments["seeds"] or presets.PRESETS[arguments["preset"]].seeds
    return presets.StudyConfig(arguments["preset"], arguments["protocol"], seeds, faces)


def _find_faces(store: "ResultStore") -> str | None:
    """Return the fingerprint of the CelebA images that the records are of."""
    found = (record["configuration"].get("model", {}).get("faces") for record in store.finished().values())
    return next((faces for faces in found if faces is not None), None)


def _all_jobs(chosen: list["Study"], config: "StudyConfig") -> list["Job"]:
    from lorae.reproduction.tables.plan import by_seed, distinct

    return by_seed(distinct(job for study in chosen for job in study.jobs(config)))


def _run_missing_jobs(
    chosen: list["Study"], config: "StudyConfig", folder: Path, workers: int | None, data_root: Any, quiet: bool
) -> None:
    from lorae.features import build_extractor
    from lorae.reproduction.jobs.pool import run_jobs
    from lorae.reproduction.jobs.store import ResultStore

    root = None if data_root is None else str(Path(data_root).expanduser().absolute())
    jobs = _all_jobs(chosen, config)
    # Report missing weights now, not after the first training.
    finished = ResultStore(folder).finished()
    needed = {job.configuration.get("measure", {}).get("features") for job in jobs if job.key not in finished}
    for features in sorted(needed - {None}):
        build_extractor(features)
    run_jobs(
        jobs,
        functools.partial(measure, folder=folder, data_root=root),
        folder,
        workers=workers or _default_workers(on_gpu=chosen[0].of_paper),
        title=f"{chosen[0].name if len(chosen) == 1 else 'all'}, {config.preset}",
        quiet=quiet,
    )


def _default_workers(on_gpu: bool) -> int:
    import torch

    from lorae.reproduction.jobs.pool import available_cores

    # One model of this size leaves most of a GPU idle; more than four wait for each other there.
    return min(4, available_cores()) if on_gpu and torch.cuda.is_available() else available_cores()


def _draw(chosen: list["Study"], config: "StudyConfig", folder: Path) -> dict[str, Any]:
    """Draw studies from the records in the folder, with CelebA if it has any of it, and at least the preset's seeds."""
    from lorae.reproduction.jobs.store import ResultStore
    from lorae.reproduction.tables import presets

    store = ResultStore(folder)
    records = store.finished() or {record["key"]: record for record in store.records()}
    seeds = max(config.seeds, presets.PRESETS[config.preset].seeds)
    config = dataclasses.replace(config, seeds=seeds, faces=config.faces or _find_faces(store))
    drawn = [found for study in chosen if (found := study.draw(config, records, folder)) is not None]
    if not drawn:
        names = chosen[0].name if len(chosen) == 1 else "any study"
        raise LoraeError(
            f"out: {str(folder)!r} holds {len(records)} records, but none of {names} in preset {config.preset}, "
            f"protocol {config.protocol}; its pages are left as they are"
        )
    merged = drawn[0]
    for more in drawn[1:]:
        merged = {"pages": merged["pages"] | more["pages"], "claims": merged["claims"] + more["claims"]}
    return {"cells": len(records), "records": str(store.records_path), **merged}
