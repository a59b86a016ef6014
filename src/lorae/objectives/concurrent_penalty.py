"""Penalties of M alone, computed on a GPU beside the networks instead of after them."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn


class ConcurrentPenalty:
    """Value and gradient of a weighted sum of functions of M, computed on a stream of its own.

    M is known when a step starts, so its polar factor, some thirty products of small matrices, can be computed while
    the networks go forward and backward; a step then waits for one addition. A CUDA graph records both streams.

    Parameters
    ----------
    functions : name -> (function of M that gives a scalar, its weight)
    matrix : M, a parameter on a GPU
    scale : scalar tensor on the GPU, a factor on all weights
    """

    def __init__(
        self, functions: Mapping[str, tuple[Callable[[Tensor], Tensor], float]], matrix: nn.Parameter, scale: Tensor
    ) -> None:
        self.functions = functions
        self.matrix = matrix
        self.scale = scale
        self.stream = torch.cuda.Stream(matrix.device)  # type: ignore[no-untyped-call]
        self.terms: dict[str, Tensor] = {}
        self.total = self.gradient = torch.empty(0)

    def start(self) -> None:
        """Begin with M as it is."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            matrix = self.matrix.detach().requires_grad_()
            terms = {name: function(matrix) for name, (function, _) in self.functions.items()}
            total = sum(weight * self.scale * terms[name] for name, (_, weight) in self.functions.items())
            assert isinstance(total, Tensor)
            (self.gradient,) = torch.autograd.grad(total, matrix)
            self.terms = {name: term.detach() for name, term in terms.items()}
            self.total = total.detach()

    def finish(self) -> None:
        """Wait for it and add the gradient to that of the loss."""
        torch.cuda.current_stream().wait_stream(self.stream)
        assert self.matrix.grad is not None
        self.matrix.grad.add_(self.gradient)
