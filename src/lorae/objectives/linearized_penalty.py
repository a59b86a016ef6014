"""A penalty linearized at M and re-linearized every k steps."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def value_and_slope(
    function: Callable[[Tensor], Tensor], matrix: Tensor, weight: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return a function's value at a matrix, and its gradient times a weight (a scalar; by default 1)."""
    matrix = matrix.detach().requires_grad_()
    with torch.enable_grad():
        value = function(matrix)
    (slope,) = torch.autograd.grad(value, matrix, None if weight is None else weight.to(value.dtype))
    return value.detach(), slope


class LinearizedPenalty(nn.Module):
    """Tangent of a function of M at the M of the last `relinearize`.

    Linearizing costs an eigendecomposition, evaluating the tangent a sum; M hardly turns within ten steps, but any
    other change of M requires a new tangent. The buffers stay in place, so that a GPU can record a step; checkpoints
    keep them, so that a resumed run has the same tangent.
    """

    at: Tensor
    value: Tensor
    slope: Tensor

    def __init__(self, function: Callable[[Tensor], Tensor], matrix: Tensor) -> None:
        super().__init__()
        self.function = function
        self.register_buffer("at", matrix.detach().clone())
        self.register_buffer("slope", torch.zeros_like(self.at))
        self.register_buffer("value", self.at.new_zeros(()))
        self.relinearize(matrix)

    def relinearize(self, matrix: Tensor) -> None:
        """Set the tangent to that at a matrix, (m, n)."""
        value, slope = value_and_slope(self.function, matrix)
        self.at.copy_(matrix.detach())
        self.value.copy_(value)
        self.slope.copy_(slope)

    def forward(self, matrix: Tensor) -> Tensor:
        """Return value + <slope, M - at>, a scalar."""
        tangent: Tensor = self.value + (self.slope * (matrix - self.at)).sum()
        return tangent
