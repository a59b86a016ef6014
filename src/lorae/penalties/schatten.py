"""Sum of the square roots of the singular values of M, smoothed at zero: between nuclear norm and rank."""

from torch import Tensor

from lorae.linalg import spectral_penalty

SOURCE = "Mohan and Fazel, Journal of Machine Learning Research 13, 2012"
EQUATION = r"\sum_i (\sigma_i^2 + 10^{-6})^{1/4}"
READS_BACK = True

# Exponent: 1 is the nuclear norm, 0 the rank.
P = 0.5

# At the default rate Adam moves an entry of M by about this much a step, so smaller values are indistinguishable from
# zero: below, the slope falls to zero, from 10 at most, instead of growing without bound.
EPSILON = 1e-3


def of_matrix(matrix: Tensor) -> Tensor:
    """Return the sum of (sigma^2 + EPSILON^2)^(P / 2); scalar, float32. A zero counts as EPSILON^P = 0.03."""
    return spectral_penalty(matrix, lambda sigma: (sigma.square() + EPSILON**2) ** (P / 2))
