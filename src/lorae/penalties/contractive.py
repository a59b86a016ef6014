"""Squared norm of the encoder's Jacobian at the items: makes latents insensitive to small changes (contractive)."""

from torch import Tensor

from lorae.linalg import squared_jacobian_norm
from lorae.penalties._context import PenaltyContext

SOURCE = "Rifai et al., ICML 2011"
EQUATION = r"\lVert \partial E / \partial x \rVert^2"
BY_ITEMS = True


def penalty(context: PenaltyContext) -> Tensor:
    """Return the mean over the batch of |dh/dx|^2, estimated without bias by one random projection of h; float32.

    The step's own h has no gradient with respect to x, and may have gone through bfloat16: h is computed again, which
    costs one more pass of the encoder and a backward pass of its gradient.
    """
    return squared_jacobian_norm(context.encoder, context.inputs)
