"""Half the squared norm of the latents: keeps them near zero, so that a density can be fitted to them (RAE)."""

from torch import Tensor

from lorae.penalties._context import PenaltyContext

SOURCE = "Ghosh et al., ICLR 2020 (arXiv:1903.12436), L_Z of the RAE loss"
EQUATION = r"\frac{1}{2} \lVert z \rVert^2"


def penalty(context: PenaltyContext) -> Tensor:
    """Return the sum over an item's latent, mean over the batch; scalar, float32."""
    return context.latents.square().sum(1).mean() / 2
