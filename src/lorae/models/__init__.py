"""Networks, bottlenecks and the autoencoder made of them."""

import lorae.system.hardware  # noqa: F401 - it lets forked processes use models
from lorae.models.autoencoder import Autoencoder, Forward, ModelSpec

__all__ = ["Autoencoder", "Forward", "ModelSpec"]
