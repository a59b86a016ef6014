"""One optimization step: eager on a CPU, a CUDA graph on a GPU, where kernel launches dominate batches of 32."""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from lorae.errors import LoraeError
from lorae.objectives.objective import Objective, OptimizerTarget
from lorae.optim.proximal_adam import ProximalAdam
from lorae.training.shared_gradients import with_shared_gradients


@dataclass(frozen=True)
class StepResult:
    """Losses and latents of one step, detached; with several processes the part of this one in the losses."""

    names: tuple[str, ...]  # `loss`, then the terms of the objective
    values: Tensor  # unweighted, in the order of the names; one tensor, so that a step on a GPU copies it by one kernel
    latents: Tensor  # (n, latent_dim)

    def __getitem__(self, name: str) -> Tensor:
        """Return the loss or a term by name, a scalar."""
        return self.values[self.names.index(name)]


class TakeStep(Protocol):
    """A step on raw items (n, ...) on the device of the model, compared with targets in place of the items if given.

    With several processes they are the rows of this one, see `lorae.objectives.parts.Parts.begin`.
    """

    def __call__(self, items: Tensor, targets: Tensor | None = None) -> StepResult:
        """Take one step."""
        ...


def build_step(
    objective: Objective,
    optimizers: list[torch.optim.Adam],
    memory_format: torch.memory_format,
    *,
    batch_size: int,
    capture: bool = True,
    clip_gradients: float | None = None,
) -> TakeStep:
    """Return the fastest step for the device of the model; with `capture` False it is eager on a GPU too."""
    eager = EagerStep(objective, optimizers, memory_format, clip_gradients)
    capture = capture and objective.penalty_scale.is_cuda and objective.parts.trivial
    return CapturedStep(eager, batch_size) if capture else eager


def build_optimizers(objective: Objective, lr: float, beta1: float = 0.9) -> list[torch.optim.Adam]:
    """Build a fused Adam for each target; on a GPU with its state and rate there, so that it can be captured."""
    on_gpu = objective.penalty_scale.is_cuda

    def build(target: OptimizerTarget) -> torch.optim.Adam:
        options: dict[str, Any] = {"betas": (beta1, 0.999), "fused": True, "capturable": on_gpu}
        options["lr"] = torch.tensor(lr, dtype=torch.float32, device="cuda") if on_gpu else lr
        if target.matrix is None:
            return torch.optim.Adam(target.parameters, **options)
        others = [parameter for parameter in target.parameters if parameter is not target.matrix]
        return ProximalAdam(others, target.matrix, torch.zeros_like(objective.penalty_scale), **options)

    return [build(target) for target in objective.targets()]


@dataclass
class EagerStep:
    """Scale the items, then forward, backward and update for each target in turn."""

    objective: Objective
    optimizers: list[torch.optim.Adam]
    memory_format: torch.memory_format
    clip_gradients: float | None = None  # largest norm of the gradient of a target

    def __post_init__(self) -> None:
        self.targets = self.objective.targets()
        self.concurrent = self.objective.compute_concurrently()
        self.names = ("loss", *self.objective.weights)
        own = self.objective.model.networks is not None
        processes = self.objective.parts.processes
        self.losses = [with_shared_gradients(target, processes, some_unused=own) for target in self.targets]

    def __call__(self, items: Tensor, targets: Tensor | None = None) -> StepResult:
        """Take one step on raw items, (n, ...), see `TakeStep`."""
        x = self.objective.model.scaling(items)
        if x.ndim == 4:
            x = x.contiguous(memory_format=self.memory_format)
        compared = () if targets is None else (self.objective.model.scaling(targets),)
        losses: list[Tensor] = []
        latents: list[Tensor] = []
        values: dict[str, Tensor] = {}
        once = self.objective.parts.once
        if self.concurrent is not None:
            self.concurrent.start()
        for target, compute_loss, optimizer in zip(self.targets, self.losses, self.optimizers, strict=True):
            output = compute_loss(x, *compared)
            optimizer.zero_grad(set_to_none=True)
            # A single target moves all parameters that have a gradient.
            inputs = target.parameters if len(self.targets) > 1 else None
            output.loss.backward(inputs=inputs)  # type: ignore[no-untyped-call]
            losses.append(once(output.loss))
            values |= output.terms
            if self.concurrent is not None:  # a method with M has one target
                self.concurrent.finish()
                losses.append(once(self.concurrent.total))
                values |= {name: once(term) for name, term in self.concurrent.terms.items()}
            if self.clip_gradients is not None:
                torch.nn.utils.clip_grad_norm_(target.parameters, self.clip_gradients)  # reads nothing back
            optimizer.step()
            latents.append(output.latents)
        if self.concurrent is not None:
            self.concurrent.end_step()
        values["loss"] = sum(losses[1:], losses[0])
        stacked = torch.stack([values[name] for name in self.names])
        return StepResult(self.names, stacked.detach(), latents[0].detach())


@dataclass
class CapturedStep:
    """Optimization step that is recorded once as a CUDA graph and replayed.

    The first steps run eagerly on a side stream, as CUDA requires before a capture; they are steps of the training. A
    batch of another size (the last of an epoch) runs eagerly. Steps that linearize the penalties of M anew have a graph
    of their own.
    """

    WARMUP: ClassVar = 3

    eager: EagerStep
    batch_size: int
    warm: int = 0
    # Whether penalties are linearized -> the graph, and the memory of its result.
    graphs: dict[bool, tuple[torch.cuda.CUDAGraph, StepResult]] = field(default_factory=dict)
    items: Tensor = field(default_factory=lambda: torch.empty(0))

    def __call__(self, items: Tensor, targets: Tensor | None = None) -> StepResult:
        """Take one step on raw items on the GPU, (n, ...); eagerly with targets, which are rare."""
        if targets is not None or len(items) != self.batch_size:
            return self.eager(items, targets)
        if self.warm < self.WARMUP:
            self.warm += 1
            return self._on_side_stream(items)
        concurrent = self.eager.concurrent
        linearizes = concurrent is not None and concurrent.linearizes
        if linearizes not in self.graphs:
            self.graphs[linearizes] = self._capture(items)
        graph, result = self.graphs[linearizes]
        self.items.copy_(items)
        graph.replay()
        if concurrent is not None:
            concurrent.end_step()
        return replace(result, values=result.values.clone(), latents=result.latents.clone())

    def _on_side_stream(self, items: Tensor) -> StepResult:
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            result = self.eager(items)
        torch.cuda.current_stream().wait_stream(stream)
        return result

    def _capture(self, items: Tensor) -> tuple[torch.cuda.CUDAGraph, StepResult]:
        if not self.graphs:
            self.items = items.clone()
        for optimizer in self.eager.optimizers:
            optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        # On its own stream: graphs of one stream share the workspace of its matrix products and cannot be replayed at
        # once. Before the concurrent computations; other threads may work meanwhile.
        stream = torch.cuda.Stream(priority=-1)  # type: ignore[no-untyped-call]
        try:
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                result = self.eager(self.items)
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError) or isinstance(error.__context__, torch.OutOfMemoryError):
                raise torch.OutOfMemoryError(str(error)) from error
            reason = str(error).splitlines()[0]
            raise LoraeError(
                f"capture: the step cannot be recorded as a CUDA graph ({reason}); a penalty that reads a value back "
                "from the GPU, as .item() does, needs capture='off'",
                settings={"capture": "off"},
            ) from error
        return graph, result
