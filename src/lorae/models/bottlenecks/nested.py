"""Nested dropout: latents cut after a random coordinate, so that the first ones carry the most."""

import torch
from torch import Tensor

from lorae.models.bottlenecks.base import Bottleneck, Latent, check_option
from lorae.randomness import uniform


class NestedBottleneck(Bottleneck):
    """z = the first k coordinates of h and zeros in training, with a new k for each item; z = h in evaluation.

    k is geometric, at most latent_dim: after each coordinate the item ends with probability `rate`. By default that
    is 4 / latent_dim, with which k is a quarter of the latent on average.
    Source: Rippel et al., ICML 2014 (arXiv:1402.0915); without the freezing of units that have converged.
    """

    def __init__(self, latent_dim: int, rate: float | None = None) -> None:
        super().__init__(latent_dim)
        self.rate = min(1.0, 4 / latent_dim) if rate is None else rate
        check_option(0 < self.rate <= 1, "rate", self.rate, "above 0 and at most 1")

    def forward(self, h: Tensor) -> Latent:
        """Return the latent of h, float32 (n, latent_dim)."""
        if not self.training:
            return Latent(h)
        # Coordinate i, counted from 0, is kept with probability (1 - rate)^i: a uniform number below that.
        coordinates = torch.arange(self.latent_dim, dtype=torch.float32, device=h.device)
        return Latent(h * (uniform(len(h), 1, device=h.device) < (1 - self.rate) ** coordinates))
