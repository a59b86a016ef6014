"""The table of measures, functions from an `EvaluationContext` to plain values with their protocol."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lorae.evaluation.classification import classify, probe, supervised, total_draws, total_steps
from lorae.evaluation.classification.supervised import MAX_STEPS as SUPERVISED_STEPS
from lorae.evaluation.context import EvaluationContext, Features
from lorae.evaluation.figures import measure_reconstruction
from lorae.metrics.frechet import Moments, extrapolated_distance, frechet_distance, warn_of_few
from lorae.metrics.intrinsic_dimension import NEIGHBORS as DIMENSION_NEIGHBORS
from lorae.metrics.intrinsic_dimension import distance_contrast, levina_bickel, two_nn
from lorae.metrics.kernel import kernel_distance
from lorae.metrics.prdc import NEIGHBORS, precision_recall
from lorae.metrics.spectrum import TOLERANCES, bootstrap_ranks, latent_spectrum
from lorae.system.hardware import choose_precision

Result = dict[str, Any]


@dataclass(frozen=True)
class Measure:
    """A row of the table.

    name: name in `lorae evaluate --only`
    summary: description in a few words
    needs_labels, needs_encoder, needs_features: whether it needs labeled data, an encoder, a network for features
    slow: whether it is taken only if named
    """

    name: str
    summary: str
    take: Callable[[EvaluationContext], Result]
    needs_labels: bool = False
    needs_encoder: bool = True
    needs_features: bool = False
    slow: bool = False


def reconstruction(context: EvaluationContext) -> Result:
    """Return the mean squared error on the test split."""
    return measure_reconstruction(context.model, context.dataset)


def rank(context: EvaluationContext) -> Result:
    """Return the rank of the latent space by every definition, with bootstrap intervals over the test items."""
    latents, settings = context.latents("test"), context.settings
    matrix_rank = context.model.matrix_rank()
    matrix_ranks = {f"{tolerance:g}": context.model.matrix_rank(tolerance) for tolerance in TOLERANCES}
    return latent_spectrum(latents, "test").to_json() | {
        "matrix_rank": matrix_rank,
        "matrix_ranks": None if matrix_rank is None else matrix_ranks,
        "interval": bootstrap_ranks(latents, resamples=settings.bootstrap, seed=settings.seed),
    }


def dimension(context: EvaluationContext) -> Result:
    """Return intrinsic dimension and distance contrast (theorem 2) of test items and latents."""
    items, latents = context.dataset.test.inputs, context.latents("test")
    flat = np.asarray(items).reshape(len(items), -1)
    known = context.dataset.intrinsic_dimension
    return {
        "two_nn": {"items": two_nn(flat), "latents": two_nn(latents)},
        "mle": {"items": levina_bickel(flat), "latents": levina_bickel(latents)},
        "known": known,
        "distance_contrast": {"items": distance_contrast(flat), "latents": distance_contrast(latents)},
        "protocol": {
            "split": "test",
            "n": len(items),
            "two_nn": "linear fit without the largest tenth of the ratios",
            "mle": f"maximum likelihood over {DIMENSION_NEIGHBORS} neighbours, or all of fewer; inverses averaged",
            "distance_contrast": "(largest - smallest distance) / smallest of each point to all others",
        },
    }


def frechet(context: EvaluationContext) -> Result:
    """Return Frechet distances of samples by each density, of reconstructions, and of the other split as the floor."""
    reference = _reference_moments(context)
    settings = context.settings
    assert settings.samplers is not None
    warn_of_few(settings.n, len(reference.mean), "generated items")
    result: Result = {}
    for sampler in settings.samplers:
        draws = [context.generated(sampler, draw) for draw in range(settings.draws)]
        values = [frechet_distance(Moments.of(features), reference) for features in draws]
        result[sampler] = {
            "value": float(np.mean(values)),
            "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
            "values": values,
            "infinity": _extrapolated(draws[0], reference, settings.seed),
            "protocol": _protocol(context, sampler) | {"value": f"mean over {len(values)} draws"},
        }
    protocol = _protocol(context)
    if context.model.spec.encodes:
        result["reconstructions"] = {
            "value": frechet_distance(Moments.of(context.reconstructed), reference),
            "protocol": protocol | {"generated": f"reconstructions of the {settings.reference} split"},
        }
    floor = context.other_split
    result["floor"] = {
        "value": frechet_distance(Moments.of(floor), reference),
        "protocol": protocol | {"generated": f"{len(floor)} items of the other split, none generated"},
    }
    return result


def _extrapolated(features: Features, reference: Moments, seed: int) -> Result | None:
    if len(features) < 100:  # too few for a meaningful line through distances
        return None
    found = extrapolated_distance(features, reference, seed=seed)
    return {"value": found.value, "sizes": found.sizes, "distances": found.distances}


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
    result = {}
    for name, features in _compared(context).items():
        distance = kernel_distance(features, context.reference, seed=context.settings.seed)
        result[name] = asdict(distance) | {"protocol": _protocol(context, name)}
    return result


def neighborhoods(context: EvaluationContext) -> Result:
    """Return precision, recall, density and coverage of samples, reconstructions and the other split."""
    result: Result = {}
    for name, features in _compared(context).items():
        protocol = _protocol(context, name) | {"neighbours": NEIGHBORS}
        result[name] = precision_recall(context.reference, features) | {"protocol": protocol}
    return result


def _compared(context: EvaluationContext) -> dict[str, Features]:
    samples = {sampler: context.generated(sampler, 0) for sampler in context.settings.samplers or ()}
    reconstructed = {"reconstructions": context.reconstructed} if context.model.spec.encodes else {}
    return samples | reconstructed | {"floor": context.other_split}


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
        protocol |= {"generated": settings.n, "density fitted on": settings.fit_on}
        protocol |= context.density(str(sampler)).describe()
    return protocol


def probes(context: EvaluationContext) -> Result:
    """Return accuracies of logistic regression and nearest neighbors on frozen latents, a matter of seconds."""
    train, test = context.dataset.train, context.dataset.test
    chosen: Result = {"counts": _counts(context), "seeds": range(context.settings.seeds)}
    with context.progress("probe latents", total_draws(len(train), **chosen)) as advance:
        return probe(
            context.latents("train"),
            train.labels,
            context.latents("test"),
            test.labels,
            advance=advance,
            **chosen,
        )


def classification(context: EvaluationContext) -> Result:
    """Return accuracies of the paper's classifier on frozen latents (its table 6)."""
    settings = context.settings
    train, test = context.dataset.train, context.dataset.test
    # As in the authors' code. A model without M has latents only: a VAE's encoder also returns variances.
    before = settings.protocol == "authors_code" and context.model.bottleneck.matrix() is not None
    latents = context.latents_before_matrix if before else context.latents
    chosen: Result = {"counts": _counts(context), "protocol": settings.protocol, **_steps(context)}
    with context.progress("classify latents", total_steps(len(train), **chosen)) as advance:
        return classify(
            latents("train"),
            train.labels,
            latents("test"),
            test.labels,
            seeds=range(settings.seeds),
            features="before M" if before else "the latents",
            advance=advance,
            trainings=context.trainings,
            **chosen,
        )


def supervised_row(context: EvaluationContext) -> Result:
    """Return accuracies of the same classifier trained with a new encoder from the items on."""
    settings, spec = context.settings, context.model.spec
    train, test = context.dataset.train, context.dataset.test
    chosen: Result = {"counts": _counts(context), "protocol": settings.protocol}
    chosen |= {"max_steps": SUPERVISED_STEPS, **_steps(context)}
    steps = total_steps(len(train), **chosen) * settings.seeds
    with context.progress("train from items", steps) as advance:
        return supervised(
            train.inputs,
            train.labels,
            test.inputs,
            test.labels,
            network=spec.network,
            latent_dim=spec.latent_dim,
            width=spec.width,
            seeds=range(settings.seeds),
            bfloat16=choose_precision("auto", "cpu", spec.network) == "bfloat16",
            advance=advance,
            trainings=context.trainings,
            **chosen,
        )


def _counts(context: EvaluationContext) -> list[int | str]:
    return [count if count == "all" else int(count) for count in context.settings.labels]


def _steps(context: EvaluationContext) -> Result:
    """Return the limit on steps if one is set; 0 means none."""
    limit = context.settings.max_steps
    return {} if limit is None else {"max_steps": limit or None}


SAMPLED = {"needs_encoder": False, "needs_features": True}

MEASURES = {
    measure.name: measure
    for measure in (
        Measure("reconstruction", "mean squared error on test items", reconstruction),
        Measure("rank", "rank of the latent space by every definition, with intervals", rank),
        Measure("dimension", "intrinsic dimension of items and latents, contrast of distances", dimension),
        Measure("fid", "Frechet distance of samples, reconstructions and the floor", frechet, **SAMPLED),
        Measure("kid", "kernel distance of the same", kernel, **SAMPLED),
        Measure("prdc", "precision, recall, density and coverage of the same", neighborhoods, **SAMPLED),
        Measure("interpolation", "Frechet distance of decoded midpoints", interpolation, needs_features=True),
        Measure("probe", "logistic regression and nearest neighbors on latents", probes, needs_labels=True),
        Measure("classification", "the paper's classifier on latents", classification, needs_labels=True),
        Measure(
            "supervised",
            "the same classifier and an encoder from scratch, an hour",
            supervised_row,
            needs_labels=True,
            slow=True,
        ),
    )
}
