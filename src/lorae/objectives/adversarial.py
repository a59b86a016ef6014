"""Objectives with an adversary: on items (GANs) or on latents (adversarial Wasserstein autoencoders)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from lorae.models.autoencoder import Autoencoder
from lorae.models.layers import Linear
from lorae.objectives.objective import LossOutput, Objective, OptimizerTarget
from lorae.randomness import normal, randn_like

# The width of the WAE authors' adversary on latents.
LATENT_WIDTHS = (512, 512, 512)


@dataclass(frozen=True)
class Losses:
    """Losses of generator and adversary as functions of the adversary's scores (n,); high means "real"."""

    generator: Callable[[Tensor], Tensor]
    real: Callable[[Tensor], Tensor]
    false: Callable[[Tensor], Tensor]


# S is the logistic function: softplus(-a) = -log S(a), softplus(a) = -log(1 - S(a)).
NON_SATURATING = Losses(lambda a: softplus(-a).mean(), lambda a: softplus(-a).mean(), lambda a: softplus(a).mean())
LOSSES = {
    "minimax": replace(NON_SATURATING, generator=lambda a: -softplus(a).mean()),
    "non-saturating": NON_SATURATING,
    "least-squares": Losses(
        lambda a: (a - 1).square().mean() / 2, lambda a: (a - 1).square().mean() / 2, lambda a: a.square().mean() / 2
    ),
}


class WAEGANObjective(Objective):
    """An autoencoder whose latents an adversary tries to distinguish from a standard normal (WAE-GAN)."""

    def __init__(self, model: Autoencoder, weights: Mapping[str, float], **options: Any) -> None:
        adversarial = {name: weights[name] for name in ("generator", "discriminator")}
        others = {name: weight for name, weight in weights.items() if name not in adversarial}
        super().__init__(model, others, **options)
        self.weights = {**self.weights, **adversarial}
        self.losses = NON_SATURATING
        widths = pairwise([model.spec.latent_dim, *LATENT_WIDTHS])
        layers = [layer for sizes in widths for layer in (Linear(*sizes), nn.ReLU())]
        adversary = nn.Sequential(*layers, Linear(LATENT_WIDTHS[-1], 1))
        self.modules["adversary"] = adversary.to(model.scaling.scale.device)
        self._latents = torch.empty(0)

    def targets(self) -> list[OptimizerTarget]:
        """Return the autoencoder, then the adversary on the same latents."""
        adversary = OptimizerTarget("adversary", list(self.modules.parameters()), self._compute_adversary_loss)
        return [*super().targets(), adversary]

    def compute_loss(self, x: Tensor, targets: Tensor | None = None) -> LossOutput:
        """Return the loss of the autoencoder."""
        output = super().compute_loss(x, targets)
        self._latents = output.latents.detach()
        generator = {"generator": self.parts.of_items(self.losses.generator(self._score(output.latents)))}
        return LossOutput(output.loss + self.total(generator), output.terms | generator, output.latents)

    def _compute_adversary_loss(self, x: Tensor) -> LossOutput:  # noqa: ARG002 - the latents of this batch are at hand
        scores = self._score(self._latents), self._score(randn_like(self._latents))
        terms = {"discriminator": self.parts.of_items(self.losses.false(scores[0]) + self.losses.real(scores[1]))}
        return LossOutput(self.total(terms), terms, self._latents)

    def _score(self, latents: Tensor) -> Tensor:
        """Return the scores of the latents of this process, of those of the whole batch."""
        return self.parts.apply(self.modules["adversary"], self.parts.own(latents))[:, 0]


class GANObjective(Objective):
    """A generator, which is the decoder on a standard normal, against a discriminator on items (GAN)."""

    def __init__(self, model: Autoencoder, weights: Mapping[str, float], losses: str, **options: Any) -> None:
        super().__init__(model, {}, **options)
        self.weights = dict(weights)
        self.losses = LOSSES[losses]
        # The paper's encoder with a single output.
        discriminator = model.build_encoder(1)
        self.modules["discriminator"] = discriminator.to(model.scaling.scale.device)

    def targets(self) -> list[OptimizerTarget]:
        """Return the discriminator, then the generator, each with its own samples."""
        discriminator, generator = list(self.modules.parameters()), list(self.model.decoder.parameters())
        return [
            OptimizerTarget("discriminator", discriminator, self._compute_adversary_loss),
            OptimizerTarget("generator", generator, self.compute_loss),
        ]

    def compute_loss(self, x: Tensor, targets: Tensor | None = None) -> LossOutput:  # noqa: ARG002 - no reconstruction
        """Return the loss of the generator."""
        z = self._draw(x)
        with self.autocast(x):
            scores = self._score(self.parts.apply(self.model.decoder, z))
        terms = {"generator": self.parts.of_items(self.losses.generator(scores))}
        return LossOutput(self.total(terms), terms, z)

    def _compute_adversary_loss(self, x: Tensor) -> LossOutput:
        z = self._draw(x)
        with self.autocast(x):
            with torch.no_grad():
                generated = self.parts.apply(self.model.decoder, z)
            loss = self.losses.real(self._score(x)) + self.losses.false(self._score(generated))
            terms = {"discriminator": self.parts.of_items(loss)}
        return LossOutput(self.total(terms), terms, z)

    def _draw(self, x: Tensor) -> Tensor:
        with self.parts.drawing():
            return normal(len(x), self.model.spec.latent_dim, device=x.device)

    def _score(self, items: Tensor) -> Tensor:
        # Noise on its inputs keeps the discriminator from saturating (arXiv:1701.04862): not needed by ns-gan and
        # ls-gan, but without noise the minimax generator has no gradient after a hundred steps.
        with self.parts.drawing():
            noisy = items + self.noise * randn_like(items) if self.noise > 0 else items
        return self.parts.apply(self.modules["discriminator"], noisy)[:, 0].float()


def build_adversarial_objective(
    adversary: str, model: Autoencoder, weights: Mapping[str, float], **options: Any
) -> Objective:
    """Build the objective of a method with an adversary: on latents, or on items with one of `LOSSES`."""
    if adversary == "latents":
        return WAEGANObjective(model, weights, **options)
    return GANObjective(model, weights, adversary, **options)
