"""Half the squared norm of the bottleneck's linear layers: drives their product to a low rank (IRMAE-WD)."""

import torch
from torch import Tensor, nn

from lorae.errors import LoraeError
from lorae.penalties._context import PenaltyContext

SOURCE = "Zeng et al., Machine Learning: Science and Technology 2024 (arXiv:2305.01090)"
EQUATION = r"\frac{1}{2} \sum_k \lVert M_k \rVert^2"


def penalty(context: PenaltyContext) -> Tensor:
    """Return half the sum of the layers' squared Frobenius norms, not that of their product M; scalar, float32.

    Weight decay within the loss, on the linear layers alone; the authors decay the weights of all layers, by AdamW.
    """
    layers = [layer for layer in context.bottleneck.modules() if isinstance(layer, nn.Linear)]
    if not layers:
        raise LoraeError(
            "this penalty acts on the bottleneck's linear layers, but the method has none; use method='irmae' or lorae",
            settings={"method": "irmae"},
        )
    return torch.stack([layer.weight.square().sum() for layer in layers]).sum() / 2
