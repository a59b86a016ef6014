"""Bottleneck of the variational autoencoder: a Gaussian posterior for each item, with a standard normal prior."""

from torch import Tensor

from lorae.models.bottlenecks.base import Bottleneck, Latent
from lorae.randomness import randn_like

# Deviations from 5e-5 to 150 around a prior of 1: wide enough for any posterior in use, while one wild batch
# cannot make exp() overflow, nor a density of the posterior infinite.
LOG_VARIANCES = (-20.0, 10.0)


class GaussianBottleneck(Bottleneck):
    """z = mean + deviation * noise in training, z = mean in evaluation, where h = (mean, log-variance).

    `kl`: divergence of the posterior N(mean, deviation^2) from N(0, 1), summed over dimensions, mean over the batch.
    Source: Kingma and Welling, ICLR 2014 (arXiv:1312.6114), appendix B.
    """

    TERMS = ("kl",)

    @classmethod
    def input_width(cls, latent_dim: int) -> int:
        """Return twice the latent dimension: mean and log-variance."""
        return 2 * latent_dim

    def forward(self, h: Tensor) -> Latent:
        """Return the latent of h, float32 (n, 2 latent_dim)."""
        mean, log_variance = posterior(h)
        if not self.training:
            return Latent(mean)
        return Latent(draw(mean, log_variance), {"kl": divergence(mean, log_variance).mean()})


def posterior(h: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and bounded log-variance, (n, latent_dim) each, of h, (n, 2 latent_dim)."""
    mean, log_variance = h.chunk(2, dim=1)
    # The gradient ignores the limits: otherwise values beyond them could never return.
    return mean, log_variance.detach().clamp(*LOG_VARIANCES) + (log_variance - log_variance.detach())


def draw(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return one sample, (n, latent_dim), differentiable in mean and log-variance."""
    return mean + (log_variance / 2).exp() * randn_like(mean)


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence of each posterior from N(0, 1), summed over dimensions, (n,)."""
    return (mean.square() + log_variance.expm1() - log_variance).sum(1) / 2
