"""Random numbers of one computation, from its own generator instead of torch's global one, which all threads share."""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional, init
from torch.overrides import TorchFunctionMode


class _Current(threading.local):
    generator: torch.Generator | None = None
    # Rows of a batch of a size that tensors hold, while only these are computed here.
    part: tuple[slice, int] | None = None


_current = _Current()


@contextlib.contextmanager
def drawing_from(generator: torch.Generator, *, everything: bool = False) -> Iterator[None]:
    """Draw from a generator inside the block, in this thread: `randn_like`, `normal` and `uniform` of this module.

    With `everything` the functions of torch draw from it too, and create float32 tensors on the CPU, whatever torch's
    defaults are: for the initial weights of modules, and for code of other packages. It slows down small networks.
    """
    before, _current.generator = _current.generator, generator
    try:
        with _OwnDefaults() if everything else contextlib.nullcontext():
            yield
    finally:
        _current.generator = before


@contextlib.contextmanager
def drawing_part(rows: slice, n: int) -> Iterator[None]:
    """Draw inside the block for a whole batch of n items, and return the numbers of some rows, which are at hand.

    A batch that several processes compute then has the numbers of one that a single process computes, and leaves the
    generator in the same state. The first axis of what is drawn is that of the items.
    """
    before, _current.part = _current.part, (rows, n)
    try:
        yield
    finally:
        _current.part = before


class Replay:
    """Blocks that draw the same numbers, from the state in which the generator is now; `end` goes on from there.

    For a computation that is taken in pieces, or anew in the backward pass.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._start = self._end = self._state()

    @contextlib.contextmanager
    def again(self) -> Iterator[None]:
        """Draw from the first state inside the block; the generator has its own one afterwards."""
        before = self._state()
        self._set(self._start)
        try:
            yield
        finally:
            self._end = self._state()
            self._set(before)

    def end(self) -> None:
        """Go on after the numbers of a block."""
        self._set(self._end)

    def _state(self) -> Tensor:
        generator = _generator_for(self._device)
        if generator is not None:
            return generator.get_state()
        return torch.cuda.get_rng_state() if self._device.type == "cuda" else torch.get_rng_state()

    def _set(self, state: Tensor) -> None:
        generator = _generator_for(self._device)
        if generator is not None:
            generator.set_state(state)
        elif self._device.type == "cuda":
            torch.cuda.set_rng_state(state)
        else:
            torch.set_rng_state(state)


@contextlib.contextmanager
def drawing_apart(seed: int, device: torch.device) -> Iterator[None]:
    """Draw everything from a seed inside the block, as users' networks may draw any number; the generator stays."""
    before = torch.cuda.get_rng_state() if device.type == "cuda" else None
    try:
        if before is not None:
            torch.cuda.manual_seed(seed)
        with drawing_from(torch.Generator("cpu").manual_seed(seed), everything=True):
            yield
    finally:
        if before is not None:
            torch.cuda.set_rng_state(before)


def randn_like(x: Tensor) -> Tensor:
    """Return standard normal numbers in the shape, dtype, layout and device of a tensor."""
    if _current.part is not None:
        rows, n = _current.part
        whole = torch.empty((n, *x.shape[1:]), dtype=x.dtype, device=x.device, memory_format=_layout(x))
        return whole.normal_(generator=_generator_for(x.device))[rows]
    return torch.empty_like(x).normal_(generator=_generator_for(x.device))


def _layout(x: Tensor) -> torch.memory_format:
    last = x.ndim == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def normal(n: int, *shape: int, device: torch.device) -> Tensor:
    """Return standard normal numbers, float32."""
    return _drawn(torch.randn, n, *shape, device=device)


def uniform(n: int, *shape: int, device: torch.device) -> Tensor:
    """Return uniform numbers in [0, 1), float32."""
    return _drawn(torch.rand, n, *shape, device=device)


def _drawn(function: Callable[..., Tensor], n: int, *shape: int, device: torch.device) -> Tensor:
    rows, whole = _current.part or (None, n)
    drawn = function(whole, *shape, dtype=torch.float32, device=device, generator=_generator_for(device))
    return drawn if rows is None else drawn[rows]


def _generator_for(device: torch.device) -> torch.Generator | None:
    """Return the generator of this thread's computation, or None, torch's global one, on a device that it is not on.

    On a GPU that is the global one of the device: a CUDA graph records its draws.
    """
    generator = _current.generator
    return generator if generator is not None and generator.device.type == device.type else None


_FACTORIES = {torch.empty, torch.zeros, torch.ones, torch.full, torch.eye, torch.linspace, torch.rand, torch.randn}
# Functions of torch that take a generator; the initializers among them draw inside, out of reach of `_OwnDefaults`.
_DRAWS = {
    *(torch.rand, torch.randn, torch.randint, torch.randperm, torch.normal, torch.bernoulli, torch.multinomial),
    *(Tensor.normal_, Tensor.uniform_, Tensor.random_, Tensor.bernoulli_, Tensor.exponential_, Tensor.log_normal_),
    *(Tensor.cauchy_, Tensor.geometric_, Tensor.bernoulli, Tensor.multinomial, torch.poisson),
    *(init.uniform_, init.normal_, init.trunc_normal_, init.kaiming_uniform_, init.kaiming_normal_),
}
_LIKE = {torch.randn_like: Tensor.normal_, torch.rand_like: Tensor.uniform_}


class _OwnDefaults(TorchFunctionMode):
    """Draws from the thread's generator; float32 and the CPU where a new tensor states no dtype and no device."""

    def __torch_function__(
        self, func: Any, types: Iterable[Any], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in _FACTORIES or func in (torch.randint, torch.randperm, torch.tensor, torch.arange):
            kwargs["device"] = kwargs.get("device") or torch.device("cpu")
        if func in _FACTORIES and kwargs.get("dtype") is None and (func is not torch.full or _fills_floats(args)):
            kwargs["dtype"] = torch.float32
        if func is torch.tensor and isinstance(args[0], float) and kwargs.get("dtype") is None:
            kwargs["dtype"] = torch.float32
        if func in _LIKE:
            return _LIKE[func](torch.empty_like(*args, **kwargs), generator=_generator_for(_device_of(args, kwargs)))
        if func in _DRAWS and kwargs.get("generator") is None:
            kwargs["generator"] = _generator_for(_device_of(args, kwargs))
        if func is functional.dropout:
            return _dropout(*args, **kwargs)
        return func(*args, **kwargs)


def _device_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.device:
    tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
    return torch.device(kwargs.get("device") or (tensors[0].device if tensors else "cpu"))


def _fills_floats(args: tuple[Any, ...]) -> bool:
    return len(args) > 1 and isinstance(args[1], float)


def _dropout(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Return torch's dropout, with its numbers on a CPU, by draws that take a generator."""
    if not training or p in (0, 1):
        return functional.dropout(x, p, training, inplace)
    kept = torch.empty_like(x).bernoulli_(1 - p, generator=_generator_for(x.device)).div_(1 - p)
    return x.mul_(kept) if inplace else x * kept
