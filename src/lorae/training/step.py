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
        self.side = objective.side_penalty()

    def __call__(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """items: raw batch on the model's device."""
        x = self.objective.model.scaling(items)
        if x.ndim == 4:
            x = x.contiguous(memory_format=self.memory_format)
        losses, latents = [], []
        terms: dict[str, Tensor] = {}
        if self.side is not None:
            self.side.start()
        for target, optimizer in zip(self.targets, self.optimizers, strict=True):
            output = target.compute_loss(x)
            optimizer.zero_grad(set_to_none=True)
            # Of one player alone there is nobody else's weight to leave out.
            inputs = target.parameters if len(self.targets) > 1 else None
            output.loss.backward(inputs=inputs)  # type: ignore[no-untyped-call]
            losses.append(output.loss)
            terms |= output.terms
            if self.side is not None:  # a method with M has one player
                self.side.finish()
                losses.append(self.side.total)
                terms |= self.side.terms
            optimizer.step()
            latents.append(output.latents)
        ordered = [terms[name] for name in self.objective.weights]
        return torch.stack([sum(losses[1:], losses[0]), *ordered]).detach(), latents[0].detach()


class CapturedStep:
    """The same step, recorded once as a CUDA graph and replayed.

    The first steps run eagerly on a side stream, as CUDA asks of a warm-up; they are real steps, so nothing has
    to be undone. A batch of another size (the last of an epoch) runs eagerly.
    """

    WARMUP = 3

    def __init__(self, eager: EagerStep, batch_size: int) -> None:
        self.eager = eager
        self.batch_size = batch_size
        self.warm = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.items = self.row = self.latents = torch.empty(0)

    def __call__(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """items: raw batch on the GPU."""
        if len(items) != self.batch_size:
            return self.eager(items)
        if self.warm < self.WARMUP:
            self.warm += 1
            return self._on_side_stream(items)
        if self.graph is None:
            self.graph = self._captured(items)
        self.items.copy_(items)
        self.graph.replay()
        return self.row.clone(), self.latents.clone()

    def _on_side_stream(self, items: Tensor) -> tuple[Tensor, Tensor]:
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            result = self.eager(items)
        torch.cuda.current_stream().wait_stream(stream)
        return result

    def _captured(self, items: Tensor) -> torch.cuda.CUDAGraph:
        self.items = items.clone()
        for optimizer in self.eager.optimizers:
            optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        try:
            # Other threads may train models of their own meanwhile.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self.row, self.latents = self.eager(self.items)
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError) or isinstance(error.__context__, torch.OutOfMemoryError):
                raise torch.OutOfMemoryError(str(error)) from error
            reason = str(error).splitlines()[0]
            raise LoraeError(
                f"capture: the step cannot be recorded as a CUDA graph ({reason}); a penalty that reads a value back "
                "from the GPU, as .item() does, needs --capture off"
            ) from error
        return graph
