"""A chain of square linear layers without bias: one for LoRAE, eight for IRMAE."""

import torch
from torch import Tensor, nn

from lorae.bottlenecks.base import Bottleneck, Latent
from lorae.layers import Linear


class LinearBottleneck(Bottleneck):
    """z = M h, where M is the product of `layers` matrices.

    init: `default` (torch's uniform one, as in the authors' code), `identity` or `orthogonal`.
    """

    def __init__(self, latent_dim: int, layers: int = 1, init: str = "default") -> None:
        super().__init__(latent_dim)
        self.layers = nn.Sequential(*(Linear(latent_dim, latent_dim, bias=False) for _ in range(layers)))
        for layer in self.layers:
            assert isinstance(layer, Linear)
            if init == "identity":
                nn.init.eye_(layer.weight)
            elif init == "orthogonal":
                nn.init.orthogonal_(layer.weight)

    def forward(self, h: Tensor) -> Latent:
        """h: float32 (n, latent_dim)."""
        return Latent(self.layers(h))

    def matrix(self) -> Tensor:
        """M, float32 (latent_dim, latent_dim), with its gradient; float64 once the module is."""
        first, *others = [layer.weight for layer in self.layers]
        product: Tensor = first  # type: ignore[assignment]
        with torch.autocast(product.device.type, enabled=False):
            for weight in others:
                product = weight @ product  # type: ignore[operator]
        return product
