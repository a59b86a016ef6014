"""Computations that depend on no setting of the process or the thread that calls them, and change none."""

import contextlib
import os
import threading
from collections.abc import Iterator


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


class _FullPrecision:
    """Products of float32 matrices in float32: a setting of the process, restored when the last block is left."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blocks = 0
        self._before = "highest"

    def __enter__(self) -> None:
        import torch

        with self._lock:
            if not self._blocks:
                self._before = torch.get_float32_matmul_precision()
                if self._before != "highest":
                    torch.set_float32_matmul_precision("highest")
            self._blocks += 1

    def __exit__(self, *_: object) -> None:
        import torch

        with self._lock:
            self._blocks -= 1
            if not self._blocks and self._before != "highest":
                torch.set_float32_matmul_precision(self._before)

    def forget(self) -> None:
        """Start anew in a forked process, where no thread holds the lock of its parent any more."""
        self._lock, self._blocks = threading.Lock(), 0


_full_precision = _FullPrecision()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_full_precision.forget)
