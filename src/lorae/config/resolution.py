"""Resolve the settings that the method and the data decide, and check that they fit each other."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from math import prod

from lorae.config.datasets import default_epochs, get_defaults
from lorae.config.methods import TERMS, Method, get_method
from lorae.config.settings import AUTO, RANK_GOALS, Settings
from lorae.errors import LoraeError
from lorae.penalties import matrix_penalties, penalty_names

# Networks that start as the PCA of the training items.
WITH_LINEAR_PATH = ("residual", "linear")

# Networks for the items of each kind, besides those of the user.
NETWORKS = {
    "vectors": ("mlp", "residual", "linear"),
    "images": ("mnist", "celeba", "resnet", "residual", "linear"),
    "tensors": ("linear",),
}

# Networks that halve the sides of images three times, without a rest.
SIDE_MULTIPLE, OF_THESE_SIDES = 8, ("mnist", "celeba", "residual")

# Patience by default, as a share of the default number of epochs: 200 steps of few items, 5 epochs of many,
# in which the loss of a training that still learns falls in spite of its noise.
PATIENT = 0.1


def resolve(settings: Settings, data_kind: str, data_shape: Iterable[int]) -> Settings:
    """Return the settings with a value for every None that the method or the data decides.

    `data_kind` is images, vectors or tensors. Raises LoraeError where method, network and data do not fit together.
    """
    method, data = get_method(settings.method), get_defaults(settings.data)
    _check_method_options(settings, method)
    _check_rank(settings, method)
    _check_epochs(settings, method)
    _check_penalty(settings, method)
    shape, images = tuple(data_shape), data_kind == "images"
    # The range of a user's decoder is not known: a likelihood of pixels has to be chosen.
    default = method.likelihood if images and not settings.own_network else "gaussian"
    likelihood = settings.likelihood or default
    if likelihood == "bernoulli" and not images:
        raise LoraeError(f"likelihood: got 'bernoulli', expected gaussian for {data_kind}")
    network = settings.network or _default_network(method, data.network, likelihood, data_kind)
    if likelihood == "bernoulli" and network in WITH_LINEAR_PATH:
        raise LoraeError(
            f"network: got {network!r} with likelihood bernoulli, whose pixels need a last sigmoid that a linear path "
            "has not; choose likelihood='gaussian' or another network",
            settings={"likelihood": "gaussian"},
        )
    fitting = NETWORKS[data_kind]
    if network not in fitting and not settings.own_network:
        raise LoraeError(f"network: got {network!r}, expected one of {', '.join(fitting)} for {data_kind}, or your own")
    if settings.depth is not None and network != "resnet":
        raise LoraeError(f"depth: got {settings.depth}, but network {network!r} has none; expected network=resnet")
    if images and network in OF_THESE_SIDES:
        _check_sides(network, *shape[1:])
    latent_dim = settings.latent_dim or min(method.latent_dim or 128, 128 if images else prod(shape))
    if isinstance(settings.rank, int) and settings.rank > latent_dim:
        raise LoraeError(f"rank: got {settings.rank}, expected at most {latent_dim}, the latent's dimension")
    penalties = _resolve_penalties(settings, method, data.penalty)
    matrix_update = settings.matrix_update or method.matrix_update
    _check_penalty_every(settings, penalties, matrix_update)
    return dataclasses.replace(
        settings,
        network=network,
        latent_dim=latent_dim,
        epochs=settings.epochs or data.epochs,
        matrix_init=_matrix_option(method, "init", settings.matrix_init, "default"),
        normalize=_resolve_normalization(settings, method, network),
        matrix_update=matrix_update,
        schedule=settings.schedule or method.schedule,
        penalty=None,
        penalties=penalties,
        lr=settings.lr or method.lr,
        penalty_warmup=method.warmup if settings.penalty_warmup is None else settings.penalty_warmup,
        reconstruction=settings.reconstruction or method.reconstruction,
        likelihood=likelihood,
        noise=method.noise if settings.noise is None else settings.noise,
    )


def with_epochs(settings: Settings, steps_per_epoch: int) -> Settings:
    """Return settings with the default number of epochs, or the default patience, where none is given."""
    epochs = default_epochs(settings.data, steps_per_epoch)
    if settings.epochs == AUTO:
        return dataclasses.replace(settings, patience=settings.patience or math.ceil(PATIENT * epochs))
    return dataclasses.replace(settings, epochs=settings.epochs or epochs)


def _default_network(method: Method, network_of_data: str | None, likelihood: str, kind: str) -> str:
    """Return the network of named data, or for user data one that starts as PCA if the method allows a linear path."""
    if network_of_data is not None:
        return network_of_data
    if kind == "tensors":
        raise LoraeError(
            "network: none is built in for tensors but linear (PCA); pass encoder= and decoder=, or "
            "network=FILE.py:NAME of a function that makes them",
            settings={"network": "FILE.py:NAME"},
        )
    linear_path = method.encodes and not method.spectral_norm and likelihood == "gaussian"
    return "residual" if linear_path else "mlp" if kind == "vectors" else "mnist"


def _check_sides(network: str, height: int, width: int) -> None:
    if height % SIDE_MULTIPLE or width % SIDE_MULTIPLE:
        advice = -(-max(height, width) // SIDE_MULTIPLE) * SIDE_MULTIPLE
        raise LoraeError(
            f"size: images of {height}x{width} pixels, expected sides that are multiples of {SIDE_MULTIPLE} for the "
            f"network {network}; pass size={advice}, or network=resnet, which takes any",
            settings={"size": advice, "network": "resnet"},
        )


def _check_method_options(settings: Settings, method: Method) -> None:
    for option in ("matrix_init", "normalize"):
        if getattr(settings, option) is not None and method.bottleneck != "linear":
            raise LoraeError(f"{option}: got {getattr(settings, option)!r}, but method {method.name!r} has no matrix M")
    for name in settings.bottleneck:
        if name not in method.bottleneck_options:
            takes = ", ".join(option for option in method.bottleneck_options if option != "init") or "none"
            raise LoraeError(f"bottleneck.{name}: method {method.name!r} has no such option; it has {takes}")
    terms = set(TERMS) - set(method.weights)
    for name in settings.penalties:
        if name in terms or (not method.encodes and name not in method.weights):
            own = ", ".join(method.weights) or "none"
            raise LoraeError(f"penalties.{name}: method {method.name!r} has no such term; its own are {own}")


def _check_rank(settings: Settings, method: Method) -> None:
    goals = {name: getattr(settings, name) for name in RANK_GOALS if getattr(settings, name) is not None}
    first, second = [*goals, None, None][:2]
    if second is not None:
        raise LoraeError(f"{second}: got {goals[second]!r} beside {first}, expected one of them")
    proximal = (settings.matrix_update or method.matrix_update) == "prox"
    if first is not None and not proximal:
        raise LoraeError(
            f"{first}: got {goals[first]!r}, which needs an exact rank; use method='lorae+', or "
            "matrix_update='prox' with the method lorae",
            settings={"method": "lorae+", "matrix_update": "prox"},
        )
    if settings.penalty_path is not None and settings.penalty is not None:
        raise LoraeError(f"penalty: got {settings.penalty:g} beside penalty_path, whose points take its place")
    if settings.penalty_path is not None and settings.penalties.get("nuclear") == 0.0:
        raise LoraeError("penalties.nuclear: got 0 beside penalty_path, whose points take its place; leave it out")
    if proximal and (method.bottleneck != "linear" or "nuclear" not in method.weights):
        raise LoraeError(f"matrix_update: got 'prox', but method {method.name!r} has no nuclear norm to minimize")


def can_hold_out(settings: Settings, method: Method) -> bool:
    """Return whether the loss of held-out items can end a training: not beside an adversary or a choice of the rank."""
    return method.adversary is None and method.encodes and not settings.measures_ranks


def has_pca_floor(settings: Settings, kind: str) -> bool:
    """Return whether a training ends as the PCA of its items unless it is better on held-out ones: few overfit.

    It chooses its own end, and PCA is a model of its kind: a linear path, one matrix M, no penalty but that of M.
    """
    method = get_method(settings.method)
    one_matrix = method.bottleneck == "linear" and method.bottleneck_options.get("layers", 1) == 1
    of_matrix = all(name == "nuclear" for name, weight in settings.penalties.items() if weight > 0)
    return settings.epochs == AUTO and settings.network == "residual" and kind == "vectors" and one_matrix and of_matrix


def _check_epochs(settings: Settings, method: Method) -> None:
    if settings.patience is not None and settings.epochs != AUTO:
        raise LoraeError(
            f"patience: got {settings.patience}, which needs epochs='auto', got {settings.epochs or 'none'}",
            settings={"epochs": AUTO},
        )
    if settings.epochs != AUTO or can_hold_out(settings, method):
        return
    reason = f"method {method.name!r}, whose loss has an adversary and need not fall"
    if settings.measures_ranks:
        goal = next(name for name in RANK_GOALS if getattr(settings, name) is not None)
        reason = f"{goal}, which divides a given number of steps among ranks or penalties"
    raise LoraeError(f"epochs: got 'auto' beside {reason}; expected a whole number")


def _check_penalty(settings: Settings, method: Method) -> None:
    if settings.penalty is None:
        return
    if method.main is None:
        example = {"nuclear": settings.penalty}
        raise LoraeError(
            f"penalty: got {settings.penalty:g}, but method {method.name!r} has no penalty of its own; "
            f"name one, as in penalties={example}",
            settings={"penalties": example},
        )
    if method.main in settings.penalties:
        raise LoraeError(
            f"penalty: got {settings.penalty:g} and penalties.{method.main} "
            f"{settings.penalties[method.main]:g}, which are the same weight; expected one of them"
        )


def _check_penalty_every(settings: Settings, weights: Mapping[str, float], matrix_update: str) -> None:
    proximal = matrix_update == "prox"
    if settings.penalty_every > 1 and not matrix_penalties(weights, proximal=proximal):
        held = matrix_penalties(penalty_names(), proximal=proximal)
        raise LoraeError(
            f"penalty_every: got {settings.penalty_every}, but method {settings.method!r} has no penalty whose slope "
            f"could be held, one of {', '.join(held)}; expected 1"
        )


def _matrix_option(method: Method, option: str, chosen: str | None, default: str) -> str | None:
    if method.bottleneck != "linear":
        return None
    resolved: str = chosen or method.bottleneck_options.get(option, default)
    return resolved


def _resolve_normalization(settings: Settings, method: Method, network: str) -> str | None:
    normalize = _matrix_option(method, "normalize", settings.normalize, "none")
    layers = method.bottleneck_options.get("layers", 1)
    if network in WITH_LINEAR_PATH and normalize not in (None, "none") and layers != 1:
        raise LoraeError(
            f"normalize: got {normalize!r} with network {network}, which starts as PCA with one matrix M, but "
            f"method {method.name!r} has {layers}; expected none"
        )
    return normalize


def _resolve_penalties(settings: Settings, method: Method, penalty_of_data: float) -> dict[str, float]:
    weights = dict(method.weights)
    if method.main == "nuclear":
        weights["nuclear"] = penalty_of_data
    if method.main is not None and settings.penalty is not None:
        weights[method.main] = settings.penalty
    return weights | settings.penalties
