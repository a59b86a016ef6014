"""Squared norm of the decoder's Jacobian at the latents: keeps the decoder smooth there (RAE-GP)."""

from torch import Tensor

from lorae.linalg import squared_jacobian_norm
from lorae.penalties._context import PenaltyContext

SOURCE = "Ghosh et al., ICLR 2020 (arXiv:1903.12436), RAE-GP"
EQUATION = r"\lVert \partial D / \partial z \rVert^2"
BY_ITEMS = True


def penalty(context: PenaltyContext) -> Tensor:
    """Return the batch mean of |dD/dz|^2, estimated without bias by one random projection of the output; float32.

    Has a gradient for the decoder alone: it is meant to smooth D, and the encoder could lower it otherwise, by moving
    latents to where D is flat. (The authors' code takes the gradient of the sum of D's squared outputs, and lets it
    reach the encoder.) Costs one more pass of the decoder and a backward pass of its gradient.
    """
    return squared_jacobian_norm(context.decoder, context.latents)
