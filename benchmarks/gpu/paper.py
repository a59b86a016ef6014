"""The paper's models at its own length, by the cells of `lorae reproduce`: digits, then faces at full width.

Models of digits are small: they are trained here, come back as archives and are measured wherever there is time:
`python -m benchmarks.gpu --adopt OUT` puts them beside the models of `lorae reproduce all --preset paper`. Models of
faces have 130 MB each and are measured at once.
"""

import gzip
import os
import tarfile
import time
from collections.abc import Container, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lorae
from benchmarks.gpu.records import Records
from benchmarks.gpu.several import TOGETHER
from benchmarks.gpu.together import StoppableTrainer, prepared, train_together
from lorae.api.finishing import finish
from lorae.reproduction.jobs.pool import run_jobs
from lorae.reproduction.jobs.store import Job, ResultStore
from lorae.reproduction.runner import measure
from lorae.reproduction.tables.measurements import model_key
from lorae.reproduction.tables.plan import PROTOCOL, planned
from lorae.reproduction.tables.presets import StudyConfig
from lorae.reproduction.tables.published import System, tables
from lorae.runs.run import Run

# The studies that measure adopted models, and the numbers of labels: the paper's 60,000 take hours.
MEASURED = ("table3", "figure2", "figure3", "table6", "table6-authors")
LABELS = ("10", "100", "1000", "10000")
# Rows of table 3, then of table 7, each for all seeds; and of faces, those of tables 3, 5 and 8, with one seed.
DIGITS = (("LoRAE+, rank 12", "LoRAE", "IRMAE", "VAE", "AE"), ("1e-1", "1e-2", "1e-4", "1e-5"))
FACES = (("LoRAE", "AE", "VAE", "IRMAE"), ("LoRAE, weight 1e-3", "GAN", "LS-GAN", "NS-GAN", "VAE + Flow"))
# The studies whose models of digits are trained, if they have no record.
STUDIES = ("table3", "figure2", "table7")
# Inception's weights are not in the package: faces are compared as in the preset `quick`.
FACE_MEASURES = ("fid", "rank", "pictures")
# Checkpoints of many models at once would cost more than their steps do.
KEPT = {"checkpoint_every": 20_000}
# Models of digits and of faces that are trained at once, in threads: more than one only where `several` has found that
# two models at once come to the weights of each alone.
AT_ONCE = {"digits": 8, "faces": 4}
# Share of the time that the training of faces gets; the rest is for measuring.
TRAINING = 0.8
# Largest archive that is written, in bytes: what comes back from a machine is often limited.
ARCHIVE = 16 * 2**20
# Where the records of the preset `paper` are; only what is missing there is trained.
RECORDED = Path(__file__).parents[2] / "results" / "paper-full"


@dataclass(frozen=True)
class Study:
    """Where models and records are, and what is trained. waves: cells by the order of their models."""

    name: str
    data: str
    folder: Path
    out: Path
    data_root: str | None
    waves: list[list[Job]]

    @property
    def measured(self) -> bool:
        """Whether models are measured on this machine."""
        return self.name == "faces"


def row(name: str) -> System:
    """A row of any table of the paper."""
    return next(system for table in tables().values() for system in table.rows if system.name == name)


def digit_cells(scale: StudyConfig, rows: Iterable[str], *, recorded: Container[str] = ()) -> list[Job]:
    """The cells of tables and figures that are of these rows' own models and not recorded, in the order of the rows."""
    found = [entry for name in STUDIES for entry in planned(tables()[name], scale) if entry.data == "mnist"]
    cells = [entry.job for row in rows for entry in found if entry.row == row]
    return list({cell.key: cell for cell in cells if cell.key not in recorded}.values())


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
    scale = digit_scale(smoke=smoke)
    recorded = {} if smoke else ResultStore(RECORDED).finished()
    rows = (("LoRAE",),) if smoke else DIGITS
    waves = [digit_cells(scale, names, recorded=recorded) for names in rows]
    return Study("digits", "mnist", work / "digits", out / "digits.tar.gz", None, waves)


def digit_scale(*, smoke: bool) -> StudyConfig:
    """The length of the trainings of digits."""
    return StudyConfig("smoke" if smoke else "paper", "paper", 1 if smoke else 3)


def faces(work: Path, out: Path, root: Path, *, smoke: bool) -> Study:
    """Models of faces. root: the folder with the pictures."""
    fingerprint = lorae.load_data("celeba", data_root=str(root)).fingerprint
    scale = StudyConfig("smoke" if smoke else "paper", "paper", 1, fingerprint)
    rows = (("LoRAE",),) if smoke else FACES
    waves = [face_cells(scale, names, smoke=smoke) for names in rows]
    return Study("faces", "celeba", work / "faces", out / "faces.tar.gz", str(root), waves)


def alone(records: Records, study: Study, *, smoke: bool) -> None:
    """LoRAE's first model of digits with nothing beside it: all epochs, statistics and checkpoints included."""

    def take() -> dict[str, Any]:
        model = digit_cells(digit_scale(smoke=smoke), ["LoRAE"])[0].configuration["model"]
        (trainer,) = build(study, {model_key(model): model}).values()
        start = time.perf_counter()
        trainer.trained = trainer.fit()
        seconds = time.perf_counter() - start
        keep_trained(trainer)
        mark(study, model_key(model))
        return {"steps": trainer.step, "training": round(seconds, 2), "milliseconds": 1000 * seconds / trainer.step}

    records.measure(f"{study.name}: one model alone", take)


def work_through(records: Records, study: Study, deadline: float, together: int) -> None:
    """Train the models of a wave and pack or measure each; then the next wave, while there is time."""
    for number, cells in enumerate(study.waves, start=1):
        finished = ResultStore(study.folder).finished()
        left = {cell.key: cell for cell in cells if cell.key not in finished}
        time_left = deadline - time.monotonic()
        if not left or time_left < 30:
            continue
        models = {model_key(cell.configuration["model"]): cell for cell in left.values()}
        untrained = {key: c.configuration["model"] for key, c in models.items() if not marked(study, key)}

        until = time.monotonic() + (TRAINING if study.measured else 1.0) * time_left
        for start in range(0, len(untrained), together):
            group = dict(list(untrained.items())[start : start + together])
            names = ", ".join(models[key].name.split(":")[0] for key in group)
            if time.monotonic() < until:
                records.measure(f"{study.name}: {names}", partial(train, study, group, until), again=True)
        if not study.measured:
            records.measure(f"{study.name}, wave {number}: archives", partial(archive, study), again=True)
            continue

        def take(left: dict[str, Job] = left) -> dict[str, Any]:
            chosen = [cell for cell in left.values() if marked(study, model_key(cell.configuration["model"]))]
            function = partial(measure, folder=study.folder, data_root=study.data_root)
            try:
                run_jobs(chosen, function, study.folder, workers=workers(), title=study.name, quiet=True)
            finally:
                pack(study)
            return {"cells": len(chosen)}

        records.measure(f"{study.name}, wave {number}: measures", take, again=True)


def together(records: Records, name: str) -> int:
    """Return the number of models of a study that are trained at once."""
    found = next((r["result"] for r in records.all() if r["name"] == TOGETHER and "result" in r), None)
    return AT_ONCE[name] if found is not None and found["at once"] <= found["twice alone"] else 1


def train(study: Study, models: dict[str, dict[str, Any]], until: float) -> dict[str, Any]:
    """Train models at once, and mark those that come to their ends."""
    trainers = build(study, models)
    built = time.monotonic()
    found = train_together(trainers, until)
    for key, outcome in found.items():
        if outcome["error"] is None:
            if not study.measured:
                keep_trained(trainers[key])
            mark(study, key)
    return {"training": time.monotonic() - built, "each": found}


def keep_trained(trainer: StoppableTrainer) -> None:
    """Write the model and the result of its schedule, for `adopt`."""
    assert trainer.trained is not None
    assert isinstance(trainer.run, Run)
    trainer.run.add_to_evaluation({"schedule": trainer.schedule.result(), "stopping": None})
    trainer.run.save_model(trainer.trained)


def build(study: Study, models: dict[str, dict[str, Any]]) -> dict[str, StoppableTrainer]:
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


def archive(study: Study) -> dict[str, Any]:
    """Write the folders of trained models, without their checkpoints, as a few compressed archives of limited size."""
    models = study.folder / "models"
    archives: list[list[Path]] = []
    used = ARCHIVE
    for marked_as in sorted(models.glob("*.trained")):
        files = [p for p in sorted(marked_as.with_suffix("").rglob("*")) if p.is_file() and p.suffix != ".pt"]
        size = sum(len(gzip.compress(path.read_bytes(), 1)) + 1024 for path in files)
        if used + size > ARCHIVE:
            archives.append([])
            used = 0
        archives[-1] += files
        used += size
    for number, files in enumerate(archives):
        with tarfile.open(study.out.with_name(f"models-{number}.tar.gz"), "w:gz") as packed:
            for path in files:
                packed.add(path, path.relative_to(models))
    return {"models": [path.stem for path in models.glob("*.trained")], "archives": len(archives)}


def adopt(out: Path, folder: Path) -> None:
    """Finish the runs of archives in `out` as models of `lorae reproduce --preset paper` in `folder`; measure them."""
    dataset = lorae.load_data("mnist")
    adopted: set[str] = set()
    for path in sorted(out.glob("models-*.tar.gz")):
        with tarfile.open(path) as packed:
            names = {name.split("/")[0] for name in packed.getnames()} - adopted
            packed.extractall(folder / "models", filter="data")
        for name in sorted(names):
            run = Run(folder / "models" / name)
            schedule = run.evaluation()
            finish(run, run.load_model(), dataset, partial(Run.add_to_evaluation, results=schedule))
            print(f"{run.path}: {run.settings.method}, seed {run.settings.seed}, {run.summary()['test_mse']:.5f}")
        adopted |= names
    found = (entry.job for name in MEASURED for entry in planned(tables()[name], digit_scale(smoke=False)))
    jobs = {
        job.key: job
        for job in found
        if model_key(job.configuration["model"]) in adopted
        and job.configuration["measure"].get("labels", LABELS[:1])[0] in LABELS
    }
    run_jobs(list(jobs.values()), partial(measure, folder=folder, data_root=None), folder, workers=1, title="digits")
    ResultStore(folder).gather([])


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
