"""Evaluation of a trained run: measures with their protocols, and figures."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from lorae.config.evaluation_settings import EvaluationSettings
from lorae.config.methods import get_method
from lorae.data import Dataset
from lorae.errors import LoraeError, unknown_name
from lorae.evaluation.classification import TrainingCheckpoints
from lorae.evaluation.context import PICTURED, EvaluationContext, draw_generator, on_device
from lorae.evaluation.figures import (
    PAIRS,
    drawn_pairs,
    measure_reconstruction,
    measure_spectrum,
    picture_interpolations,
    picture_reconstructions,
    picture_samples,
    picture_spectrum,
)
from lorae.evaluation.measures import MEASURES
from lorae.models.autoencoder import Autoencoder
from lorae.plotting.images import as_items
from lorae.runs.run import Run
from lorae.samplers import standard_normal
from lorae.system.faults import tolerated
from lorae.system.hardware import choose_device, keep_freed_memory
from lorae.system.progress import progress_bar
from lorae.system.signals import Interrupted

NO_FIGURE = "figures: not all are drawn"


def evaluate_training(run: Run, model: Autoencoder, dataset: Dataset) -> dict[str, Any]:
    """Measure reconstruction and rank on the test split at the end of a training, and draw their figures.

    A generator has neither: of it only samples are drawn.

    Returns a dict: measure -> its result, as written to `evaluation.json`.
    """
    if not model.spec.encodes:
        latents = standard_normal(model.spec.latent_dim).sample(PICTURED, draw_generator(run.settings.seed, 0))
        with tolerated(NO_FIGURE):
            picture_samples(run, "prior", as_items(model.decode(latents)))
        results: dict[str, Any] = {}
        run.add_to_evaluation(results)
    else:
        spectrum = measure_spectrum(model, dataset)
        results = {
            "reconstruction": measure_reconstruction(model, dataset),
            "rank": spectrum.to_json() | {"matrix_rank": model.matrix_rank()},
        }
        run.add_to_evaluation(results)
        with tolerated(NO_FIGURE):
            picture_spectrum(run, spectrum)
            picture_reconstructions(run, model, dataset)
    return results


def evaluate(
    run: Run,
    model: Autoencoder,
    dataset: Dataset,
    settings: EvaluationSettings,
    *,
    only: Iterable[str] | None = None,
    figures: bool = True,
    quiet: bool = False,
) -> dict[str, Any]:
    """Measure a trained model, write each result to `evaluation.json` as soon as it is known, and draw samples.

    run: the run folder that results and figures are written to
    dataset: the data it was trained on
    settings: settings of the measures
    only: names of measures; None takes all that the data allow, except for the slow ones
    figures: whether to draw the generated items and interpolations

    Returns a dict: measure -> its result with its protocol, as plain JSON values. Raises LoraeError for an unknown
    measure, and for a named one that the data or the method do not allow.
    """
    names = select_measures(only, dataset, run.settings.method)
    settings = settings.resolve(dataset.name, dataset.kind, run.settings.method)
    settings = dataclasses.replace(settings, device=choose_device(settings.device))
    keep_freed_memory()
    results: dict[str, Any] = {}
    with progress_bar(quiet) as bar:
        task = bar.add_task("evaluate", total=len(names), note="")
        context = EvaluationContext(run, on_device(model, settings.device), dataset, settings, bar)
        if any(MEASURES[name].needs_features for name in names):
            _ = context.extractor  # report missing weights before minutes of measuring
        for name in names:
            bar.update(task, note=name)
            with TrainingCheckpoints(run.path / f"unfinished-{name}") as context.trainings:
                try:
                    results[name] = MEASURES[name].take(context)
                except KeyboardInterrupt:
                    done, left = ", ".join(results) or "nothing", ",".join(names[names.index(name) :])
                    raise Interrupted(f"while measuring {name}; stored: {done}; continue with --only {left}") from None
                with tolerated(f"{name}: the result is not stored"):
                    run.add_to_evaluation({name: results[name]})
                context.trainings.forget()
            bar.advance(task)
        if figures:
            with tolerated(NO_FIGURE):
                _draw(context)
    return results


def _draw(context: EvaluationContext) -> None:
    run, model, dataset = context.run, context.model, context.dataset
    for sampler, items in context.pictured.items():
        picture_samples(run, sampler, items)
    if context.pictured and dataset.kind == "images" and model.spec.encodes:
        firsts, seconds = drawn_pairs(dataset.test.inputs, PAIRS, context.settings.seed)
        picture_interpolations(run, model, firsts, seconds, context.latents("test").mean(axis=0))


def select_measures(only: Iterable[str] | None, dataset: Dataset, method: str) -> list[str]:
    """Return the names of measures in the order of the table; raise LoraeError for one that does not apply."""
    encodes = get_method(method).encodes
    labeled = dataset.train.labels is not None and dataset.test.labels is not None
    if only is None:
        return [
            name
            for name, measure in MEASURES.items()
            if not measure.slow and (labeled or not measure.needs_labels) and (encodes or not measure.needs_encoder)
        ]
    asked = list(only)
    for name in asked:
        if name not in MEASURES:
            raise unknown_name("only", name, MEASURES, several=True)
        if MEASURES[name].needs_encoder and not encodes:
            raise LoraeError(f"only: got {name!r}, but method {method!r} only generates: it has no encoder")
        if MEASURES[name].needs_labels and not labeled:
            raise LoraeError(f"only: got {name!r}, but the data {dataset.name!r} have no labels")
    return [name for name in MEASURES if name in asked]
