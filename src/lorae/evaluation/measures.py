"""The table of measures, functions from an `EvaluationContext` to plain values with their protocol."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lorae.evaluation.classification import classify, probe, supervised, total_draws, total_steps
from lorae.evaluation.classification.supervised import MAX_STEPS as SUPERVISED_STEPS
from lorae.evaluation.context import EvaluationContext, Features, Items
from lorae.evaluation.figures import (
    directions_of,
    explained_warning,
    matrix_ranks,
    measure_explained,
    measure_reconstruction,
    random_items,
    spectrum_split,
)
from lorae.metrics.frechet import Moments, extrapolated_distance, frechet_distance, warn_of_few
from lorae.metrics.intrinsic_dimension import NEIGHBORS as DIMENSION_NEIGHBORS
from lorae.metrics.intrinsic_dimension import affordable_points, distance_contrast, levina_bickel, two_nn
from lorae.metrics.kernel import UNIT_PROTOCOL, kernel_distance, unit_discrepancy
from lorae.metrics.prdc import NEIGHBORS, precision_recall
from lorae.metrics.spectrum import bootstrap_ranks, latent_spectrum
from lorae.system.hardware import choose_precision

Result = dict[str, Any]


@dataclass(frozen=True)
class Measure:
    """A row of the table; `name` is that of `lorae evaluate --only`, and a slow one is taken only if named."""

    name: str
    summary: str
    take: Callable[[EvaluationContext], Result]
    needs_labels: bool = False
    needs_encoder: bool = True
    needs_features: bool = False
    slow: bool = False


def reconstruction(context: EvaluationContext) -> Result:
    """Return the mean squared error on the test split."""
    return measure_reconstruction(context.model, context.whole, context.errors())


def rank(context: EvaluationContext) -> Result:
    """Return the rank of the latent space by every definition, with bootstrap intervals over the items."""
    split, settings = spectrum_split(context.dataset, context.model.spec.latent_dim), context.settings
    latents = context.latents(split)
    spectrum = latent_spectrum(latents, split).to_json()  # first, as it refuses a model that has diverged
    intervals = bootstrap_ranks(latents, resamples=settings.bootstrap, seed=settings.seed)
    return spectrum | matrix_ranks(context.model) | {"interval": intervals}


def explained(context: EvaluationContext) -> Result:
    """Return the explained variance of test items, and that of PCA with the model's rank; warn of less than PCA's."""
    split = spectrum_split(context.dataset, context.model.spec.latent_dim)
    rank = latent_spectrum(context.latents(split), split).rank
    directions = directions_of(context.run, context.model, rank)
    result = measure_explained(context.model, context.whole, directions, context.settings.seed)
    warning = explained_warning(result, context.run.settings.network)
    if warning is not None:
        warnings.warn(warning, stacklevel=2)
    return result


def dimension(context: EvaluationContext) -> Result:
    """Return intrinsic dimension and distance contrast (theorem 2) of test items and latents, of a sample of many."""
    items, seed = context.dataset.test.inputs, context.settings.seed
    n = affordable_points(len(items), max(math.prod(items.shape[1:]), context.model.spec.latent_dim))
    clouds = {
        "items": np.asarray(random_items(items, n, seed)).reshape(n, -1),
        "latents": random_items(context.latents("test"), n, seed),
    }
    return {
        "two_nn": {name: two_nn(cloud) for name, cloud in clouds.items()},
        "mle": {name: levina_bickel(cloud) for name, cloud in clouds.items()},
        "known": context.dataset.intrinsic_dimension,
        "distance_contrast": {name: distance_contrast(cloud) for name, cloud in clouds.items()},
        "protocol": {
            "split": "test",
            "n": n,
            "sampled": "all items" if n == len(items) else f"{n} of {len(items)} at random, seed {seed}",
            "two_nn": "linear fit without the largest tenth of the ratios",
            "mle": f"maximum likelihood over {DIMENSION_NEIGHBORS} neighbours, or all of fewer; inverses averaged",
            "distance_contrast": "(largest - smallest distance) / smallest of each point to all others",
        },
    }


def frechet(context: EvaluationContext) -> Result:
    """Return Frechet distances of samples by each density, of reconstructions, and of the other split as the floor."""
    reference, settings = _reference_moments(context), context.settings
    assert settings.samplers is not None
    warn_of_few(settings.n, len(reference.mean), "generated items")
    result: Result = {}
    for sampler in settings.samplers:
        draws = [context.generated(sampler, draw) for draw in range(settings.draws)]
        values = [frechet_distance(Moments.of(features), reference) for features in draws]
        extrapolated = None  # from too few items, the line through the distances has no meaning
        if len(draws[0]) >= 100:
            extrapolated = extrapolated_distance(draws[0], reference, seed=settings.seed)
        result[sampler] = {
            "value": float(np.mean(values)),
            "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
            "values": values,
            "infinity": extrapolated,
            "protocol": _protocol(context, sampler) | {"value": f"mean over {len(values)} draws"},
        }
    generated = {
        "reconstructions": f"reconstructions of the {settings.reference} split",
        "floor": f"{len(context.other_split)} items of the other split, none generated",
    }
    for name, features in _not_sampled(context).items():
        value = frechet_distance(Moments.of(features), reference)
        result[name] = {"value": value, "protocol": _protocol(context) | {"generated": generated[name]}}
    return result


def _reference_moments(context: EvaluationContext) -> Moments:
    moments = Moments.of(context.reference)
    warn_of_few(moments.n, len(moments.mean), f"{context.settings.reference} items")
    return moments


def interpolation(context: EvaluationContext) -> Result:
    """Return the Frechet distance of decoded midpoints of `n` random pairs of test latents (figure 3)."""
    settings, latents = context.settings, context.latents("test")
    first, second = np.random.default_rng(settings.seed).integers(len(latents), size=(2, settings.n))
    midpoints = context.decoded((latents[first] + latents[second]) / 2, "midpoints")
    reference = _reference_moments(context)
    warn_of_few(settings.n, len(reference.mean), "midpoints")
    return {
        "value": frechet_distance(Moments.of(midpoints), reference),
        "protocol": _protocol(context) | {"generated": f"{settings.n} midpoints between random pairs of test items"},
    }


def kernel(context: EvaluationContext) -> Result:
    """Return kernel distances of samples, reconstructions and the other split, by the same features."""
    return {
        name: kernel_distance(features, context.reference, seed=context.settings.seed)
        | {"protocol": _protocol(context, name)}
        for name, features in _compared(context).items()
    }


def unit_kernel(context: EvaluationContext) -> Result:
    """Return discrepancies of samples, reconstructions and the other split, CMMD in the features of CLIP."""
    return {
        name: unit_discrepancy(features, context.reference) | {"protocol": _protocol(context, name) | UNIT_PROTOCOL}
        for name, features in _compared(context).items()
    }


def neighborhoods(context: EvaluationContext) -> Result:
    """Return precision, recall, density and coverage of samples, reconstructions and the other split."""
    return {
        name: precision_recall(context.reference, features)
        | {"protocol": _protocol(context, name) | {"neighbours": NEIGHBORS}}
        for name, features in _compared(context).items()
    }


def _compared(context: EvaluationContext) -> dict[str, Features]:
    samples = {sampler: context.generated(sampler, 0) for sampler in context.settings.samplers or ()}
    return samples | _not_sampled(context)


def _not_sampled(context: EvaluationContext) -> dict[str, Features]:
    reconstructed = {"reconstructions": context.reconstructed} if context.model.spec.encodes else {}
    return reconstructed | {"floor": context.other_split}


def _protocol(context: EvaluationContext, sampler: str | None = None) -> Result:
    """Return the protocol of a comparison of features."""
    settings, images = context.settings, context.dataset.kind == "images"
    assert settings.samplers is not None
    protocol = context.extractor.describe() | {
        "quantisation": "clipped to [0, 1], rounded to uint8" if images else "none, standardised columns",
        "reference": settings.reference,
        "reference n": len(context.reference),
        "data": context.dataset.fingerprint,
        "seed": settings.seed,
    }
    if sampler in settings.samplers:
        protocol |= {"generated": settings.n, "density fitted on": context.described(settings.fit_on)}
        protocol |= context.density(str(sampler)).describe()
    return protocol


def probes(context: EvaluationContext) -> Result:
    """Return accuracies of logistic regression and nearest neighbors on frozen latents, a matter of seconds."""
    chosen = {"counts": _protocol_of_labels(context)["counts"], "seeds": range(context.settings.seeds)}
    with context.progress("probe latents", total_draws(len(context.dataset.train), **chosen)) as advance:
        return probe(*_labeled(context, context.latents), advance=advance, **chosen)


def classification(context: EvaluationContext) -> Result:
    """Return accuracies of the paper's classifier on frozen latents (its table 6)."""
    # As in the authors' code. A model without M has latents only: a VAE's encoder also returns variances.
    before = context.settings.protocol == "authors_code" and context.model.bottleneck.matrix() is not None
    labeled = _labeled(context, lambda split: context.latents(split, before_matrix=before))
    chosen = _protocol_of_labels(context)
    with context.progress("classify latents", total_steps(len(labeled[0]), **chosen)) as advance:
        features = "before M" if before else "the latents"
        return classify(*labeled, features=features, advance=advance, trainings=context.trainings, **chosen)


def supervised_row(context: EvaluationContext) -> Result:
    """Return accuracies of the same classifier trained with a new encoder from the items on."""
    spec = context.model.spec
    chosen = {"max_steps": SUPERVISED_STEPS, **_protocol_of_labels(context)}
    steps = total_steps(len(context.dataset.train), **chosen) * context.settings.seeds
    with context.progress("train from items", steps) as advance:
        return supervised(
            *_labeled(context, lambda split: context.split(split).inputs),
            network=spec.network,
            latent_dim=spec.latent_dim,
            width=spec.width,
            build_encoder=lambda: context.model.build_encoder(spec.latent_dim),
            bfloat16=choose_precision("auto", "cpu", spec.network) == "bfloat16",
            advance=advance,
            trainings=context.trainings,
            **chosen,
        )


def _labeled(context: EvaluationContext, take: Callable[[str], Items]) -> tuple[Items, Any, Items, Any]:
    """Return items and labels of both splits; `take` gives the items of a split by name."""
    return take("train"), context.dataset.train.labels, take("test"), context.dataset.test.labels


def _protocol_of_labels(context: EvaluationContext) -> Result:
    """Return fields of a classification's protocol; a limit on steps of 0 means none."""
    settings = context.settings
    counts = [count if count == "all" else int(count) for count in settings.labels]
    limit = {} if settings.max_steps is None else {"max_steps": settings.max_steps or None}
    return {"counts": counts, "seeds": range(settings.seeds), "protocol": settings.protocol, **limit}


SAMPLED = {"needs_encoder": False, "needs_features": True}

MEASURES = {
    measure.name: measure
    for measure in (
        Measure("reconstruction", "mean squared error on test items", reconstruction),
        Measure("rank", "rank of the latent space by every definition, with intervals", rank),
        Measure("explained", "explained variance of test items, and that of PCA with the same rank", explained),
        Measure("dimension", "intrinsic dimension of items and latents, contrast of distances", dimension),
        Measure("fid", "Frechet distance of samples, reconstructions and the floor", frechet, **SAMPLED),
        Measure("kid", "kernel distance of the same", kernel, **SAMPLED),
        Measure("cmmd", "Gaussian kernel distance of the same, on features of unit norm", unit_kernel, **SAMPLED),
        Measure("prdc", "precision, recall, density and coverage of the same", neighborhoods, **SAMPLED),
        Measure("interpolation", "Frechet distance of decoded midpoints", interpolation, needs_features=True),
        Measure("probe", "logistic regression and nearest neighbors on latents", probes, needs_labels=True),
        Measure("classification", "the paper's classifier on latents", classification, needs_labels=True),
        Measure(
            "supervised", "the same classifier and an encoder from scratch, an hour", supervised_row, True, slow=True
        ),
    )
}
