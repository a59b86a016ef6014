"""Penalties of M alone, computed on a GPU beside the networks instead of after them."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lorae.objectives.linearized_penalty import LinearizedPenalty


@dataclass
class ConcurrentPenalty:
    """Value and gradient of a weighted sum of penalties of M, computed on a stream of its own.

    M is known when a step starts, so its polar factor, some thirty products of small matrices, can be computed while
    the networks go forward and backward; a step then waits for one addition. A CUDA graph records both streams.
    """

    penalties: Mapping[str, LinearizedPenalty]
    weights: Mapping[str, float]
    matrix: nn.Parameter  # M, on a GPU
    scale: Tensor  # scalar on the GPU, a factor on all weights
    every_step: bool  # whether to linearize the penalties in every step, or in those for which `linearizes` is set

    def __post_init__(self) -> None:
        self.linearizes = True
        self.stream = torch.cuda.Stream(self.matrix.device)  # type: ignore[no-untyped-call]
        self.terms: dict[str, Tensor] = {}
        self.total = self.gradient = torch.empty(0)

    def start(self) -> None:
        """Begin the computation at the current M."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            if self.linearizes:
                for penalty in self.penalties.values():
                    penalty.relinearize(self.matrix)
            with torch.no_grad():
                weights = {name: self.weights[name] * self.scale for name in self.penalties}
                self.terms = {
                    name: penalty.value if self.linearizes else penalty(self.matrix)
                    for name, penalty in self.penalties.items()
                }
                self.total = torch.stack([weights[name] * term for name, term in self.terms.items()]).sum()
                gradients = [weights[name] * penalty.slope for name, penalty in self.penalties.items()]
                self.gradient = sum(gradients[1:], gradients[0])

    def finish(self) -> None:
        """Wait for the result and add its gradient to that of the loss."""
        torch.cuda.current_stream().wait_stream(self.stream)
        assert self.matrix.grad is not None
        self.matrix.grad.add_(self.gradient)

    def end_step(self) -> None:
        """Let the next step use the tangents of this one, unless every step linearizes."""
        self.linearizes = self.every_step
