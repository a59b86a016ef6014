"""Bottleneck of a variational autoencoder whose Gaussian posteriors are transformed by planar flows."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from lorae.models.bottlenecks.base import Latent, check_option
from lorae.models.bottlenecks.gaussian import GaussianBottleneck, divergence, draw, posterior


class FlowBottleneck(GaussianBottleneck):
    """z = f(mean + deviation * noise) in training, z = f(mean) in evaluation, where h = (mean, log-variance).

    f is a chain of `layers` maps z + u tanh(w z + b), whose u, w and b are the same for all items. `kl`: estimate, from
    the one sample, of the divergence of the transformed posterior from N(0, 1), summed over dimensions, mean over the
    batch. Source: Rezende and Mohamed, ICML 2015 (arXiv:1505.05770), section 4 and appendix A.1, which moves u so that
    each map is invertible; b is free.
    """

    def __init__(self, latent_dim: int, layers: int = 8) -> None:
        super().__init__(latent_dim)
        check_option(layers >= 1, "layers", layers, "at least 1")
        w = torch.randn(layers, latent_dim) / math.sqrt(latent_dim)
        self.w = nn.Parameter(w)
        # With this u every map is the identity, so the model starts as the plain variational autoencoder.
        self.u = nn.Parameter(math.log(math.e - 1) * w / w.square().sum(1, keepdim=True))
        self.b = nn.Parameter(torch.zeros(layers))

    def forward(self, h: Tensor) -> Latent:
        """Return the latent of h, float32 (n, 2 latent_dim)."""
        mean, log_variance = posterior(h)
        if not self.training:
            return Latent(self.transform(mean)[0])
        start = draw(mean, log_variance)
        z, log_determinant = self.transform(start)
        # The divergence of the Gaussian is known in closed form; only the flow's part, -log p(z) + log p(start) - log
        # det, is estimated from the sample, and it is exactly zero for an identity flow.
        added = (z.square() - start.square()).sum(1) / 2 - log_determinant
        return Latent(z, {"kl": (divergence(mean, log_variance) + added).mean()})

    def transform(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return f(z), (n, latent_dim), and the log-determinant of its Jacobian, (n,), for z, (n, latent_dim)."""
        log_determinant = z.new_zeros(len(z))
        moved, stretches = self.invertible()
        for w, u, b, stretch in zip(self.w, moved, self.b, stretches, strict=True):
            bend = torch.tanh(z @ w + b)
            z = z + torch.outer(bend, u)
            # The determinant 1 + (1 - bend^2) w u, written as a sum of nonnegative terms.
            log_determinant = log_determinant + (bend.square() + (1 - bend.square()) * stretch).log()
        return z, log_determinant

    def invertible(self) -> tuple[Tensor, Tensor]:
        """Return u, (layers, latent_dim), moved along w so that each map is invertible, and 1 + w u, (layers,)."""
        product = (self.w * self.u).sum(1)
        stretch = softplus(product)
        correction = (stretch - 1 - product) / self.w.square().sum(1)
        return self.u + correction[:, None] * self.w, stretch
