"""Sum of the latents' absolute values: sets many of an item's latent entries near zero (sparse autoencoder)."""

from torch import Tensor

from lorae.penalties._context import PenaltyContext

SOURCE = "Goodfellow, Bengio, Courville, Deep Learning, MIT Press 2016, section 14.2.1"
EQUATION = r"\sum_i \lvert z_i \rvert"


def penalty(context: PenaltyContext) -> Tensor:
    """Return the sum over an item's latent, mean over the batch; scalar, float32."""
    return context.latents.abs().sum(1).mean()
