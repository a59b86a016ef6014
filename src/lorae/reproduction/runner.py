"""Select studies by the arguments of `lorae.reproduction.reproduce`, run their jobs, and draw their records."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import torch

from lorae import api
from lorae import validation as rules
from lorae.errors import LoraeError
from lorae.features import build_extractor
from lorae.reproduction.jobs.pool import run_jobs
from lorae.reproduction.jobs.store import Configuration, Job, ResultStore, State
from lorae.reproduction.run import PRESETS, PROTOCOLS, STUDIES
from lorae.reproduction.studies import WITHOUT_MODELS, Study, studies
from lorae.reproduction.tables import measurements, presets
from lorae.reproduction.tables.plan import by_seed, distinct
from lorae.system.cores import available_cores
from lorae.system.files import home_expanded


def measure(configuration: Configuration, folder: Path, data_root: str | None) -> dict[str, Any]:
    """Return the result of a job of any study; models and pictures are kept in `folder`."""
    if configuration["study"] in WITHOUT_MODELS:
        return WITHOUT_MODELS[configuration["study"]](configuration)
    return measurements.measure(configuration, folder, data_root)


@dataclasses.dataclass(frozen=True)
class Selection:
    """Studies that the given data allow, with their configuration, their folder, and the number of processes."""

    name: str
    studies: list[Study]
    config: presets.StudyConfig
    store: ResultStore
    data_root: str | None
    workers: int

    @property
    def jobs(self) -> list[Job]:
        """All jobs, each once, seed by seed."""
        return by_seed(distinct(job for study in self.studies for job in study.jobs(self.config)))

    def progress(self) -> State:
        """Return the progress of the jobs."""
        return self.store.state(self.jobs)

    def run_missing_jobs(self, quiet: bool) -> None:
        """Measure the jobs that have no record."""
        # Report missing weights now, not after the first training.
        finished = self.store.finished()
        left = [job.configuration for job in self.jobs if job.key not in finished]
        for features in sorted({job.get("measure", {}).get("features") for job in left} - {None}):
            build_extractor(features)
        run_jobs(
            self.jobs,
            functools.partial(measure, folder=self.store.folder, data_root=self.data_root),
            self.store.folder,
            workers=self.workers,
            title=f"{self.name}, {self.config.preset}",
            quiet=quiet,
        )

    def draw(self) -> dict[str, Any]:
        """Draw from the records, with CelebA if there is a record of it, and at least the preset's seeds."""
        records = self.store.finished() or {record["key"]: record for record in self.store.records()}
        seeds = max(self.config.seeds, presets.PRESETS[self.config.preset].seeds)
        config = dataclasses.replace(self.config, seeds=seeds, faces=self.config.faces or _find_faces(self.store))
        folder = self.store.folder
        drawn = [found for study in self.studies if (found := study.draw(config, records, folder)) is not None]
        if not drawn:
            names = self.studies[0].name if len(self.studies) == 1 else "any study"
            raise LoraeError(
                f"out: {str(folder)!r} holds {len(records)} records, but none of {names} in preset {config.preset}, "
                f"protocol {config.protocol}; its pages are left as they are"
            )
        merged = drawn[0]
        for more in drawn[1:]:
            merged |= {"pages": merged["pages"] | more["pages"], "claims": merged["claims"] + more["claims"]}
        return {"cells": len(records), "records": str(self.store.records_path), **merged}


def select(
    study: str,
    preset: str,
    seeds: int | None,
    protocol: str,
    data_root: str | Path | None,
    out: str | Path | None,
    *,
    workers: int | None = None,
    draw_only: bool = False,
) -> Selection:
    """Check the arguments of `reproduce` and return the studies of a name that the given data allow."""
    study = rules.choice(*STUDIES).check("study", study, "the call")  # no flag of the command line
    preset = rules.choice(*PRESETS).check("preset", preset, "argument preset")
    seeds = rules.optional(rules.whole(1)).check("seeds", seeds, "argument seeds")
    protocol = rules.choice(*PROTOCOLS).check("protocol", protocol, "argument protocol")
    workers = rules.optional(rules.whole(1)).check("workers", workers, "argument workers")
    named = [found for found in studies().values() if found.name == study or (study == "all" and found.of_paper)]
    of_paper = named[0].of_paper
    for option, given in (("protocol", protocol != "paper"), ("data_root", data_root is not None)):
        if given and not of_paper:
            raise LoraeError(f"study: {study} makes its own data and is not of the paper: it takes no {option}")
    # The paper's studies share a folder, and with it their models.
    parts = ["paper" if of_paper else study, preset, *([] if protocol == "paper" else [protocol])]
    folder = Path("runs") / "-".join(parts) if out is None else Path(out)
    if folder.exists() and not folder.is_dir():
        raise LoraeError(f"out: got {str(folder)!r}, which is a file, expected a folder")
    store, root = ResultStore(folder), None if data_root is None else str(home_expanded(data_root).absolute())
    # CelebA takes part if its files are given, or if only its records are drawn.
    faces = _find_faces(store) if draw_only else None
    if data_root is not None:
        faces = api.load_data("celeba", data_root=str(data_root)).fingerprint
    config = presets.StudyConfig(preset, protocol, seeds or presets.PRESETS[preset].seeds, faces)
    possible = [found for found in named if not found.data or set(found.data) & set(config.data)]
    if not possible:
        raise LoraeError(
            f"study: {study} is of CelebA alone; pass data_root=FOLDER with its files", settings={"data_root": "FOLDER"}
        )
    return Selection(study, possible, config, store, root, workers or _default_workers(of_paper))


def _find_faces(store: ResultStore) -> str | None:
    """Return the fingerprint of the CelebA images that the records are of."""
    found = (record["configuration"].get("model", {}).get("faces") for record in store.finished().values())
    return next((faces for faces in found if faces is not None), None)


def _default_workers(on_gpu: bool) -> int:
    # One model of this size leaves most of a GPU idle; more than four wait for each other there.
    return min(4, available_cores()) if on_gpu and torch.cuda.is_available() else available_cores()
