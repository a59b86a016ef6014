"""Networks, bottlenecks and the autoencoder made of them."""

from lorae.models.autoencoder import Autoencoder, Forward, ModelSpec

__all__ = ["Autoencoder", "Forward", "ModelSpec"]
