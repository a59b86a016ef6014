"""A row of the table of methods, and the loss terms that are not penalties."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

# Loss terms that bottlenecks and adversaries give by themselves; weighted by the same flags as penalties.
TERMS = {
    "kl": "Kullback-Leibler divergence of the posterior from the standard normal, nats an item",
    "commitment": "squared distance of the encoder's outputs from their codes",
    "unused_codes": "share of the codebook that is not in use; measured only",
    "generator": "what the generator, or the encoder, pays for being told apart",
    "discriminator": "what the adversary pays for being fooled",
}


@dataclass(frozen=True)
class Method:
    """A row of the zoo.

    objective: the loss, written out. bottleneck: key of `lorae.models.bottlenecks.BOTTLENECKS`; bottleneck_options: its
    keyword arguments. weights: penalty or term -> default weight; main: the one that `--penalty W` sets.
    reconstruction: `mean` over all entries, or `sum` over an item. likelihood: `gaussian` (squared error) or
    `bernoulli` (cross-entropy of pixels, with a sigmoid at the end; images only). noise: standard deviation of what
    is added to the input of the encoder, or of a GAN's discriminator. warmup: epochs over which the weights grow.
    matrix_update: `adam`, or `prox` for proximal steps on the nuclear norm of M. schedule: of the learning rate.
    spectral_norm: divide the decoder's weights by their spectral norms. adversary: a key of
    `lorae.objectives.adversarial.LOSSES`, or `latents`. prior: latents are drawn towards the standard normal.
    encodes: False for a generator alone.
    latent_dim, lr, beta1: where 128, 1e-3, 0.9 do not fit. revision: raised when its training changes in a way that no
    setting shows; records of what was trained before then no longer count.
    """

    name: str
    summary: str
    source: str
    objective: str
    bottleneck: str = "identity"
    bottleneck_options: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    main: str | None = None
    reconstruction: str = "mean"
    likelihood: str = "gaussian"
    noise: float = 0.0
    warmup: float = 0.0
    matrix_update: str = "adam"
    schedule: str = "constant"
    spectral_norm: bool = False
    adversary: str | None = None
    prior: bool = False
    encodes: bool = True
    latent_dim: int | None = None
    lr: float = 1e-3
    beta1: float = 0.9
    revision: int = 1


def table(rows: Iterable[Method]) -> dict[str, Method]:
    """Rows by name; refuses a name that stands twice."""
    by_name: dict[str, Method] = {}
    for row in rows:
        if row.name in by_name:
            raise ValueError(f"method {row.name!r} stands twice in the table")
        by_name[row.name] = row
    return by_name
