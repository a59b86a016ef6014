"""Nuclear norm of M, the sum of its singular values: drives the latent to a low rank."""

from torch import Tensor

from lorae.linalg import nuclear_norm
from lorae.objective import Step

SOURCE = "Mazumder et al., WACV 2024 (arXiv:2310.16194), equation 1"


def penalty(step: Step) -> Tensor:
    """The norm of the product of the bottleneck's linear layers; scalar, float32."""
    return nuclear_norm(step.matrix)
