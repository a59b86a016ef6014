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
    """Adam for all parameters but one matrix M, or several, whose nuclear norms are minimized by proximal steps.

    Adam's entrywise metric has no closed-form proximal step. M therefore has one second moment for all its entries:
    with m and v the bias-corrected averages of its gradient and of the mean square of that, p the mean square of the
    penalty's gradient, and rate = lr / (sqrt(v + p) + eps), a step is M <- prox(M - rate * m) with the threshold
    rate * weight. The factorization waits for `shrink`, which applies the thresholds that have added up; until then
    M has no zeros. `weight` is a scalar tensor, the penalty's weight, which may change. The step reads no value back,
    so a GPU can record it; `shrink` does, and is called between steps. The matrices are one group of parameters.
    """

    def __init__(
        self, parameters: Iterable[Any], matrix: nn.Parameter | list[nn.Parameter], weight: Tensor, **options: Any
    ) -> None:
        self.matrices = matrix if isinstance(matrix, list) else [matrix]
        groups = list(parameters)
        groups = groups if groups and isinstance(groups[0], dict) else [{"params": groups}]
        super().__init__([*groups, {"params": self.matrices}], **options)
        self._place = len(groups)
        # For torch.amp.GradScaler, which leaves gradients with their scale to a fused Adam: M takes them without.
        self._step_supports_amp_scaling = False
        self.weight = weight
        for each in self.matrices:
            moments = {"step": torch.zeros((), dtype=torch.float32, device=each.device)}
            moments |= {"exp_avg": torch.zeros_like(each), "mean_square": each.new_zeros(())}
            self.state[each] = moments | unshrunk(each)

    @property
    def matrix(self) -> nn.Parameter:
        """M, the first one of several."""
        return self.matrices[0]

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step of all parameters, from their gradients; return the loss that the closure computes."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        gradients = [matrix.grad for matrix in self.matrices]
        for matrix in self.matrices:
            matrix.grad = None  # Adam skips parameters without a gradient
        super().step()
        for matrix, gradient in zip(self.matrices, gradients, strict=True):
            matrix.grad = gradient
            if gradient is not None:
                self._descend(matrix, gradient)
        return loss

    @torch.no_grad()
    def _descend(self, matrix: nn.Parameter, gradient: Tensor) -> None:
        state, group = self._state_of(matrix), self.matrix_group
        beta1, beta2 = group["betas"]
        state["step"] += 1
        state["exp_avg"].lerp_(gradient, 1 - beta1)
        state["mean_square"].lerp_(gradient.square().mean(), 1 - beta2)
        mean_square = state["mean_square"] / (1 - beta2 ** state["step"])
        _move(matrix, state, group, self.weight, mean_square, 1 - beta1 ** state["step"])

    def shrink(self, max_rank: int | None = None) -> Tensor:
        """Apply the accumulated thresholds and a bound on the rank; return the remaining singular values of M.

        Those of several matrices follow each other.
        """
        return torch.cat([shrink(matrix, self._state_of(matrix), max_rank) for matrix in self.matrices])

    def _state_of(self, matrix: nn.Parameter) -> dict[str, Tensor]:
        """Return the state of a matrix, where and in the dtype in which the matrix is by now."""
        state: dict[str, Tensor] = self.state[matrix]
        if state["exp_avg"].dtype != matrix.dtype or state["exp_avg"].device != matrix.device:
            step = state["step"].to(matrix.device)
            state.update({name: value.to(matrix) for name, value in state.items()} | {"step": step})
        return state

    @property
    def matrix_group(self) -> dict[str, Any]:
        """The group of parameters with the matrices, whose learning rate is theirs."""
        return self.param_groups[self._place]

    @property
    def rank(self) -> int:
        """The rank of M after the last `shrink`, the sum of those of several."""
        return sum(int(self.state[matrix]["rank"]) for matrix in self.matrices)

    @property
    def norm(self) -> Tensor:
        """The nuclear norm of M after the last `shrink`."""
        norm: Tensor = self.state[self.matrix]["norm"]
        return norm


def unshrunk(matrix: nn.Parameter) -> dict[str, Tensor]:
    """Return the state of M for `shrink`: the thresholds not yet applied, its norm, and its largest rank."""
    return {
        "pending": matrix.new_zeros(()),
        "norm": nuclear_norm(matrix.detach()),
        "rank": matrix.new_full((), min(matrix.shape)),
    }


def shrink(matrix: nn.Parameter, state: dict[str, Tensor], max_rank: int | None) -> Tensor:
    """Apply the thresholds in the state of M and a bound on its rank; return the remaining singular values."""
    with torch.no_grad():
        shrunk, values = threshold_singular_values(matrix, state["pending"], max_rank)
        matrix.copy_(shrunk)
        state["pending"].zero_()
        state["rank"].fill_(float(len(values)))
        state["norm"].copy_(values.sum())
    return values


@torch.no_grad()
def replace_step(matrix: nn.Parameter, state: dict[str, Any], group: dict[str, Any], weight: Tensor) -> None:
    """Replace the last step of M by a plain Adam or AdamW by that of `ProximalAdam`, from the state of that Adam.

    Adam's second moments of the entries have the mean that `ProximalAdam` keeps, so that both take the same path; a
    decay of the weights by AdamW stays. A step that has been replaced, or that a scaler of gradients has left out, is
    not replaced again.
    """
    beta1, beta2 = group["betas"]
    step = torch.as_tensor(state["step"])
    correction, correction2 = 1 - beta1**step, 1 - beta2**step
    moved = (step > state["replaced"]).to(matrix)
    rate = group["lr"] / ((state["exp_avg_sq"] / correction2).sqrt() + group["eps"])
    matrix.add_(moved * rate * state["exp_avg"] / correction)
    group = group | {"lr": moved * group["lr"]}
    _move(matrix, state, group, weight, state["exp_avg_sq"].mean() / correction2, correction)
    state["replaced"].copy_(step)


def _move(
    matrix: nn.Parameter,
    state: dict[str, Any],
    group: dict[str, Any],
    weight: Tensor,
    mean_square: Tensor,
    correction: Tensor,
) -> None:
    """Move M along its average gradient at one rate for all entries, and add up the threshold of the penalty."""
    # The penalty's own gradient, weight * U V^T, counts in the size of a step as the data's does: with small gradients
    # of the data, the threshold alone would otherwise remove every direction in a few dozen steps.
    penalty = weight.square() * state["rank"] / matrix.numel()
    rate = group["lr"] / ((mean_square + penalty).sqrt() + group["eps"])
    matrix.sub_(rate * state["exp_avg"] / correction)
    state["pending"] += rate * weight
