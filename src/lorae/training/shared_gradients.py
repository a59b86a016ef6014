"""Gradients of several processes, added up by torch's DistributedDataParallel while the backward pass goes on."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lorae.objectives.objective import LossOutput, OptimizerTarget
from lorae.system.processes import Processes


class _Loss(nn.Module):
    """The loss of a target as a module, whose parameters are those of the target."""

    def __init__(self, target: OptimizerTarget, count: int) -> None:
        super().__init__()
        self.minimized = nn.ParameterList(target.parameters)
        self._compute = target.compute_loss
        self._count = count

    def forward(self, *batch: Tensor) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Return loss, terms and latents; the loss times the number of processes, over which gradients are averaged."""
        output = self._compute(*batch)
        return output.loss * self._count, output.terms, output.latents


def with_shared_gradients(
    target: OptimizerTarget, processes: Processes, *, some_unused: bool = False
) -> Callable[..., LossOutput]:
    """Return the loss of a target, whose backward pass gives the sum of the gradients of all processes.

    some_unused: whether parameters may have no part in the loss, as in networks of users
    """
    if processes.alone:
        return target.compute_loss
    # As views of the buckets no gradient is copied.
    shared = nn.parallel.DistributedDataParallel(
        _Loss(target, processes.count),
        gradient_as_bucket_view=True,
        find_unused_parameters=some_unused,
    )

    def compute_loss(*batch: Tensor) -> LossOutput:
        with torch.enable_grad():
            return LossOutput(*shared(*batch))

    return compute_loss
