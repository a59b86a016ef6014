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
    """A row of the table of methods.

    Parameters
    ----------
    name, summary, source : str
        Name in the settings, description in one line, and publication.
    objective : str
        The loss as a formula.
    bottleneck : str, default="identity"
        Key of `lorae.models.bottlenecks.BOTTLENECKS`.
    bottleneck_options : mapping, default={}
        Keyword arguments of the bottleneck.
    weights : mapping of str to float, default={}
        Default weight of each penalty and term of the loss.
    main : str, default=None
        Penalty whose weight the setting `penalty` sets.
    reconstruction : {"mean", "sum"}, default="mean"
        Mean of the error over all entries, or sum over the entries of an item.
    likelihood : {"gaussian", "bernoulli"}, default="gaussian"
        Squared error, or cross-entropy of pixels after a sigmoid (images only).
    noise : float, default=0.0
        Standard deviation of the noise on the input of the encoder, or of a GAN's discriminator.
    warmup : float, default=0.0
        Epochs over which the weights grow to their full value.
    matrix_update : {"adam", "prox"}, default="adam"
        Optimizer of M; `prox` takes proximal steps on its nuclear norm.
    schedule : {"constant", "cosine"}, default="constant"
        Learning rate over time.
    spectral_norm : bool, default=False
        Divide the decoder's weights by their spectral norms.
    adversary : str, default=None
        Key of `lorae.objectives.adversarial.LOSSES`, or `latents`.
    prior : bool, default=False
        Whether training matches the latents to a standard normal.
    encodes : bool, default=True
        False for a generator without an encoder.
    latent_dim, lr, beta1 : int, float, float
        Defaults of the method; None for `latent_dim` means 128.
    revision : int, default=1
        Raised when training changes in a way that no setting shows; records of earlier revisions no longer count.
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
    """Return the rows by name; raise ValueError for a repeated name."""
    by_name: dict[str, Method] = {}
    for row in rows:
        if row.name in by_name:
            raise ValueError(f"method {row.name!r} stands twice in the table")
        by_name[row.name] = row
    return by_name
