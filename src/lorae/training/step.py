"""One optimisation step: eager on a CPU, captured as a CUDA graph on a GPU, where batch 32 is bound by launches."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lorae.errors import LoraeError
from lorae.objectives.objective import Objective, OptimizerTarget
from lorae.optim.proximal_adam import ProximalAdam

# Raw items (n, ...) -> (loss and terms in one vector, latents); both detached.
TakeStep = Callable[[Tensor], tuple[Tensor, Tensor]]


def build_step(
    objective: Objective,
    optimizers: list[torch.optim.Adam],
    memory_format: torch.memory_format,
    *,
    batch_size: int,
    capture: bool = True,
) -> TakeStep:
    """The fastest step for the device that the model is on; `capture` False keeps it eager on a GPU too."""
    eager = EagerStep(objective, optimizers, memory_format)
    return CapturedStep(eager, batch_size) if capture and objective.penalty_scale.is_cuda else eager


def build_optimizers(objective: Objective, lr: float, beta1: float = 0.9) -> list[torch.optim.Adam]:
    """Adam for each player, fused; on a GPU with its state and rate there, so that it can be captured."""
    on_gpu = objective.penalty_scale.is_cuda

    def build(target: OptimizerTarget) -> torch.optim.Adam:
        options: dict[str, Any] = {
            "lr": torch.tensor(lr, device="cuda") if on_gpu else lr,
            "betas": (beta1, 0.999),
            "fused": True,
            "capturable": on_gpu,
        }
        if target.matrix is None:
            return torch.optim.Adam(target.parameters, **options)
        others = [parameter for parameter in target.parameters if parameter is not target.matrix]
        weight = torch.zeros((), device=objective.penalty_scale.device)
        return ProximalAdam(others, target.matrix, weight, **options)

    return [build(target) for target in objective.targets()]


class EagerStep:
    """Scale, then forward, backward and update of each player in turn."""

    def __init__(
        self, objective: Objective, optimizers: list[torch.optim.Adam], memory_format: torch.memory_format
    ) -> None:
        self.objective = objective
        self.optimizers = optimizers
        self.memory_format = memory_format
        self.targets: list[OptimizerTarget] = objective.targets()
        self.concurrent = objective.compute_concurrently()

    def __call__(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """items: raw batch on the model's device."""
        x = self.objective.model.scaling(items)
        if x.ndim == 4:
            x = x.contiguous(memory_format=self.memory_format)
        losses, latents = [], []
        terms: dict[str, Tensor] = {}
        if self.concurrent is not None:
            self.concurrent.start()
        for target, optimizer in zip(self.targets, self.optimizers, strict=True):
            output = target.compute_loss(x)
            optimizer.zero_grad(set_to_none=True)
            # Of one player alone there is nobody else's weight to leave out.
            inputs = target.parameters if len(self.targets) > 1 else None
            output.loss.backward(inputs=inputs)  # type: ignore[no-untyped-call]
            losses.append(output.loss)
            terms |= output.terms
            if self.concurrent is not None:  # a method with M has one player
                self.concurrent.finish()
                losses.append(self.concurrent.total)
                terms |= self.concurrent.terms
            optimizer.step()
            latents.append(output.latents)
        if self.concurrent is not None:
            self.concurrent.took()
        ordered = [terms[name] for name in self.objective.weights]
        return torch.stack([sum(losses[1:], losses[0]), *ordered]).detach(), latents[0].detach()


class CapturedStep:
    """The same step, recorded once as a CUDA graph and replayed.

    The first steps run eagerly on a side stream, as CUDA asks of a warm-up; they are real steps, so nothing has
    to be undone. A batch of another size (the last of an epoch) runs eagerly. Steps that look at M and steps that hold
    the slope of a penalty have a graph each.
    """

    WARMUP = 3

    def __init__(self, eager: EagerStep, batch_size: int) -> None:
        self.eager = eager
        self.batch_size = batch_size
        self.warm = 0
        self.graphs: dict[bool, tuple[torch.cuda.CUDAGraph, Tensor, Tensor]] = {}
        self.items = torch.empty(0)

    def __call__(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """items: raw batch on the GPU."""
        if len(items) != self.batch_size:
            return self.eager(items)
        if self.warm < self.WARMUP:
            self.warm += 1
            return self._on_side_stream(items)
        concurrent = self.eager.concurrent
        looks = concurrent is not None and concurrent.look
        if looks not in self.graphs:
            self.graphs[looks] = self._captured(items)
        graph, row, latents = self.graphs[looks]
        self.items.copy_(items)
        graph.replay()
        if concurrent is not None:
            concurrent.took()
        return row.clone(), latents.clone()

    def _on_side_stream(self, items: Tensor) -> tuple[Tensor, Tensor]:
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            result = self.eager(items)
        torch.cuda.current_stream().wait_stream(stream)
        return result

    def _captured(self, items: Tensor) -> tuple[torch.cuda.CUDAGraph, Tensor, Tensor]:
        if not self.graphs:
            self.items = items.clone()
        for optimizer in self.eager.optimizers:
            optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        # On a stream of its own: graphs recorded on one stream share the workspace of its matrix products, so that they
        # cannot be replayed at once. Before what is computed beside it; and other threads may work meanwhile.
        stream = torch.cuda.Stream(priority=-1)  # type: ignore[no-untyped-call]
        try:
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                row, latents = self.eager(self.items)
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError) or isinstance(error.__context__, torch.OutOfMemoryError):
                raise torch.OutOfMemoryError(str(error)) from error
            reason = str(error).splitlines()[0]
            raise LoraeError(
                f"capture: the step cannot be recorded as a CUDA graph ({reason}); a penalty that reads a value back "
                "from the GPU, as .item() does, needs --capture off"
            ) from error
        return graph, row, latents
