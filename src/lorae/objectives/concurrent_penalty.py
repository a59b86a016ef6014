"""Penalties of M alone, computed on a GPU beside the networks instead of after them."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lorae.objectives.linearized_penalty import LinearizedPenalty


class ConcurrentPenalty:
    """Value and gradient of a weighted sum of penalties of M, computed on a stream of its own.

    M is known when a step starts, so its polar factor, some thirty products of small matrices, can be computed while
    the networks go forward and backward; a step then waits for one addition. A CUDA graph records both streams.

    Parameters
    ----------
    held : name -> penalty
    weights : name -> weight
    matrix : M, a parameter on a GPU
    scale : scalar tensor on the GPU, a factor on all weights
    every_step : look at M in every step; otherwise where `look` says so, and the slope is held in between
    """

    def __init__(
        self,
        held: Mapping[str, LinearizedPenalty],
        weights: Mapping[str, float],
        matrix: nn.Parameter,
        scale: Tensor,
        *,
        every_step: bool,
    ) -> None:
        self.held = held
        self.weights = weights
        self.matrix = matrix
        self.scale = scale
        self.every_step = every_step
        self.look = True
        self.stream = torch.cuda.Stream(matrix.device)  # type: ignore[no-untyped-call]
        self.terms: dict[str, Tensor] = {}
        self.total = self.gradient = torch.empty(0)

    def start(self) -> None:
        """Begin with M as it is."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            if self.look:
                for held in self.held.values():
                    held.relinearize(self.matrix)
            with torch.no_grad():
                weights = {name: self.weights[name] * self.scale for name in self.held}
                self.terms = {name: held.value if self.look else held(self.matrix) for name, held in self.held.items()}
                self.total = torch.stack([weights[name] * term for name, term in self.terms.items()]).sum()
                gradients = [weights[name] * held.slope for name, held in self.held.items()]
                self.gradient = sum(gradients[1:], gradients[0])

    def finish(self) -> None:
        """Wait for it and add the gradient to that of the loss."""
        torch.cuda.current_stream().wait_stream(self.stream)
        assert self.matrix.grad is not None
        self.matrix.grad.add_(self.gradient)

    def took(self) -> None:
        """A step was taken: the next one looks where all do."""
        self.look = self.every_step
