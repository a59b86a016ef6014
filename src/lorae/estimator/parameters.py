"""Parameters of the estimator as settings of a training."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae import validation as rules
from lorae.config.resolution import resolve
from lorae.config.settings import ARRAY, Settings
from lorae.data import subsample_evenly
from lorae.errors import LoraeError
from lorae.estimator.inputs import seed_of
from lorae.metrics.ranks import rank_at
from lorae.system.hardware import choose_device, choose_precision
from lorae.training.builders import PRINCIPAL

# Steps of a fit by default: enough for the error of some thousand vectors to settle, some seconds on a CPU.
STEPS = 3000

BATCH_SIZE = 128
# Few items are trained on in at least this many batches, of at least this size: smaller batches are cheaper, and their
# noise keeps a network from memorizing the items.
BATCHES, SMALLEST_BATCH = 4, 16
# Learning rate by kind of item, for that batch size: three times the paper's for vectors, whose networks are shallow.
LEARNING_RATES = {"vectors": 3e-3, "images": 1e-3}

# Linear directions of vectors below this share of the largest are rounding.
NULL_DIRECTIONS = 1e-4
# The paper's width of the latent.
WIDEST = 128


def settings_of(parameters: Mapping[str, Any], shape: tuple[int, ...]) -> Settings:
    """Return settings for items of a shape (n, ...), from the parameters of LoRAE, checked as on the command line."""
    rules.optional(rules.real(0.0, 1.0)).check("noise", parameters["noise"], _origin("noise"))
    kind = "vectors" if len(shape) == 2 else "images"
    asked = {name: parameters[name] for name in ("penalty", "latent_dim", "batch_size", "epochs", "lr", "device")}
    asked |= {
        "data": ARRAY,
        "method": "lorae+",
        "rank": _wanted_rank(parameters["rank"], parameters["n_components"]),
        "normalize": "coordinates",  # the unit of the noise
        "network": "residual",
        "vector_scale": "none",  # items are in units of their deviations already
        "lr": LEARNING_RATES[kind] if asked["lr"] is None else asked["lr"],
        "seed": seed_of(parameters["random_state"]),
    }
    settings = Settings.from_values(asked, _origin)
    folds = folds_of(parameters["validation_fraction"])
    batch_size = min(settings.batch_size, max(SMALLEST_BATCH, shape[0] // BATCHES))
    epochs = settings.epochs
    if not isinstance(epochs, int):  # each fit chooses its end by held-out items, within these
        epochs = math.ceil(STEPS / math.ceil((1 - 1 / folds) * shape[0] / batch_size))
    return dataclasses.replace(settings, batch_size=batch_size, epochs=epochs)


def folds_of(validation_fraction: Any) -> int:
    """Return the number of folds, of which one is held out, for the share of the items that is asked for."""
    rule = rules.real(0.001, 1 / 3)  # three folds: a network of few items is trained without two of them
    share: float = rule.check("validation_fraction", validation_fraction, _origin("validation_fraction"))
    return round(1 / share)


def with_width(settings: Settings, items: NDArray[Any]) -> Settings:
    """Return resolved settings for items as networks take them.

    For vectors the width is a given rank or the number of linear directions, which no code needs to exceed.
    """
    images = items.ndim > 2
    if not images:
        most = items.shape[1]
        values = np.linalg.svd(subsample_evenly(items, PRINCIPAL), compute_uv=False)
        wanted = settings.rank if isinstance(settings.rank, int) else 1
        width = max(min(rank_at(values, NULL_DIRECTIONS), WIDEST), min(wanted, most))
        width = settings.latent_dim or width
        if width > most:
            raise LoraeError(f"latent_dim: got {width}, expected at most {most}, the number of features")
        settings = dataclasses.replace(settings, latent_dim=width)
    resolved = resolve(settings, "images" if images else "vectors", items.shape[1:])
    assert resolved.network is not None
    device = choose_device(resolved.device, _origin("device"))
    return resolved.with_machine(device, choose_precision("auto", device, resolved.network))


def _wanted_rank(rank: Any, n_components: Any) -> int | float | str:
    """Return the rank that is asked for, under either of its names."""
    rule = rules.wanted_rank()
    wanted: int | float | str = rule.check("rank", rank, _origin("rank"))
    if n_components is None:
        return wanted
    components: int | float | str = rule.check("n_components", n_components, _origin("n_components"))
    if wanted not in ("auto", components):
        raise LoraeError(
            f"n_components: got {n_components!r} and rank={rank!r}, expected one of them: both are the width of codes"
        )
    return components


def _origin(name: str) -> str:
    return f"parameter {name} of LoRAE"
