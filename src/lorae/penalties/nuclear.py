"""Nuclear norm of M, the sum of its singular values: drives the latent to a low rank."""

from torch import Tensor

from lorae.linalg import nuclear_norm

SOURCE = "Mazumder et al., WACV 2024 (arXiv:2310.16194), equation 1"
EQUATION = r"\lVert M \rVert_* = \sum_i \sigma_i"


def of_matrix(matrix: Tensor) -> Tensor:
    """Return the norm of M, the product of the bottleneck's linear layers; scalar, float32."""
    return nuclear_norm(matrix)
