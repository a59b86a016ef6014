"""Maximum mean discrepancy between latents and a standard normal: brings the two distributions together (WAE-MMD)."""

import torch
from torch import Tensor

from lorae.penalties._context import PenaltyContext
from lorae.randomness import randn_like

SOURCE = "Tolstikhin et al., ICLR 2018 (arXiv:1711.01558), algorithm 2"
EQUATION = r"\operatorname{MMD}^2(z, \mathcal{N}(0, 1))"

# Kernels C / (C + |a - b|^2) with C = 2 latent_dim s: at s = 1 the mean squared distance of two normal points. The
# paper has that one; the sum over scales is its authors' code, so that distant latents get a gradient as well.
SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def penalty(context: PenaltyContext) -> Tensor:
    """Return an unbiased estimate of the squared discrepancy from as many normal points as latents; scalar, float32.

    It may be negative: its mean is zero where the latents are standard normal. Zero for a batch of one item.
    """
    z = context.latents
    n = len(z)
    if n < 2:  # the last batch of an epoch may have one item, thus no pairs
        return (0 * z).sum()
    noise = randn_like(z)
    # A point's kernels with itself are all 1, whatever the data.
    within = _kernel(z, z).sum() + _kernel(noise, noise).sum() - 2 * n * len(SCALES)
    return within / (n * (n - 1)) - 2 * _kernel(z, noise).mean()


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    """Return the sum of the kernels for each pair, (n, m), of points (n, latent_dim) and (m, latent_dim)."""
    # Rounding may leave a distance slightly below zero.
    distances = (a.square().sum(1, keepdim=True) + b.square().sum(1) - 2 * a @ b.mT).clamp_min(0)
    sizes = [2 * a.shape[1] * scale for scale in SCALES]
    return torch.stack([size / (size + distances) for size in sizes]).sum(0)
