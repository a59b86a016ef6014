"""Pure functions of matrices: principal axes, spectral functions with a finite gradient at any rank, Jacobians."""

from lorae.linalg.axes import column_deviations, leading_components, principal_axes, streamed_deviations
from lorae.linalg.jacobian import squared_jacobian_norm
from lorae.linalg.norms import NULL_SPACE, nuclear_norm, spectral_penalty
from lorae.linalg.thresholding import threshold_singular_values

__all__ = [
    "NULL_SPACE",
    "column_deviations",
    "leading_components",
    "nuclear_norm",
    "principal_axes",
    "spectral_penalty",
    "squared_jacobian_norm",
    "streamed_deviations",
    "threshold_singular_values",
]
