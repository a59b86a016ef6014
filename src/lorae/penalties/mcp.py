"""Minimax concave penalty on the singular values of M: shrinks small ones, leaves large ones unchanged."""

from torch import Tensor

from lorae.linalg import spectral_penalty

SOURCE = "Zhang, Annals of Statistics 38, 2010"
EQUATION = r"\sum_i \left(b_i - b_i^2 / 4\right), \; b_i = \min(\sigma_i, 2)"
READS_BACK = True

# The slope at zero; 1 is the nuclear norm's, so that the weights of both compare.
LAMBDA = 1.0

# The slope falls to zero at GAMMA * LAMBDA. Singular values of M start around 1: there it is half the nuclear norm's.
# With GAMMA up to 1 it would be zero, and a model that starts from the identity would get no gradient from the penalty.
GAMMA = 2.0


def of_matrix(matrix: Tensor) -> Tensor:
    """Return the sum of LAMBDA sigma - sigma^2 / (2 GAMMA), constant above sigma = GAMMA * LAMBDA; scalar, float32."""
    return spectral_penalty(matrix, _minimax_concave)


def _minimax_concave(sigma: Tensor) -> Tensor:
    bounded = sigma.clamp_max(GAMMA * LAMBDA)
    return LAMBDA * bounded - bounded.square() / (2 * GAMMA)
