"""Normalization of encoder outputs, so that a larger encoder cannot evade a penalty on M."""

import torch
from torch import Tensor, nn

from lorae.errors import unknown_name

KINDS = ("none", "scale", "coordinates")

# Share of a batch in the running mean and variance; larger in the first steps, where they are plain averages.
MOMENTUM = 0.01

# Added to variances, in absolute units: coordinates that vary less count as constant.
EPSILON = 1e-6


class Normalizer(nn.Module):
    """n(h) = (h - mean) / deviation with running statistics, in training as in evaluation.

    kind: `none` (n(h) = h), `scale` (one deviation for all coordinates: their root mean square), `coordinates` (one
    each). The gradient is that of a normalization by the batch, which does not see the scale of h: that is batch
    renormalization without its bounds. Plain batch normalization would add the noise of a batch's deviations to
    every latent, about a tenth at 32 items.
    Source: Ioffe, NeurIPS 2017 (arXiv:1702.03275).
    """

    mean: Tensor
    variance: Tensor
    steps: Tensor

    def __init__(self, width: int, kind: str = "none") -> None:
        super().__init__()
        if kind not in KINDS:
            raise unknown_name("normalize", kind, KINDS)
        self.kind = kind
        # Without normalization they are not stored, but give the module a device and a dtype.
        stored = kind != "none"
        self.register_buffer("mean", torch.zeros(width), persistent=stored)
        self.register_buffer("variance", torch.ones(1 if kind == "scale" else width), persistent=stored)
        self.register_buffer("steps", torch.zeros(()), persistent=stored)

    def forward(self, h: Tensor) -> Tensor:
        """Return n(h) of h, float32 (n, width)."""
        if self.kind == "none":
            return h
        if self.training and len(h) > 1:  # one item has no deviation
            return self._with_gradient_of_batch(h)
        return (h - self.mean) / (self.variance + EPSILON).sqrt()

    def affine(self) -> tuple[Tensor, Tensor]:
        """Return a, b of n(h) = a * (h - b) in evaluation, each (width,), in the module's dtype and on its device."""
        if self.kind == "none":
            return torch.ones_like(self.mean), torch.zeros_like(self.mean)
        return (self.variance + EPSILON).rsqrt().expand_as(self.mean), self.mean

    def _with_gradient_of_batch(self, h: Tensor) -> Tensor:
        """Update mean and variance; return n(h) with the gradient that does not change the batch's mean and scale."""
        if self.kind == "coordinates":
            # One kernel for what is a dozen below; it returns h in the batch's own units, their mean and deviation.
            units, mean, inverse = torch.native_batch_norm(h, None, None, None, None, True, 0.0, EPSILON)
            mean, deviation = mean.detach(), inverse.detach().reciprocal()
            variance = (deviation.square() - EPSILON).clamp_min(0.0)
        else:
            mean = h.mean(0)
            variance = (h - mean).square().mean()[None]
            deviation = (variance + EPSILON).sqrt()
            units = (h - mean) / deviation
            mean, deviation, variance = mean.detach(), deviation.detach(), variance.detach()
        with torch.no_grad():
            self.steps += 1
            share = (1 / self.steps).clamp_min(MOMENTUM)
            self.mean.lerp_(mean, share)
            self.variance.lerp_(variance, share)
            scale = (self.variance + EPSILON).sqrt()
            offset = (mean - self.mean) / scale
        return torch.addcmul(offset, units, deviation / scale)
