"""A trained run and its data -> numbers with their protocol, and figures."""

import dataclasses
from collections.abc import Iterable

from lorae.config.evaluation_settings import EvaluationSettings
from lorae.config.methods import get_method
from lorae.data import Dataset
from lorae.errors import LoraeError
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
from lorae.system.hardware import choose_device, keep_freed_memory
from lorae.system.progress import progress_bar


def evaluate_training(run: Run, model: Autoencoder, dataset: Dataset) -> None:
    """What every training ends with: reconstruction and rank on the test split, and their figures.

    Of a generator, which has neither, only a picture of samples.
    """
    if not model.spec.encodes:
        latents = standard_normal(model.spec.latent_dim).sample(PICTURED, draw_generator(run.settings.seed, 0))
        picture_samples(run, "prior", as_items(model.decode(latents)))
        run.add_to_evaluation({})
        return
    run.add_to_evaluation({"reconstruction": measure_reconstruction(model, dataset)})
    spectrum = measure_spectrum(model, dataset)
    run.add_to_evaluation({"rank": spectrum.to_json() | {"matrix_rank": model.matrix_rank()}})
    picture_spectrum(run, spectrum)
    picture_reconstructions(run, model, dataset)


def evaluate(
    run: Run,
    model: Autoencoder,
    dataset: Dataset,
    settings: EvaluationSettings,
    *,
    only: Iterable[str] | None = None,
    quiet: bool = False,
) -> list[str]:
    """Take the measures named by `only` (None: all that the data allow, but the slow ones) and the figures of samples.

    Each result is written to `evaluation.json` as soon as it is there. Returns the names of what was measured.
    Raises LoraeError for an unknown measure, and for one by name that the data do not allow.
    """
    names = chosen_measures(only, dataset, run.settings.method)
    settings = settings.resolve(dataset.name, dataset.kind, run.settings.method)
    settings = dataclasses.replace(settings, device=choose_device(settings.device))
    keep_freed_memory()
    with progress_bar(quiet) as bar:
        task = bar.add_task("evaluate", total=len(names), note="")
        context = EvaluationContext(run, on_device(model, settings.device), dataset, settings, bar)
        if any(MEASURES[name].needs_features for name in names):
            _ = context.extractor  # a missing network shall not cost the minutes before it
        for name in names:
            bar.update(task, note=name)
            with TrainingCheckpoints(run.path / f"unfinished-{name}") as context.trainings:
                run.add_to_evaluation({name: MEASURES[name].take(context)})
                context.trainings.forget()
            bar.advance(task)
        for sampler, items in context.pictured.items():
            picture_samples(run, sampler, items)
        if context.pictured and dataset.kind == "images" and model.spec.encodes:
            firsts, seconds = drawn_pairs(dataset.test.inputs, PAIRS, settings.seed)
            picture_interpolations(run, model, firsts, seconds, context.latents("test").mean(axis=0))
    return names


def chosen_measures(only: Iterable[str] | None, dataset: Dataset, method: str) -> list[str]:
    """Names of measures in the order of the table."""
    encodes = get_method(method).encodes
    labelled = dataset.train.labels is not None and dataset.test.labels is not None
    if only is None:
        return [
            name
            for name, measure in MEASURES.items()
            if not measure.slow and (labelled or not measure.needs_labels) and (encodes or not measure.needs_encoder)
        ]
    asked = list(only)
    for name in asked:
        if name not in MEASURES:
            raise LoraeError(f"only: got {name!r}, expected some of {', '.join(MEASURES)}")
        if MEASURES[name].needs_encoder and not encodes:
            raise LoraeError(f"only: got {name!r}, but method {method!r} only generates: it has no encoder")
        if MEASURES[name].needs_labels and not labelled:
            raise LoraeError(f"only: got {name!r}, but the data {dataset.name!r} have no labels")
    return [name for name in MEASURES if name in asked]
