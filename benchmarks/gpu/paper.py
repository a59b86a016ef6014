"""The paper's models at its own length, by the cells of `lorae reproduce`: digits, then faces at full width."""

import os
import tarfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lorae
from benchmarks.gpu.records import Records
from benchmarks.gpu.together import prepared, train_together
from lorae.reproduction.jobs.pool import run_jobs
from lorae.reproduction.jobs.store import Job, ResultStore
from lorae.reproduction.runner import measure
from lorae.reproduction.tables.measurements import model_key
from lorae.reproduction.tables.plan import PROTOCOL, planned
from lorae.reproduction.tables.presets import StudyConfig
from lorae.reproduction.tables.published import System, tables

# Rows of table 3, then of table 7, each for all seeds; and of faces, those of tables 3, 5 and 8, with one seed.
DIGITS = (("AE", "VAE", "IRMAE", "LoRAE", "LoRAE+, rank 12"), ("1e-1", "1e-2", "1e-4", "1e-5"))
FACES = (("LoRAE", "AE", "VAE", "IRMAE"), ("LoRAE, weight 1e-3", "GAN", "LS-GAN", "NS-GAN", "VAE + Flow"))
# What is measured of digits while a model is there; of table 6 the numbers of labels that take seconds.
STUDIES, LABELS = ("table3", "figure2", "figure3", "table7", "table6"), ("10", "100")
# Inception's weights are not in the package: faces are compared as in the preset `quick`.
FACE_MEASURES = ("fid", "rank", "pictures")
# Checkpoints of many models at once would cost more than their steps do.
KEPT = {"checkpoint_every": 20_000}
# Models that are trained at once, in threads. More than one only where `several` says that they come to the weights of
# each alone: on an H100, when all graphs were recorded on one stream, models that trained at once learned badly.
AT_ONCE = 1
# Share of a wave's time that training gets; the rest is for measuring.
TRAINING = 0.72


@dataclass(frozen=True)
class Study:
    """Where models and records are, and what is trained. waves: cells by the order of their models."""

    name: str
    data: str
    folder: Path
    out: Path
    data_root: str | None
    waves: list[list[Job]]


def row(name: str) -> System:
    """A row of any table of the paper."""
    return next(system for table in tables().values() for system in table.rows if system.name == name)


def digit_cells(scale: StudyConfig, rows: Iterable[str], *, smoke: bool) -> list[Job]:
    """The cells of table and figures that are of these rows' own models."""
    names = set(rows)
    found = [entry for name in STUDIES[: 1 if smoke else None] for entry in planned(tables()[name], scale)]
    cells = [
        entry.job
        for entry in found
        if entry.row in names
        and entry.data == "mnist"
        and entry.job.configuration["measure"].get("labels", ["10"])[0] in LABELS
    ]
    return list({cell.key: cell for cell in cells}.values())


def face_cells(scale: StudyConfig, rows: Iterable[str], *, smoke: bool) -> list[Job]:
    """Models of the paper's settings under the measures of the preset `quick`."""
    small, cells = StudyConfig("smoke" if smoke else "quick", "paper", 1), []
    for name in rows:
        method = row(name).settings["method"]
        generator = method.endswith("gan") and not method.startswith("wae")
        for measured in FACE_MEASURES[1 if smoke else 0 :]:
            if generator and measured == "rank":
                continue
            configuration = {
                "study": "gpu-faces",
                "protocol": PROTOCOL,
                "model": scale.model("celeba", row(name), None, 0),
                "measure": small.measure("celeba", method, measured),
            }
            cells.append(Job(f"celeba {name} seed 0: {measured}", configuration))
    return cells


def digits(work: Path, out: Path, *, smoke: bool) -> Study:
    """Models of digits."""
    scale = StudyConfig("smoke" if smoke else "paper", "paper", 1 if smoke else 3)
    rows = (("LoRAE",),) if smoke else DIGITS
    waves = [digit_cells(scale, names, smoke=smoke) for names in rows]
    return Study("digits", "mnist", work / "digits", out / "digits.tar.gz", None, waves)


def faces(work: Path, out: Path, root: Path, *, smoke: bool) -> Study:
    """Models of faces. root: the folder with the pictures."""
    fingerprint = lorae.load_data("celeba", data_root=str(root)).fingerprint
    scale = StudyConfig("smoke" if smoke else "paper", "paper", 1, fingerprint)
    rows = (("LoRAE",),) if smoke else FACES
    waves = [face_cells(scale, names, smoke=smoke) for names in rows]
    return Study("faces", "celeba", work / "faces", out / "faces.tar.gz", str(root), waves)


def alone(records: Records, study: Study) -> None:
    """LoRAE's first model with nothing beside it: all epochs, statistics and checkpoints included."""
    name = "LoRAE" if study.data == "mnist" else "AE"

    def take() -> dict[str, Any]:
        cell = next(cell for cell in study.waves[0] if f" {name} seed 0" in cell.name)
        (trainer,) = build(study, {model_key(cell.configuration["model"]): cell.configuration["model"]}).values()
        start = time.perf_counter()
        trainer.fit()
        seconds = time.perf_counter() - start
        mark(study, model_key(cell.configuration["model"]))
        return {"steps": trainer.step, "training": round(seconds, 2), "milliseconds": 1000 * seconds / trainer.step}

    records.measure(f"{study.name}: one model alone", take)


def work_through(records: Records, study: Study, deadline: float) -> None:
    """Train the models of a wave and measure each; then the next wave, while there is time."""
    for number, cells in enumerate(study.waves, start=1):
        finished = ResultStore(study.folder).finished()
        left = {cell.key: cell for cell in cells if cell.key not in finished}
        time_left = deadline - time.monotonic()
        if not left or time_left < 30:
            continue
        models = {model_key(cell.configuration["model"]): cell for cell in left.values()}
        untrained = {key: c.configuration["model"] for key, c in models.items() if not marked(study, key)}

        until = time.monotonic() + TRAINING * time_left
        for start in range(0, len(untrained), AT_ONCE):
            group = dict(list(untrained.items())[start : start + AT_ONCE])
            names = ", ".join(models[key].name.split(":")[0] for key in group)
            if time.monotonic() < until:
                records.measure(f"{study.name}: {names}", partial(train, study, group, until), again=True)

        def take(left: dict[str, Job] = left) -> dict[str, Any]:
            chosen = [cell for cell in left.values() if marked(study, model_key(cell.configuration["model"]))]
            function = partial(measure, folder=study.folder, data_root=study.data_root)
            try:
                run_jobs(chosen, function, study.folder, workers=workers(), title=study.name, quiet=True)
            finally:
                pack(study)
            return {"cells": len(chosen)}

        records.measure(f"{study.name}, wave {number}: measures", take, again=True)


def train(study: Study, models: dict[str, dict[str, Any]], until: float) -> dict[str, Any]:
    """Train models at once, and mark those that come to their ends."""
    trainers = build(study, models)
    built = time.monotonic()
    found = train_together(trainers, until)
    for key, outcome in found.items():
        if outcome["error"] is None:
            mark(study, key)
    return {"training": time.monotonic() - built, "each": found}


def build(study: Study, models: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Trainings by the keys of their models, in the folders where `lorae reproduce` looks for them."""
    root = {} if study.data_root is None else {"data_root": study.data_root}
    dataset = lorae.load_data(study.data, **root)
    return {
        key: prepared(
            study.folder / "models" / key,
            study.data,
            dataset.limited(model["settings"].get("limit")),
            model["settings"] | root | KEPT,
        )
        for key, model in models.items()
    }


def mark(study: Study, key: str) -> None:
    """Say that a model is trained to its end."""
    (study.folder / "models" / f"{key}.trained").touch()


def marked(study: Study, key: str) -> bool:
    """Whether a model is trained to its end."""
    return (study.folder / "models" / f"{key}.trained").exists()


def pack(study: Study) -> None:
    """Records and pictures, without the models, as one file."""
    store = ResultStore(study.folder)
    store.gather([cell for wave in study.waves for cell in wave])
    unfinished = study.out.with_suffix(".partial")
    with tarfile.open(unfinished, "w:gz") as archive:
        for path in sorted([store.records_path, *study.folder.glob("pictures/*.png")]):
            archive.add(path, path.relative_to(study.folder))
    unfinished.replace(study.out)


def unpack(study: Study) -> None:
    """Go on from the records of an earlier run."""
    if study.out.exists() and not ResultStore(study.folder).records_path.exists():
        study.folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(study.out) as archive:
            archive.extractall(study.folder, filter="data")


def workers() -> int:
    """Processes that measure: a core each, but for one."""
    return max(1, min(14, len(os.sched_getaffinity(0)) - 1))


def faces_root(tar: Path, work: Path) -> Path:
    """The folder with the pictures of a tar, unpacked once; the loader of `celeba` finds its layout in it."""
    root = work / "pictures"
    if not root.exists():
        with tarfile.open(tar) as archive:
            archive.extractall(work / "pictures.partial", filter="data")
        (work / "pictures.partial").rename(root)
    return root
