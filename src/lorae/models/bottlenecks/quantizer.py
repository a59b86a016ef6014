"""Bottleneck of the vector-quantized autoencoder: latents made of codes from a learned codebook."""

import torch
from torch import Tensor

from lorae.models.bottlenecks.base import Bottleneck, Latent, check_option
from lorae.randomness import uniform

# Laplace smoothing of the usage, in units of the mean usage: keeps the mean of an unused code finite.
SMOOTHING = 1e-5


class QuantizerBottleneck(Bottleneck):
    """h, as `groups` vectors of latent_dim / groups, each replaced by the nearest of `codes` in one shared book.

    The gradient passes straight through. The codes are moving averages (`decay`) of the vectors that chose them; the
    first batch fills the book. A code chosen less than `threshold` times as often as the mean one counts as unused: it
    becomes a random vector of the batch. `commitment`: mean of (h - codes)^2 over all entries; `unused_codes`: share
    of the book. Source: van den Oord et al., NeurIPS 2017 (arXiv:1711.00937), appendix A.1; Jukebox (arXiv:2005.00341)
    for the unused codes.
    """

    TERMS = ("commitment", "unused_codes")
    codebook: Tensor
    usage: Tensor
    filled: Tensor

    def __init__(
        self, latent_dim: int, groups: int = 16, codes: int = 256, decay: float = 0.99, threshold: float = 0.03
    ) -> None:
        super().__init__(latent_dim)
        fits = groups >= 1 and latent_dim % groups == 0
        check_option(fits, "groups", groups, f"a divisor of {latent_dim}, the latent's dimension")
        check_option(codes >= 1, "codes", codes, "at least 1")
        check_option(0 <= decay < 1, "decay", decay, "at least 0 and below 1")
        check_option(0 <= threshold < 1, "threshold", threshold, "at least 0 and below 1")
        self.decay, self.threshold = decay, threshold
        self.register_buffer("codebook", torch.zeros(codes, latent_dim // groups))
        # Moving average of the share of vectors that choose each code.
        self.register_buffer("usage", torch.full((codes,), 1 / codes))
        self.register_buffer("filled", torch.tensor(False))

    def forward(self, h: Tensor) -> Latent:
        """Return the latent of h, float32 (n, latent_dim)."""
        vectors = h.detach().reshape(-1, self.codebook.shape[1])
        if not self.training:
            return Latent(self.codebook[self.nearest(vectors)].view_as(h))
        unused = self._replace_unused(vectors)
        indices = self.nearest(vectors)
        chosen = self.codebook[indices].view_as(h)
        self._follow(vectors, indices)
        # Adding a zero with the gradient of h, rather than h + (chosen - h), reproduces the codes exactly.
        z = chosen + (h - h.detach())
        return Latent(z, {"commitment": (h - chosen).square().mean(), "unused_codes": unused})

    def nearest(self, vectors: Tensor) -> Tensor:
        """Return the index of the nearest code, int64 (m,), of each vector, (m, latent_dim / groups)."""
        # |v - c|^2 without |v|^2, which is the same for all codes.
        return (self.codebook.square().sum(1) - 2 * vectors @ self.codebook.mT).argmin(1)

    # The following does not branch on values, so that a GPU can record the step.
    def _replace_unused(self, vectors: Tensor) -> Tensor:
        unused = self.usage < self.threshold / len(self.usage)
        order = uniform(len(vectors), device=vectors.device).argsort()
        picked = vectors[order[torch.arange(len(self.usage), device=vectors.device) % len(vectors)]]
        self.codebook.copy_(torch.where((unused | ~self.filled)[:, None], picked, self.codebook))
        self.filled.fill_(True)
        return unused.float().mean()

    def _follow(self, vectors: Tensor, indices: Tensor) -> None:
        chosen = (indices[:, None] == torch.arange(len(self.usage), device=indices.device)).to(vectors.dtype)
        # The moving average of the sum of a code's vectors is the code times its usage: it needs no buffer.
        sums = self.decay * self._smoothed_usage()[:, None] * self.codebook
        sums += (1 - self.decay) * (chosen.mT @ vectors) / len(vectors)
        self.usage.lerp_(chosen.mean(0), 1 - self.decay)
        self.codebook.copy_(sums / self._smoothed_usage()[:, None])

    def _smoothed_usage(self) -> Tensor:
        return (self.usage + SMOOTHING / len(self.usage)) / (1 + SMOOTHING)
