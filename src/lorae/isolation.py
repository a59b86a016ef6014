"""Computations that depend on no setting of the process or the thread that calls them, and change none."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def isolated() -> Iterator[None]:
    """Compute as in a fresh process inside the block, in this thread; also a decorator.

    Gradients are recorded, outside inference mode and autocast; tensors are created on the CPU; products of matrices
    have full precision; denormal numbers are kept; NumPy's floating-point errors are warned of. Everything is restored
    at the end, after an exception too. Torch has no default dtype of a thread: code inside states its dtypes.
    """
    import numpy as np
    import torch

    with contextlib.ExitStack() as stack:
        stack.enter_context(np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
            stack.enter_context(torch.autocast(device, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        stack.enter_context(_denormal_numbers())
        stack.enter_context(_full_precision)
        yield


@contextlib.contextmanager
def _denormal_numbers() -> Iterator[None]:
    """Keep denormal numbers, which `torch.set_flush_denormal` switches for the calling thread."""
    import torch

    smallest = torch.full((), 1e-40, dtype=torch.float32, device="cpu")
    flushes = not (smallest * 1).item()
    if flushes:
        torch.set_flush_denormal(False)
    try:
        yield
    finally:
        if flushes:
            torch.set_flush_denormal(True)


class _ProcessSetting:
    """A setting of the process with another value inside blocks, restored when the last of them is left."""

    def __init__(self, read: Callable[[], Any], write: Callable[[Any], None], inside: Any) -> None:
        self._read, self._write, self._inside = read, write, inside
        self._before = inside
        self._lock, self._blocks = threading.Lock(), 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._blocks:
                self._before = self._read()
                if self._before != self._inside:
                    self._write(self._inside)
            self._blocks += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._blocks = max(0, self._blocks - 1)  # 0 already in a child that was forked inside a block
            if not self._blocks and self._before != self._inside:
                self._write(self._before)

    def forget(self) -> None:
        """Start anew in a forked process, where no thread holds the lock of its parent any more."""
        self._lock, self._blocks = threading.Lock(), 0


def _read_products() -> str:
    import torch

    return torch.get_float32_matmul_precision()


def _write_products(precision: str) -> None:
    import torch

    torch.set_float32_matmul_precision(precision)


def _read_convolutions() -> bool:
    import torch

    return torch.backends.cudnn.allow_tf32


def _write_convolutions(allowed: bool) -> None:
    import torch

    torch.backends.cudnn.allow_tf32 = allowed


# Products of float32 matrices in float32.
_full_precision = _ProcessSetting(_read_products, _write_products, "highest")
# Convolutions of float32 images on a GPU in float32 instead of TF32, torch's default: for measurements, not for steps.
full_convolutions = _ProcessSetting(_read_convolutions, _write_convolutions, False)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_full_precision.forget)
    os.register_at_fork(after_in_child=full_convolutions.forget)
