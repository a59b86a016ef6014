"""Adam for the networks, proximal steps for M: singular values become exactly zero. Derived in docs/numerics.md."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from lorae.linalg import nuclear_norm, threshold_singular_values

# Steps between two factorizations of M: the thresholds add up in between. Ten steps move M by about a hundredth of
# its norm, and a factorization then costs about 2% of the time of the MNIST network.
SHRINK_EVERY = 10


class ProximalAdam(torch.optim.Adam):
    """Adam for all parameters but one matrix M, whose nuclear norm is minimized by proximal steps.

    Adam's entrywise metric has no closed-form proximal step. M therefore has one second moment for all its entries:
    with m and v the bias-corrected averages of its gradient and of the mean square of that, p the mean square of the
    penalty's gradient, and rate = lr / (sqrt(v + p) + eps), a step is M <- prox(M - rate * m) with the threshold
    rate * weight. The factorization waits for `shrink`, which applies the thresholds that have added up; until then
    M has no zeros. `weight` is a scalar tensor, the penalty's weight, which may change. The step reads no value back,
    so a GPU can record it; `shrink` does, and is called between steps.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], matrix: nn.Parameter, weight: Tensor, **options: Any
    ) -> None:
        super().__init__([{"params": list(parameters)}, {"params": [matrix]}], **options)
        self.matrix = matrix
        self.weight = weight
        self.state[matrix] = {
            "step": torch.zeros((), dtype=torch.float32, device=matrix.device),
            "exp_avg": torch.zeros_like(matrix),
            "mean_square": matrix.new_zeros(()),
            # Sum of the thresholds not yet applied; norm and rank of M after the last factorization.
            "pending": matrix.new_zeros(()),
            "norm": nuclear_norm(matrix.detach()),
            "rank": matrix.new_full((), min(matrix.shape)),
        }

    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Take one step of all parameters, from their gradients."""
        gradient, self.matrix.grad = self.matrix.grad, None  # Adam skips parameters without a gradient
        super().step(closure)
        self.matrix.grad = gradient
        if gradient is not None:
            self._descend(gradient)

    @torch.no_grad()
    def _descend(self, gradient: Tensor) -> None:
        state, group = self.state[self.matrix], self.param_groups[1]
        beta1, beta2 = group["betas"]
        state["step"] += 1
        state["exp_avg"].lerp_(gradient, 1 - beta1)
        state["mean_square"].lerp_(gradient.square().mean(), 1 - beta2)
        mean_square = state["mean_square"] / (1 - beta2 ** state["step"])
        # The penalty's own gradient, weight * U V^T, counts in the size of a step as the data's does: with small
        # gradients of the data, the threshold alone would otherwise remove every direction in a few dozen steps.
        penalty = self.weight.square() * state["rank"] / self.matrix.numel()
        rate = group["lr"] / ((mean_square + penalty).sqrt() + group["eps"])
        self.matrix.sub_(rate * state["exp_avg"] / (1 - beta1 ** state["step"]))
        state["pending"] += rate * self.weight

    def shrink(self, max_rank: int | None = None) -> Tensor:
        """Apply the accumulated thresholds and a bound on the rank; return the remaining singular values of M."""
        state = self.state[self.matrix]
        with torch.no_grad():
            shrunk, values = threshold_singular_values(self.matrix, state["pending"], max_rank)
            self.matrix.copy_(shrunk)
            state["pending"].zero_()
            state["rank"].fill_(float(len(values)))
            state["norm"].copy_(values.sum())
        return values

    @property
    def rank(self) -> int:
        """The rank of M after the last `shrink`."""
        return int(self.state[self.matrix]["rank"])

    @property
    def norm(self) -> Tensor:
        """The nuclear norm of M after the last `shrink`."""
        norm: Tensor = self.state[self.matrix]["norm"]
        return norm
