"""A penalty of M that is looked at now and then: between two looks its tangent stands for it."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class LinearizedPenalty(nn.Module):
    """The tangent of a function of M at the M of the last `relinearize`.

    A look costs an eigendecomposition, a tangent a sum; M hardly turns within ten steps, and where something else moves
    it, there has to be a look. A step reads the buffers
    where they are, so a GPU can record it; looks are taken between steps. Checkpoints keep the buffers, so a run that
    goes on between two looks holds what it held.

    function: of a matrix (m, n), a scalar with a gradient; matrix: where M starts.
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
        """Take value and slope at this M, (m, n)."""
        matrix = matrix.detach().clone().requires_grad_()
        value = self.function(matrix)
        (slope,) = torch.autograd.grad(value, matrix)
        self.at.copy_(matrix.detach())
        self.value.copy_(value.detach())
        self.slope.copy_(slope)

    def forward(self, matrix: Tensor) -> Tensor:
        """value + <slope, M - at>, a scalar; its gradient is the slope."""
        tangent: Tensor = self.value + (self.slope * (matrix - self.at)).sum()
        return tangent
