"""Half the squared norm of the bottleneck's linear layers: drives their product to a low rank (IRMAE-WD)."""

import torch
from torch import Tensor

from lorae.errors import LoraeError
from lorae.layers import Linear
from lorae.objective import Step

SOURCE = "Zeng et al., Machine Learning: Science and Technology 2024 (arXiv:2305.01090)"


def penalty(step: Step) -> Tensor:
    """Half the sum of the layers' squared Frobenius norms, not that of their product M; scalar, float32.

    Weight decay within the loss, on the linear layers alone; the authors decay the weights of all layers, by AdamW.
    """
    layers = [layer for layer in step.model.bottleneck.modules() if isinstance(layer, Linear)]
    if not layers:
        raise LoraeError(
            "this penalty acts on the bottleneck's linear layers, but the method has none; use --method irmae or lorae"
        )
    return torch.stack([layer.weight.square().sum() for layer in layers]).sum() / 2
