"""No bottleneck: the latent is the encoder's output (the plain autoencoder, and a collapsed model)."""

from torch import Tensor

from lorae.models.bottlenecks.base import Bottleneck, Latent


class IdentityBottleneck(Bottleneck):
    """z = h."""

    def forward(self, h: Tensor) -> Latent:
        """Return the latent of h, float32 (n, latent_dim)."""
        return Latent(h)
