"""Models of the paper's tables, each trained once for all of them, and their measurements."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from lorae import api
from lorae.config.evaluation_settings import EvaluationSettings
from lorae.config.methods import get_method
from lorae.errors import MODEL_FAILURES, DivergedError, ExplainedVarianceWarning
from lorae.evaluation.evaluator import evaluate
from lorae.reproduction.jobs.store import BusyError, digest
from lorae.reproduction.pages.blocks import picture_place
from lorae.reproduction.theory.distance_contrast import measure_contrast
from lorae.runs.run import Run
from lorae.system.files import try_lock, write_atomically
from lorae.training.builders import build_model

Result = dict[str, Any]
Settings = dict[str, Any]

# Pairs of MNIST test images: 5 to 3, 3 to 1 and 0 to 5 as in the paper's figure, and three more.
PAIRS = [(8, 18), (18, 2), (3, 8), (0, 1), (4, 7), (61, 11)]


def model_key(model: dict[str, Any]) -> str:
    """Return the name of a model's folder, a digest of its configuration."""
    return digest(model, 8)


@contextlib.contextmanager
def trained(model: dict[str, Any], folder: Path, data_root: str | None) -> Iterator[Run]:
    """Yield the finished run of a configuration in `folder/models`, locked for this process; train it if necessary.

    Raises BusyError if another process holds the model; DivergedError if its training diverges, or has diverged before.
    """
    path = folder / "models" / model_key(model)
    lock = try_lock(path.with_suffix(".lock"), f"out: cannot write to {str(folder)!r}")
    if lock is None:
        raise BusyError
    try:
        yield _train_once(model, path, data_root)
    finally:
        lock.release()


def _train_once(model: dict[str, Any], path: Path, data_root: str | None) -> Run:
    diverged = path.with_suffix(".diverged")
    if diverged.exists():
        raise DivergedError(diverged.read_text(encoding="utf-8"))
    root = data_root if model["faces"] else None  # MNIST's files have a place of their own
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExplainedVarianceWarning)  # the pages show how much a model explains
            if not (path / "config.json").exists():
                return api.train(model["data"], out=path, quiet=True, data_root=root, **model["settings"])
            run = Run(path)
            if root is not None and run.settings.data_root != root:
                run.update_data_root(root)
            return api.resume(run, quiet=True)
    except DivergedError as error:
        write_atomically(diverged, str(error).encode(errors="backslashreplace"))
        raise


def measure(configuration: dict[str, Any], folder: Path, data_root: str | None) -> Result:
    """Return the result of a job, with the name of its measure and a summary of its model's training.

    A model that diverges or collapses is a result as well: the message under the name of the outcome, without numbers.
    Raises BusyError if another process holds the model.
    """
    settings = dict(configuration["measure"])
    name = settings.pop("name")
    try:
        with trained(configuration["model"], folder, data_root) as run:
            result = MEASUREMENTS[name](run, settings, folder)
            summary = run.summary()
    except MODEL_FAILURES as error:
        return {"measure": name, error.outcome: str(error).split(";")[0]}
    training = {key: summary[key] for key in ("epochs", "seconds", "images_per_second", "test_mse")}
    device = {"device": run.settings.device, "precision": run.settings.precision}
    return {"measure": name, **result, "training": training | device}


def _by_evaluate(name: str) -> Callable[[Run, Settings, Path], Result]:
    """Build the measurement of a measure of `lorae evaluate`."""

    def take(run: Run, settings: Settings, _: Path) -> Result:
        chosen = EvaluationSettings.from_values(settings, api.origin_of_argument)
        model, dataset = run.load_model(), api.dataset_of(run, None)
        # The pictures of a study are drawn by `pictures` alone.
        result: Result = evaluate(run, model, dataset, chosen, only=[name], figures=False, quiet=True)[name]
        return result

    return take


def frechet(run: Run, settings: Settings, folder: Path) -> Result:
    """Return the Frechet distances; `own` is that of the prior if the method has one, else of the Gaussian."""
    result = _by_evaluate("fid")(run, settings, folder)
    return result | {"own": result["prior" if "prior" in result else "gaussian"]}


def pictures(run: Run, settings: Settings, folder: Path) -> Result:
    """Draw samples of every density and interpolations in `folder/pictures`; return figure -> path below `folder`."""
    asked = EvaluationSettings.from_values(settings, api.origin_of_argument)
    chosen = {name: value for name, value in settings.items() if name != "samplers"}
    names = [f"samples-{sampler}" for sampler in asked.samplers or ()]
    for sampler in asked.samplers or ():
        api.sample(run, 64, sampler=sampler, **chosen)
    if get_method(run.settings.method).encodes:
        api.interpolate(run, pairs=PAIRS if run.settings.data == "mnist" else None)
        names.append("interpolation-linear")
    found = {name: _copy_figure(run, name, folder) for name in names}
    own = "samples-prior" if "samples-prior" in found else "samples-gaussian"
    return {"pictures": found | {"samples-own": found[own]}}


def _copy_figure(run: Run, name: str, folder: Path) -> str:
    """Copy a figure of the run at half its size to the study's folder; return its path below that folder."""
    place = picture_place(folder, f"{run.settings.data}-{run.settings.method}-{run.path.name[:6]}-{name}")
    with Image.open(run.figure_path(name), formats=["PNG"]) as image:
        half = image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)
        shown = half.convert("L") if run.config["data"]["shape"][0] == 1 else half
        shown.save(folder / place, optimize=True)
    return place.as_posix()


def contrast(run: Run, _: Settings, __: Path) -> Result:
    """Return the quantities of theorem 2: distances of latents, errors and norms of M before and after training."""
    model, dataset = run.load_model(), api.dataset_of(run, None)
    sample = dataset.train.inputs[:10_000]  # errors within a hundredth of those of all items
    fresh = build_model(run.settings, dataset)
    start = fresh.bottleneck.single_matrix().detach()
    weight = run.settings.penalties.get("nuclear", 0.0)
    return {
        "weight": weight,
        "contrast": measure_contrast(
            model,
            dataset.test.inputs,
            initial_error=fresh.squared_error(sample),
            initial_norm=float(torch.linalg.matrix_norm(start.double(), "nuc")),
            final_error=model.squared_error(sample),
            weight=weight,
        ),
    }


MEASUREMENTS: dict[str, Callable[[Run, Settings, Path], Result]] = {
    "fid": frechet,
    **{name: _by_evaluate(name) for name in ("rank", "classification", "supervised", "interpolation")},
    "pictures": pictures,
    "contrast": contrast,
}
