"""Sum of log(1 + 10 sigma) over the singular values of M: a count that depends little on their size."""

import torch
from torch import Tensor

from lorae.linalg import spectral_penalty

SOURCE = "Fazel, Hindi, Boyd, American Control Conference 2003"
EQUATION = r"\sum_i \log(1 + 10\,\sigma_i)"
READS_BACK = True

# Singular values above this size count. Singular values of M start around 1 (from the identity, or up to 1.15 from
# torch's default): there the slope is 0.9, about the nuclear norm's, so that weights compare; at zero it is 10.
EPSILON = 0.1


def of_matrix(matrix: Tensor) -> Tensor:
    """Return log det of I + |M| / EPSILON with |M| = (M^T M)^(1/2), zero for M = 0; scalar, float32."""
    return spectral_penalty(matrix, lambda sigma: torch.log1p(sigma / EPSILON))
