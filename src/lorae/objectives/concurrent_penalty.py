"""Penalties of M alone, computed on a GPU beside the networks instead of after them."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lorae.objectives.linearized_penalty import LinearizedPenalty, value_and_slope


@dataclass
class ConcurrentPenalty:
    """Value and gradient of a weighted sum of penalties of M, computed on a stream of its own.

    M is known when a step starts, so its polar factor can be computed while the networks go forward and backward; a
    step then waits for one addition. A CUDA graph records both streams.
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
        with torch.cuda.stream(self.stream), torch.no_grad():
            weights = {name: self.weights[name] * self.scale for name in self.penalties}
            if self.every_step:  # nothing to keep for later steps: few kernels
                found = {
                    name: value_and_slope(penalty.function, self.matrix, weights[name])
                    for name, penalty in self.penalties.items()
                }
                self.terms = {name: value for name, (value, _) in found.items()}
                gradients = [slope for _, slope in found.values()]
            else:
                self.terms = {name: self._tangent(penalty) for name, penalty in self.penalties.items()}
                gradients = [weights[name] * penalty.slope for name, penalty in self.penalties.items()]
            weighted = [weights[name] * term for name, term in self.terms.items()]
            self.total = sum(weighted[1:], weighted[0])
            self.gradient = sum(gradients[1:], gradients[0])

    def _tangent(self, penalty: LinearizedPenalty) -> Tensor:
        """Return the value of a penalty at the current M, linearized there first if this step does so."""
        if not self.linearizes:
            value: Tensor = penalty(self.matrix)
            return value
        penalty.relinearize(self.matrix)
        return penalty.value

    def finish(self) -> None:
        """Wait for the result and add its gradient to that of the loss."""
        torch.cuda.current_stream().wait_stream(self.stream)
        assert self.matrix.grad is not None
        self.matrix.grad.add_(self.gradient)

    def end_step(self) -> None:
        """Let the next step use the tangents of this one, unless every step linearizes."""
        self.linearizes = self.every_step
