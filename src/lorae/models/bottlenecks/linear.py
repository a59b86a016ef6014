"""A chain of square linear layers without bias: one for LoRAE, eight for IRMAE."""

import torch
from torch import Tensor, nn

from lorae.errors import LoraeError
from lorae.models.bottlenecks.base import Bottleneck, Latent, check_option
from lorae.models.bottlenecks.normalizer import Normalizer
from lorae.models.low_rank import LowRankLinear
from lorae.randomness import randn_like


class LinearBottleneck(Bottleneck):
    """z = M n(h) + noise, where M is the product of `layers` matrices.

    init: `default` (torch's uniform one, as in the authors' code), `identity` or `orthogonal`. normalize: what n does,
    see `Normalizer`; `none` by default. noise: standard deviation of the noise on z in training; it fixes the scale of
    z, so that a larger decoder cannot compensate for a smaller M, and smooths the decoder around every latent.
    """

    def __init__(
        self, latent_dim: int, layers: int = 1, init: str = "default", normalize: str = "none", noise: float = 0.0
    ) -> None:
        super().__init__(latent_dim)
        check_option(noise >= 0, "noise", noise, "at least 0")
        self.normalizer = Normalizer(latent_dim, normalize)
        self.noise = noise
        self.layers = nn.Sequential(*(LowRankLinear(latent_dim, init) for _ in range(layers)))

    def forward(self, h: Tensor) -> Latent:
        """Return the latent of h, float32 (n, latent_dim)."""
        z = self.layers(self.normalizer(h))
        return Latent(z + self.noise * randn_like(z) if self.training and self.noise > 0 else z)

    def matrix(self) -> Tensor:
        """Return M, float32 (latent_dim, latent_dim), with its gradient; float64 once the module is."""
        first, *others = [layer.weight for layer in self.layers]
        product: Tensor = first  # type: ignore[assignment]
        with torch.autocast(product.device.type, enabled=False):
            for weight in others:
                product = weight @ product  # type: ignore[operator]
        return product

    def single_matrix(self) -> nn.Parameter:
        """Return M as a parameter, where it is one layer; LoraeError for a chain."""
        if len(self.layers) != 1:
            found = len(self.layers)
            raise LoraeError(f"matrix_update: got 'prox', which needs one matrix M, but the bottleneck has {found}")
        weight: nn.Parameter = self.layers[0].weight  # type: ignore[assignment]
        return weight

    def affine(self) -> tuple[Tensor, Tensor]:
        """Return M with the normalization folded in."""
        scale, shift = self.normalizer.affine()
        matrix = self.matrix().double() * scale.double()
        return matrix, -matrix @ shift.double()
