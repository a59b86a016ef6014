"""Half the sum of the decoder's squared weights: keeps the decoder smooth (RAE-L2)."""

import torch
from torch import Tensor

from lorae.penalties._context import PenaltyContext

SOURCE = "Ghosh et al., ICLR 2020 (arXiv:1903.12436), RAE-L2"
EQUATION = r"\frac{1}{2} \lVert \theta_D \rVert^2"


def penalty(context: PenaltyContext) -> Tensor:
    """Return half the squared norm of all weights of the decoder, without its biases; scalar, float32.

    Biases move the decoder's output, but do not make it steeper; the authors' code leaves them out as well.
    """
    weights = [parameter for parameter in context.decoder.parameters() if parameter.ndim > 1]
    return torch.stack([weight.square().sum() for weight in weights]).sum() / 2
