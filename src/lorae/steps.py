"""One optimisation step: eager on a CPU, captured as a CUDA graph on a GPU, where batch 32 is bound by launches."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lorae.errors import LoraeError
from lorae.objective import Objective, Player
from lorae.proximal import ProximalAdam

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

    def build(player: Player) -> torch.optim.Adam:
        options: dict[str, Any] = {
            "lr": torch.tensor(lr, device="cuda") if on_gpu else lr,
            "betas": (beta1, 0.999),
            "fused": True,
            "capturable": on_gpu,
        }
        if player.matrix is None:
            return torch.optim.Adam(player.parameters, **options)
        others = [parameter for parameter in player.parameters if parameter is not player.matrix]
        weight = torch.zeros((), device=objective.penalty_scale.device)
        return ProximalAdam(others, player.matrix, weight, **options)

    return [build(player) for player in objective.players()]


def restore_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load a state whose tensors may lie elsewhere; torch moves all of them but a rate that is a tensor."""
    devices = [group["lr"].device if isinstance(group["lr"], Tensor) else None for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, device in zip(optimizer.param_groups, devices, strict=True):
        if device is not None:
            group["lr"] = torch.as_tensor(group["lr"], device=device)


# Far below what can change a float32 weight through Adam, and so far above the smallest normal number (1e-38) that
# an average, which decays by 0.9 a step, takes more than 100 steps from here to there.
FADED = 1e-30


def clear_faded_averages(optimizer: torch.optim.Adam) -> None:
    """Set Adam's running gradients below `FADED` to zero.

    The averages of weights that no longer get a gradient decay into denormal numbers and stay there (0.9 times the
    smallest one rounds to itself); a CPU computes those slowly: MNIST slows down by 25% after 600 steps without this.
    """
    for state in optimizer.state.values():
        state["exp_avg"].copy_(torch.nn.functional.hardshrink(state["exp_avg"], FADED))


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the rate in place where it is a tensor: a captured step reads it from there."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr


class EagerStep:
    """Scale, then forward, backward and update of each player in turn."""

    def __init__(
        self, objective: Objective, optimizers: list[torch.optim.Adam], memory_format: torch.memory_format
    ) -> None:
        self.objective = objective
        self.optimizers = optimizers
        self.memory_format = memory_format
        self.players: list[Player] = objective.players()
        self.side = objective.move_beside()

    def __call__(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """items: raw batch on the model's device."""
        x = self.objective.model.scaling(items)
        if x.ndim == 4:
            x = x.contiguous(memory_format=self.memory_format)
        losses, latents = [], []
        terms: dict[str, Tensor] = {}
        if self.side is not None:
            self.side.start()
        for player, optimizer in zip(self.players, self.optimizers, strict=True):
            outcome = player.play(x)
            optimizer.zero_grad(set_to_none=True)
            # Of one player alone there is nobody else's weight to leave out.
            inputs = player.parameters if len(self.players) > 1 else None
            outcome.loss.backward(inputs=inputs)  # type: ignore[no-untyped-call]
            losses.append(outcome.loss)
            terms |= outcome.terms
            if self.side is not None:  # a method with M has one player
                self.side.finish()
                losses.append(self.side.total)
                terms |= self.side.terms
            optimizer.step()
            latents.append(outcome.latents)
        if self.side is not None:
            self.side.took()
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
        side = self.eager.side
        looks = side is not None and side.look
        if looks not in self.graphs:
            self.graphs[looks] = self._captured(items)
        graph, row, latents = self.graphs[looks]
        self.items.copy_(items)
        graph.replay()
        if side is not None:
            side.took()
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
        # Before what is computed beside it; and other threads may train models of their own meanwhile.
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
