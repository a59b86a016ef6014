"""Build the model and the objective of a run from resolved settings."""

import contextlib
import copy
import math
from typing import Any

import torch

from lorae.config.methods import get_method
from lorae.config.resolution import WITH_LINEAR_PATH
from lorae.config.settings import Settings
from lorae.data.dataset import Dataset, even_rows, subsample_evenly
from lorae.isolation import isolated
from lorae.models.autoencoder import Autoencoder, ModelSpec
from lorae.models.linear_path import start_as_principal_components
from lorae.models.own_networks import OwnNetworks
from lorae.objectives.adversarial import build_adversarial_objective
from lorae.objectives.objective import Objective
from lorae.randomness import drawing_from
from lorae.system.hardware import memory_format, set_memory_format
from lorae.system.memory import check_size
from lorae.training.schedule_context import split_training_items

# Training items for `Autoencoder.calibrate`, if the encoder's outputs are normalized.
CALIBRATED = 512

# Residual blocks at each resolution of `resnet`.
DEPTH = 1

# Training items for the principal components that a network starts from, and the largest number of their entries, which
# take 400 MB in float64.
PRINCIPAL, PRINCIPAL_ENTRIES = 10_000, 50_000_000


# Bytes of a parameter in training: its value, gradient and both moments of Adam.
TRAINED = 16


@isolated()
def build(settings: Settings, dataset: Dataset, networks: OwnNetworks | None = None) -> Objective:
    """Build the objective of resolved settings, with its `model`, on the device and in the memory layout of training.

    The seed alone decides the weights, except for modules of the user, which keep theirs; the training items set the
    scaling and the start of some networks.
    """
    model = build_model(settings, dataset, networks).to(settings.device)
    set_memory_format(model, memory_format(settings.device, settings.precision))
    return build_objective(settings, model)


def check_objective(objective: Objective, dataset: Dataset) -> None:
    """Raise LoraeError for a penalty that does not fit the model; uses a copy, so that nothing of the run changes."""
    with isolated(), drawing_from(torch.Generator("cpu"), everything=True):
        trial = copy.deepcopy(objective)
        scaling = trial.model.scaling
        x = scaling(torch.as_tensor(dataset.train.inputs[:2].copy(), device=scaling.scale.device))
        for target in trial.targets():
            target.compute_loss(x)


def model_spec(settings: Settings, dataset: Dataset, networks: OwnNetworks | None = None) -> ModelSpec:
    """Return the specification of the model for resolved settings and the items of a data set."""
    assert settings.network is not None
    assert settings.latent_dim is not None
    method = get_method(settings.method)
    return ModelSpec(
        settings.network,
        dataset.shape,
        settings.latent_dim,
        settings.width,
        method.bottleneck,
        bottleneck_options(settings),
        output="sigmoid" if settings.likelihood == "bernoulli" else "tanh",
        spectral_norm=method.spectral_norm,
        encodes=method.encodes,
        depth=settings.depth or DEPTH,
        tensors=dataset.tensors,
        own=None if networks is None else networks.source(settings.latent_dim),
    )


def bottleneck_options(settings: Settings) -> dict[str, Any]:
    """Return the options of the method's bottleneck: its defaults, at most the latent's size, then the user's."""
    assert settings.latent_dim is not None
    options = dict(get_method(settings.method).bottleneck_options)
    if "rank" in options:
        options["rank"] = min(options["rank"], settings.latent_dim)
    if "groups" in options:
        options["groups"] = math.gcd(options["groups"], settings.latent_dim)
    options |= settings.bottleneck
    if settings.matrix_init is not None:
        options |= {"init": settings.matrix_init, "normalize": settings.normalize}
    return options


@isolated()
def build_model(settings: Settings, dataset: Dataset, networks: OwnNetworks | None = None) -> Autoencoder:
    """Build a model on the CPU; the seed alone decides its weights."""
    spec = model_spec(settings, dataset, networks)
    if networks is None:
        _check_memory(spec)
    model = Autoencoder.initialized(spec, settings.seed, networks)
    if settings.vector_scale != "none":
        model.scaling.fit(dataset.train.inputs, by_columns=settings.vector_scale == "columns")
    if settings.network in WITH_LINEAR_PATH and model.spec.encodes:
        inputs, _ = split_training_items(settings, dataset)
        start_as_principal_components(model, inputs[linear_path_rows(inputs.shape)])
    if settings.normalize not in (None, "none"):
        model.calibrate(subsample_evenly(dataset.train.inputs, CALIBRATED))
    return model


def _check_memory(spec: ModelSpec) -> None:
    """Raise LoraeError, before any memory is taken, for a model whose training needs more than the machine has."""
    # A bottleneck of another, installed package may need values to start.
    with contextlib.suppress(NotImplementedError):
        with torch.device("meta"):
            skeleton = Autoencoder(spec)
        parameters = sum(skeleton.parameter_counts().values())
        check_size(
            TRAINED * parameters,
            f"latent_dim: got {spec.latent_dim:,} with width {spec.width:g}; {parameters:,} parameters in training",
        )


def linear_path_rows(shape: tuple[int, ...]) -> slice:
    """Return the rows of items of a shape (n, ...) that a linear path is computed from: all, unless many or large."""
    return even_rows(shape[0], min(PRINCIPAL, PRINCIPAL_ENTRIES // math.prod(shape[1:])))


def build_objective(settings: Settings, model: Autoencoder) -> Objective:
    """Build the objective of resolved settings for a model, on the device of the model."""
    adversary = get_method(settings.method).adversary
    options: dict[str, Any] = {
        name: getattr(settings, name) for name in ("reconstruction", "likelihood", "noise", "penalty_every")
    }
    options |= {"proximal": settings.matrix_update == "prox", "bfloat16": settings.precision == "bfloat16"}
    if adversary is None:
        return Objective(model, settings.penalties, **options)
    # The seed alone decides these weights too.
    with isolated(), drawing_from(torch.Generator("cpu").manual_seed(settings.seed + 1), everything=True):
        return build_adversarial_objective(adversary, model, settings.penalties, **options)
