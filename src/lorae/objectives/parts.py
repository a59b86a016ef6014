"""A batch in parts: among processes, and in pieces one after the other, with the loss and the gradient of the whole."""

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.utils.checkpoint import checkpoint

from lorae.errors import LoraeError
from lorae.penalties._context import PenaltyContext
from lorae.randomness import Replay, drawing_apart, drawing_part
from lorae.system.processes import ALONE, Processes

# Seeds of the draws of users' networks, in which each step, process and piece has its own.
SEEDS_PER_STEP = 1_000_003


class Parts:
    """The part of each batch that this process computes, in pieces of which one at a time is in memory.

    The networks between items and latents, and between latents and items, are computed for the rows of this process,
    the bottleneck and what depends on latents for the whole batch by every process, since their items may depend on
    each other. A term of the loss is then one of

    - a mean over items, taken over the rows of this process and multiplied by their share (`of_items`),
    - a value that all processes compute alike, divided by their number (`once`),

    so that the sum over the processes is the loss of the whole batch, and the sum of their gradients its gradient. By
    default a process computes everything itself, and these functions return their arguments.
    """

    def __init__(
        self, processes: Processes = ALONE, pieces: int = 1, *, foreign_networks: bool = False, seed: int = 0
    ) -> None:
        self.processes = processes
        self.pieces = pieces
        self.trivial = processes.alone and pieces == 1
        self._foreign = foreign_networks and not self.trivial
        self._seed = seed
        self._drawn = 0
        self.n = self.count = 0
        self.rows = slice(None)

    def check(self, *networks: nn.Module) -> None:
        """Raise LoraeError for networks whose items depend on each other, which parts would change."""
        found = next((type(m).__name__ for net in networks for m in net.modules() if isinstance(m, _BatchNorm)), None)
        if found is not None and not self.trivial:
            raise LoraeError(
                f"network: has {found}, whose statistics would be those of a part of a batch with several processes or "
                "accumulate; use GroupNorm or LayerNorm, or train in one process with accumulate=1",
                settings={"accumulate": 1},
            )

    def begin(self, n: int, step: int = 0) -> slice:
        """Start a batch of n items; return the rows of this process, at least one, whose share may be zero."""
        if self.trivial:
            return self.rows
        mine = self.processes.share(n)
        self.n, self.count = n, mine.stop - mine.start
        self.rows = mine if self.count else slice(0, 1)
        self._drawn = SEEDS_PER_STEP * (self._seed + step) + 1009 * self.processes.rank
        return self.rows

    def check_draws(self, generator: torch.Generator, device: torch.device) -> None:
        """Raise LoraeError unless the processes have drawn alike; all later numbers would differ."""
        if self.processes.alone:
            return
        state = torch.cuda.get_rng_state() if device.type == "cuda" else generator.get_state()
        states = self.processes.collected(hashlib.sha256(state.numpy().tobytes()).digest())
        if any(other != states[0] for other in states):
            raise LoraeError(
                "torchrun: the processes have drawn different random numbers; a penalty that says BY_ITEMS has to draw "
                "them by lorae.randomness, and may not run networks that draw themselves"
            )

    @property
    def has_items(self) -> bool:
        """Whether items of the batch belong to this process; in a batch of few items there may be none."""
        return self.processes.alone or self.count > 0

    def of_items(self, mean: Tensor) -> Tensor:
        """Return the part of a mean over all items of one over those of this process."""
        return mean if self.processes.alone else mean * (self.count / self.n)

    def once(self, value: Tensor) -> Tensor:
        """Return the part of this process in a value that all compute alike."""
        return value if self.processes.alone else value / self.processes.count

    def own(self, whole: Tensor) -> Tensor:
        """Return the rows of this process of a tensor of the whole batch."""
        return whole if self.processes.alone else whole[self.rows]

    def whole(self, rows: Tensor) -> Tensor:
        """Return the rows of all processes, with the gradient that all of them give to those of this one."""
        if self.processes.alone:
            return rows
        gathered: Tensor = _Gathered.apply(rows[: self.count], self)  # type: ignore[no-untyped-call]
        return gathered

    def total(self, count: Tensor) -> Tensor:
        """Return the sum of a number over the processes, without a gradient; one without items counts none."""
        if self.processes.alone:
            return count
        import torch.distributed as dist

        count = count * bool(self.count)
        dist.all_reduce(count)
        return count

    def drawing(self) -> contextlib.AbstractContextManager[None]:
        """Draw for the whole batch inside the block, and use the numbers of the rows of this process."""
        return contextlib.nullcontext() if self.processes.alone else drawing_part(self.rows, self.n)

    def apply(self, network: nn.Module, x: Tensor) -> Tensor:
        """Return a network's outputs for the rows of this process, (m, ...).

        In several pieces the outputs alone are kept, and the backward pass computes each piece again.
        """
        if self.trivial:
            outputs: Tensor = network(x)
            return outputs
        pieces = x.tensor_split(min(self.pieces, len(x)))
        results = []
        for index, piece in enumerate(pieces):
            self._drawn += 1
            function = self._drawing_apart(network, self._drawn)
            if len(pieces) == 1:
                return function(piece)
            results.append(_recomputed(function, network, index, piece))
        return torch.cat(results)

    def _drawing_apart(self, network: nn.Module, seed: int) -> Callable[[Tensor], Tensor]:
        """Return a network of the user with draws of its own, whose number is not known: the generator stays alike."""
        if not self._foreign:
            return network

        def apart(x: Tensor) -> Tensor:
            with drawing_apart(seed, x.device):
                outputs: Tensor = network(x)
                return outputs

        return apart

    def penalty(self, function: Callable[[Any], Tensor], context: PenaltyContext, *, by_items: bool) -> Tensor:
        """Return the part of this process in a penalty.

        context: has the latents of the whole batch, and the inputs and reconstructions of this process
        by_items: whether the penalty is a mean over items that do not depend on each other
        """
        if self.trivial:
            return function(context)
        if not by_items:
            return self.once(function(WholeBatchContext(context, self)))
        tensors = context.inputs, self.own(context.encoder_outputs), self.own(context.latents), context.reconstructions
        networks = context.encoder, context.decoder, context.bottleneck
        replay, start = Replay(context.inputs.device), self.rows.start or 0

        def of_rows(first: int, *tensors: Tensor) -> Tensor:
            rows = slice(start + first, start + first + len(tensors[0]))
            with replay.again(), drawing_part(rows, self.n):
                return function(PenaltyContext(*networks, *tensors))

        if self.pieces == 1:
            mean = of_rows(0, *tensors)
        else:
            trained = [p for part in (context.encoder, context.decoder, context.bottleneck) for p in _parameters(part)]
            mean = _MeanOverPieces.apply(of_rows, networks[:2], self.pieces, *tensors, *trained)  # type: ignore[no-untyped-call]
        replay.end()
        return self.of_items(mean)


def _parameters(part: Any) -> list[nn.Parameter]:
    return [parameter for module in part.modules() for parameter in module.parameters(recurse=False)]


class _MeanOverPieces(torch.autograd.Function):
    """A mean over items, piece by piece; the gradient of each is taken with its value, and nothing else is kept."""

    @staticmethod
    def forward(
        ctx: Any, of_rows: Callable[..., Tensor], networks: Iterable[nn.Module], pieces: int, *given: Tensor
    ) -> Tensor:
        m, norms = len(given[0]), [_Norms(network) for network in networks]
        tensors, trained = given[:4], given[4:]
        needs = [place for place, needed in enumerate(ctx.needs_input_grad[3:]) if needed]
        totals = {place: torch.zeros_like(given[place]) for place in needs}
        value, first = torch.zeros((), dtype=torch.float32, device=given[0].device), 0
        while first < m:
            rows = slice(first, first + -(-m // pieces))
            leaves = [tensor[rows].detach().requires_grad_(tensor.is_floating_point()) for tensor in tensors]
            with torch.enable_grad():
                part = of_rows(first, *leaves) * (len(leaves[0]) / m)
            sources = [(*leaves, *trained)[place] for place in needs]
            for place, found in zip(needs, torch.autograd.grad(part, sources, allow_unused=True), strict=True):
                if found is not None:
                    total = totals[place][rows] if place < len(tensors) else totals[place]
                    total += found
            value += part.detach()
            first = rows.stop
            for norm in norms:
                norm.train(False)
        for norm in norms:
            norm.train(True)
        ctx.places = needs
        ctx.save_for_backward(*totals.values())
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        found = dict(zip(ctx.places, ctx.saved_tensors, strict=True))
        count = len(ctx.needs_input_grad) - 3
        return (None, None, None, *(gradients[0] * found[i] if i in found else None for i in range(count)))


def _recomputed(function: Callable[..., Tensor], network: nn.Module, index: int, *piece: Tensor) -> Tensor:
    """Return a function of a piece, of which the backward pass computes the inner values again."""
    norms = _Norms(network, moves=index == 0)
    options: dict[str, Any] = {"use_reentrant": False, "preserve_rng_state": False}
    result: Tensor = checkpoint(function, *piece, context_fn=lambda: (norms.first(), norms.again()), **options)
    return result


class _Norms:
    """The estimates of a network's spectral norms: they move once a batch, and the backward pass has them again."""

    def __init__(self, network: nn.Module, *, moves: bool = True) -> None:
        self._norms = [m for m in network.modules() if isinstance(m, _SpectralNorm) and m.training]
        self._moves = moves
        self._used: list[Tensor] = []

    @contextlib.contextmanager
    def first(self) -> Iterator[None]:
        """Compute a piece; the first one of a batch moves the estimates."""
        self.train(self._moves)
        try:
            yield
        finally:
            self.train(True)
            self._used = [buffer.clone() for buffer in self._buffers()]

    @contextlib.contextmanager
    def again(self) -> Iterator[None]:
        """Compute a piece again, with the estimates of the first time."""
        now = [buffer.clone() for buffer in self._buffers()]
        self._set(self._used)
        self.train(False)
        try:
            yield
        finally:
            self.train(True)
            self._set(now)

    def train(self, moves: bool) -> None:
        """Let the estimates move with the next passes, or stay."""
        for norm in self._norms:
            norm.train(moves)

    def _buffers(self) -> list[Tensor]:
        return [buffer for norm in self._norms for buffer in norm.buffers()]

    @torch.no_grad()
    def _set(self, values: list[Tensor]) -> None:
        for buffer, value in zip(self._buffers(), values, strict=True):
            buffer.copy_(value)


class WholeBatchContext(PenaltyContext):
    """A context of the whole batch, whose inputs and reconstructions are gathered if the penalty reads them."""

    def __init__(self, context: PenaltyContext, parts: Parts) -> None:
        values = {name: getattr(context, name) for name in ("encoder", "decoder", "bottleneck")}
        values |= {"encoder_outputs": context.encoder_outputs, "latents": context.latents}
        self.__dict__.update(values, _context=context, _parts=parts)

    @cached_property
    def inputs(self) -> Tensor:
        """Inputs of all processes."""
        whole: Tensor = self.__dict__["_parts"].whole(self.__dict__["_context"].inputs)
        return whole

    @cached_property
    def reconstructions(self) -> Tensor:
        """Reconstructions of all processes, with their gradient."""
        whole: Tensor = self.__dict__["_parts"].whole(self.__dict__["_context"].reconstructions)
        return whole


class _Gathered(torch.autograd.Function):
    """Rows of all processes in their order; the gradient of a process's rows is the sum of what all give to them."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, parts: Parts) -> Tensor:
        import torch.distributed as dist

        ctx.parts = parts
        shares = [parts.processes.share(parts.n, rank) for rank in range(parts.processes.count)]
        sizes = [share.stop - share.start for share in shares]
        padded = rows.new_zeros(max(sizes), *rows.shape[1:])
        padded[: len(rows)] = rows
        gathered = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(gathered, padded)
        return torch.cat([part[:size] for part, size in zip(gathered, sizes, strict=True)])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        import torch.distributed as dist

        parts: Parts = ctx.parts
        gradient = gradients[0].contiguous().clone()
        dist.all_reduce(gradient)
        return gradient[parts.rows][: parts.count], None
