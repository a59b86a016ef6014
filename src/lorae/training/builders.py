"""Build the model and the objective of a run from resolved settings."""

import math
from typing import Any

import torch

from lorae.config.methods import get_method
from lorae.config.settings import Settings
from lorae.data.dataset import Dataset, subsample_evenly
from lorae.models.autoencoder import Autoencoder, ModelSpec
from lorae.objectives.adversarial import build_adversarial_objective
from lorae.objectives.objective import Objective

# Training items by which the encoder's outputs start at a deviation of one, where they are normalised.
CALIBRATED = 512


# Training items whose principal components a residual network starts from.
PRINCIPAL = 10_000


def model_spec(settings: Settings, shape: tuple[int, ...]) -> ModelSpec:
    """The model that resolved settings and the shape of an item ask for."""
    assert settings.network is not None
    assert settings.latent_dim is not None
    method = get_method(settings.method)
    return ModelSpec(
        settings.network,
        shape,
        settings.latent_dim,
        settings.width,
        method.bottleneck,
        bottleneck_options(settings),
        output="sigmoid" if settings.likelihood == "bernoulli" else "tanh",
        spectral_norm=method.spectral_norm,
        encodes=method.encodes,
    )


def bottleneck_options(settings: Settings) -> dict[str, Any]:
    """The options of the method's bottleneck, its sizes cut to the latent's, with those that the user set."""
    assert settings.latent_dim is not None
    options = dict(get_method(settings.method).bottleneck_options)
    if "rank" in options:
        options["rank"] = min(options["rank"], settings.latent_dim)
    if "groups" in options:
        options["groups"] = math.gcd(options["groups"], settings.latent_dim)
    options |= settings.bottleneck
    if settings.matrix_init is not None:
        options |= {"init": settings.matrix_init, "normalise": settings.normalise}
    return options


def build_model(settings: Settings, dataset: Dataset) -> Autoencoder:
    """A freshly initialised model; the seed alone decides its weights, and torch's own generator is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(settings.seed)  # torch.manual_seed would reseed every GPU as well
        model = Autoencoder(model_spec(settings, dataset.shape))
    model.scaling.fit(dataset.train.inputs, by_columns=settings.vector_scale == "columns")
    if settings.network == "residual" and model.spec.encodes:
        model.start_as_principal_components(subsample_evenly(dataset.train.inputs, PRINCIPAL))
    if settings.normalise not in (None, "none"):
        model.calibrate(subsample_evenly(dataset.train.inputs, CALIBRATED))
    return model


def build_objective(settings: Settings, model: Autoencoder) -> Objective:
    """The objective that resolved settings ask for."""
    adversary = get_method(settings.method).adversary
    options: dict[str, Any] = {
        "reconstruction": settings.reconstruction,
        "likelihood": settings.likelihood,
        "noise": settings.noise,
        "proximal": settings.matrix_update == "prox",
        "penalty_every": settings.penalty_every,
        "bfloat16": settings.precision == "bfloat16",
    }
    if adversary is None:
        return Objective(model, settings.penalties, **options)
    with torch.random.fork_rng(devices=[]):  # as the model's weights: decided by the seed, and by nothing else
        torch.default_generator.manual_seed(settings.seed + 1)
        return build_adversarial_objective(adversary, model, settings.penalties, **options)
