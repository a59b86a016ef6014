"""Helpers for the state of Adam."""

from typing import Any

import torch
from torch import Tensor


def restore_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load a state from another device; torch moves all tensors but a learning rate."""
    devices = [group["lr"].device if isinstance(group["lr"], Tensor) else None for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, device in zip(optimizer.param_groups, devices, strict=True):
        if device is not None:
            group["lr"] = torch.as_tensor(group["lr"], device=device)


# Far below what can change a float32 weight through Adam, and so far above the smallest normal number (1e-38) that
# an average, which decays by 0.9 a step, takes more than 100 steps from here to there.
NEGLIGIBLE_MOMENT = 1e-30


def flush_denormal_moments(optimizer: torch.optim.Adam) -> None:
    """Set Adam's running gradients below `NEGLIGIBLE_MOMENT` to zero.

    The averages of weights that no longer get a gradient decay into denormal numbers and stay there (0.9 times the
    smallest one rounds to itself); a CPU computes those slowly: MNIST slows down by 25% after 600 steps without this.
    """
    for state in optimizer.state.values():
        state["exp_avg"].copy_(torch.nn.functional.hardshrink(state["exp_avg"], NEGLIGIBLE_MOMENT))


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the rate in place where it is a tensor: a captured step reads it from there."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr


# Steps between two calls of `flush_denormal_moments`.
FLUSH_EVERY = 100
