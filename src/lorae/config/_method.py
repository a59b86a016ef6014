"""A row of the table of methods, and the loss terms that are not penalties."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

# Loss terms of bottlenecks and adversaries, weighted by the same settings as penalties.
TERMS = {
    "kl": "Kullback-Leibler divergence of the posterior from the standard normal, nats an item",
    "commitment": "squared distance of the encoder's outputs from their codes",
    "unused_codes": "share of the codebook that is not in use; measured only",
    "generator": "loss of the generator, or of the encoder, against the adversary",
    "discriminator": "loss of the adversary",
}


@dataclass(frozen=True)
class Method:
    """A row of the table of methods."""

    name: str
    summary: str  # one line
    source: str  # publication
    objective: str  # the loss as a formula, in plain text
    bottleneck: str = "identity"  # key of `lorae.models.bottlenecks.BOTTLENECKS`
    bottleneck_options: Mapping[str, Any] = field(default_factory=dict)  # keyword arguments of the bottleneck
    weights: Mapping[str, float] = field(default_factory=dict)  # default weight of each penalty and term of the loss
    main: str | None = None  # the penalty whose weight the setting `penalty` sets
    reconstruction: str = "mean"  # of the error over all entries, or `sum` over the entries of an item
    likelihood: str = "gaussian"  # squared error, or `bernoulli`: cross-entropy of pixels after a sigmoid (images only)
    noise: float = 0.0  # standard deviation on the input of the encoder, or of a GAN's discriminator
    warmup: float = 0.0  # epochs over which the weights grow to their full value
    matrix_update: str = "adam"  # optimizer of M, or `prox`: proximal steps on its nuclear norm
    schedule: str = "constant"  # learning rate over time, or `cosine`
    spectral_norm: bool = False  # whether to divide the decoder's weights by their spectral norms
    adversary: str | None = None  # key of `lorae.objectives.adversarial.LOSSES`, or `latents`
    prior: bool = False  # whether training matches the latents to a standard normal
    encodes: bool = True  # False for a generator without an encoder
    latent_dim: int | None = None  # default of the setting; None means 128
    lr: float = 1e-3  # default of the setting
    beta1: float = 0.9  # of Adam
    equation: str = ""  # the loss for the documentation: Markdown, with LaTeX between dollar signs
    revision: int = 1  # raised when training changes in a way that no setting shows: earlier records no longer count


def table(rows: Iterable[Method]) -> dict[str, Method]:
    """Return the rows by name; raise ValueError for a repeated name."""
    by_name: dict[str, Method] = {}
    for row in rows:
        if row.name in by_name:
            raise ValueError(f"method {row.name!r} is in the table twice")
        by_name[row.name] = row
    return by_name
