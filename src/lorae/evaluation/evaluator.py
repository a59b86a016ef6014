"""Evaluation of a trained run: measures with their protocols, and figures."""

import contextlib
import dataclasses
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from numpy.typing import NDArray

from lorae.config.evaluation_settings import EvaluationSettings
from lorae.config.methods import get_method
from lorae.data import Dataset
from lorae.errors import (
    MODEL_FAILURES,
    LoraeError,
    LoraeWarning,
    NotApplicableError,
    as_flags,
    shell_command,
    unknown_name,
)
from lorae.evaluation import figures as drawing
from lorae.evaluation.classification import TrainingCheckpoints
from lorae.evaluation.context import PICTURED, EvaluationContext, draw_generator, on_device
from lorae.evaluation.figure_data import figure_data, figure_data_of_training
from lorae.evaluation.measures import MEASURES
from lorae.isolation import isolated
from lorae.metrics.spectrum import latent_spectrum
from lorae.models.autoencoder import Autoencoder
from lorae.plotting.images import as_items
from lorae.runs.run import Run
from lorae.samplers import standard_normal
from lorae.system.faults import tolerated
from lorae.system.files import CannotWriteError
from lorae.system.hardware import choose_device, keep_freed_memory
from lorae.system.processes import ALONE, Processes
from lorae.system.progress import progress_bar
from lorae.system.signals import Interrupted

# A measure that raises one of these is skipped. Any other error ends the evaluation.
SKIPPED = (NotApplicableError, *MODEL_FAILURES)

# Measure -> why it was skipped.
Skipped = dict[str, LoraeError]

NO_FIGURE = "figures: not all are drawn"


@isolated()
def evaluate_training(run: Run, model: Autoencoder, dataset: Dataset) -> dict[str, Any]:
    """Write error, rank and explained variance of test items after a training to `evaluation.json`, and draw figures.

    A generator has none of these: only its samples are drawn.
    """
    if not model.spec.encodes:
        latents = standard_normal(model.spec.latent_dim).sample(PICTURED, draw_generator(run.settings.seed, 0))
        with tolerated(NO_FIGURE):
            drawing.picture_samples(run, model, "prior", as_items(model.decode(latents), images=model.spec.images))
        run.add_to_evaluation({})
        return {}
    spectrum = drawing.measure_spectrum(model, dataset)
    errors = model.squared_errors(dataset.test.inputs)
    measures: dict[str, Callable[[], dict[str, Any]]] = {
        "reconstruction": lambda: drawing.measure_reconstruction(model, dataset, errors),
        "rank": lambda: spectrum.to_json() | drawing.matrix_ranks(model),
        "explained": lambda: drawing.measure_explained(
            model, dataset, drawing.directions_of(run, model, spectrum.rank)
        ),
    }
    results: dict[str, Any] = {}
    skipped: Skipped = {}
    for name, take in measures.items():
        try:
            results[name] = take()
        except SKIPPED as error:
            skipped[name] = error
    run.add_to_evaluation(results | _skipped_entry(run, results, skipped))
    with tolerated(NO_FIGURE):
        drawing.picture_spectrum(run, spectrum)
        drawing.picture_reconstructions(run, model, dataset)
    with tolerated(NO_FIGURE):
        run.figure_data.write(figure_data_of_training(model, dataset, run.encoder_outputs(model), errors))
    return results


@isolated()
def evaluate_without_data(
    run: Run, model: Autoencoder, outputs: NDArray[Any], items: NDArray[Any] | None, reason: LoraeError
) -> None:
    """Write the rank of the latents of kept encoder outputs (n, input_dim), and draw the kept test items.

    `reason` is why all else is skipped.
    """
    spectrum = latent_spectrum(model.latents_of(outputs), "train")
    results = {"rank": spectrum.to_json() | drawing.matrix_ranks(model)}
    run.add_to_evaluation(
        results | _skipped_entry(run, results, dict.fromkeys(("reconstruction", "explained"), reason))
    )
    with tolerated(NO_FIGURE):
        drawing.picture_spectrum(run, spectrum)
        run.figure_data.write(figure_data(model, items, outputs))


@isolated()
def evaluate(
    run: Run,
    model: Autoencoder,
    dataset: Dataset,
    settings: EvaluationSettings,
    *,
    only: Iterable[str] | None = None,
    figures: bool = True,
    quiet: bool = False,
    processes: Processes = ALONE,
) -> dict[str, Any]:
    """Measure a trained model, write each result to `evaluation.json` as soon as it is known, and draw samples.

    only: names of measures; None takes all that the data allow, except for the slow ones
    processes: the first one measures, and the others compute features, latents and errors with it and return nothing
    """
    names, skipped = select_measures(only, dataset, run.settings.method)
    chosen_features = settings.features
    settings = settings.resolve(dataset.name, dataset.kind, run.settings.method)
    settings = dataclasses.replace(settings, device=choose_device(settings.device))
    keep_freed_memory()
    results: dict[str, Any] = {}
    with progress_bar(quiet) as bar:
        task = bar.add_task("evaluate", total=len(names), note="")
        context = EvaluationContext(run, on_device(model, settings.device), dataset, settings, bar, processes)
        if not processes.first:
            context.work.serve()
            return {}
        if any(MEASURES[name].needs_features for name in names):
            try:
                _ = context.extractor  # report missing weights before minutes of measuring
            except LoraeError as error:
                if chosen_features is not None and not isinstance(error, NotApplicableError):
                    raise
                skipped |= {name: error for name in names if MEASURES[name].needs_features}
        for name in names:
            bar.update(task, note=name)
            if name not in skipped:
                try:
                    results[name] = _measured(context, name)
                except SKIPPED as error:
                    skipped[name] = error
                except KeyboardInterrupt:
                    done, left = ", ".join(results) or "nothing", ",".join(names[names.index(name) :])
                    command = shell_command("evaluate", run.path)
                    raise Interrupted(
                        f"while measuring {name}; stored: {done}; continue with `{command} --only {left}`"
                    ) from None
            bar.advance(task)
        if figures:
            try:
                with tolerated(NO_FIGURE):
                    _draw(context)
                    if model.spec.encodes and not _of_test_items(run):
                        outputs = run.encoder_outputs(model)
                        run.figure_data.write(figure_data_of_training(context.model, dataset, outputs))
            except KeyboardInterrupt:
                raise Interrupted(f"while drawing; stored: {', '.join(results) or 'nothing'}") from None
        context.work.end()
    entry = _skipped_entry(run, results, skipped)
    if entry["skipped"] != run.evaluation().get("skipped"):
        _stored(run, entry, "skipped: the reasons are not stored")
    if skipped and not results:
        raise _one_error(skipped)
    return results | ({"skipped": _reasons(skipped)} if skipped else {})


def _of_test_items(run: Run) -> bool:
    """Return whether the arrays for figures are there and of the test split, not of the few items that a run keeps."""
    with contextlib.suppress(LoraeError):  # of a damaged file
        data = run.figure_data.read()
        return data is not None and data.codes_of_test is not None and bool(data.codes_of_test[0])
    return False


def _measured(context: EvaluationContext, name: str) -> dict[str, Any]:
    """Return the result of a measure, and keep it in `evaluation.json` at once."""
    with TrainingCheckpoints(context.run.path / f"unfinished-{name}") as context.trainings:
        result = MEASURES[name].take(context)
        if _stored(context.run, {name: result}, f"{name}: the result is not stored"):
            context.trainings.forget()
    return result


def _stored(run: Run, entry: dict[str, Any], lost: str) -> bool:
    """Add an entry to `evaluation.json`; return whether that was possible, with a warning if it was not."""
    try:
        run.add_to_evaluation(entry)
    except CannotWriteError as error:
        warnings.warn(f"{lost}: {error}", LoraeWarning, stacklevel=4)
        return False
    return True


def _skipped_entry(run: Run, results: dict[str, Any], skipped: Skipped) -> dict[str, dict[str, str] | None]:
    """Return the entry `skipped` of `evaluation.json`: the reason of each measure that was left out, now or earlier."""
    reasons = run.evaluation().get("skipped", {}) | _reasons(skipped)
    return {"skipped": {name: reason for name, reason in reasons.items() if name not in results} or None}


def _reasons(skipped: Skipped) -> dict[str, str]:
    return {name: as_flags(error) for name, error in skipped.items()}


def _one_error(skipped: Skipped) -> LoraeError:
    """Return the error of an evaluation without a result; several reasons in one line."""
    errors = {str(error): error for error in skipped.values()}
    if len(errors) == 1:
        return next(iter(errors.values()))
    return LoraeError("; ".join(f"{name}: {reason}" for name, reason in _reasons(skipped).items()))


def _draw(context: EvaluationContext) -> None:
    run, model, dataset = context.run, context.model, context.dataset
    for sampler, items in context.pictured.items():
        drawing.picture_samples(run, model, sampler, items)
    if context.pictured and dataset.kind == "images" and model.spec.encodes:
        firsts, seconds = drawing.drawn_pairs(dataset.test.inputs, drawing.PAIRS, context.settings.seed)
        drawing.picture_interpolations(run.figures, model, firsts, seconds, context.latents("test").mean(axis=0))


def select_measures(only: Iterable[str] | None, dataset: Dataset, method: str) -> tuple[list[str], Skipped]:
    """Return the measures to take in the order of the table, and why others of these do not apply to data or method.

    Raises LoraeError for an unknown name.
    """
    asked = [name for name, measure in MEASURES.items() if not measure.slow] if only is None else list(only)
    labeled = dataset.train.labels is not None and dataset.test.labels is not None
    skipped: Skipped = {}
    for name in asked:
        if name not in MEASURES:
            raise unknown_name("only", name, MEASURES, several=True)
        if MEASURES[name].needs_encoder and not get_method(method).encodes:
            skipped[name] = NotApplicableError(f"method {method!r} only generates: it has no encoder")
        elif MEASURES[name].needs_labels and not labeled:
            skipped[name] = NotApplicableError(f"the data {dataset.name!r} have no labels")
    return [name for name in MEASURES if name in asked and name not in skipped], skipped
