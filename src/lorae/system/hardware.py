"""Choose device, precision, memory layout and threads."""

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Iterator

import torch

from lorae.errors import LoraeError
from lorae.system.memory import memory as memory

# The threads of a parent process do not exist in a forked child, where the pool of OpenMP would wait for them forever.
_forked = False


def _use_one_thread() -> None:
    global _forked, _lock
    _forked = True
    _lock = threading.Lock()  # a thread of the parent may have held it
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_use_one_thread)


def choose_device(name: str, origin: str = "argument device") -> str:
    """Return `cpu` or `cuda`; refuse `cuda` without a GPU, with the origin of the name in the message."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise LoraeError(
            f"device: got 'cuda', but torch sees no GPU here; expected cpu or auto (from {origin})", argument="device"
        )
    return name


def choose_precision(name: str, device: str, network: str) -> str:
    """Return the precision of convolutions; `auto` is bfloat16 where the hardware multiplies it faster than float32.

    It queries the hardware and times nothing: close timings would make two runs of one seed differ.
    """
    if name != "auto":
        return name
    if network not in ("mnist", "celeba", "resnet"):
        # No convolutions, only corrections to a linear path that is exact to float32, or networks that are not known.
        return "float32"
    return "bfloat16" if bfloat16_unit(device) else "float32"


def bfloat16_unit(device: str) -> str | None:
    """Return the hardware for fast bfloat16: `tensor_cores`, `amx_bf16`, `avx512_bf16` or None."""
    if device == "cuda":  # tensor cores take bfloat16 from Ampere on
        return "tensor_cores" if torch.cuda.get_device_capability()[0] >= 8 else None
    # Measured on the MNIST network, 2 cores: 1.7 times as fast with AMX, 1.4 times with AVX-512's products of bfloat16.
    # Processors without either only emulate them; torch before 2.10 cannot tell.
    if not hasattr(torch.cpu, "get_capabilities"):
        return None
    capabilities = torch.cpu.get_capabilities()
    return next((unit for unit in ("amx_bf16", "avx512_bf16") if capabilities.get(unit, False)), None)


def card() -> dict[str, str]:
    """Return the name of the GPU as `card`, for a record; nothing without a GPU."""
    return {"card": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}


def memory_format(device: str, precision: str) -> torch.memory_format:
    """Return channels last where convolutions are faster with it: on CPUs (oneDNN), on GPUs with bfloat16."""
    if device == "cpu" or precision == "bfloat16":
        return torch.channels_last
    return torch.contiguous_format


def set_memory_format(model: torch.nn.Module, layout: torch.memory_format) -> None:
    """Put the weights of two-dimensional convolutions in a memory layout; those of volumes have no channels last."""
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.ndim == 4:
            tensor.data = tensor.data.contiguous(memory_format=layout)


# Larger buffers have memory of their own: glibc fits aligned ones badly into what was freed. With steps of buffers of
# 33 MB a process grew by 25 MB a step, to 2 GB, which stays at 0.7 GB so; their page faults are a small part of a step.
LARGE_BUFFER = 16 * 1024**2


def keep_freed_memory() -> None:
    """Make glibc keep freed memory in the process instead of returning it after every operation.

    A training step frees and allocates the same buffers of some MB repeatedly. Page faults of fresh memory cost about
    12% of a step on the MNIST network. Does nothing without glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform.startswith("linux") else None
    if mallopt is not None:
        mallopt(-3, LARGE_BUFFER)  # M_MMAP_THRESHOLD of malloc.h
        mallopt(-1, 512 * 1024**2)  # M_TRIM_THRESHOLD


# Products of a training step below which a second thread costs more than it computes: an MLP of 80,000 weights at batch
# 128 takes as long on one idle core as on two, and a seventh of the time where another process uses one of them.
PARALLEL_PRODUCTS = 5e7
CONVOLUTIONS = (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)


def thread_count(batch_size: int, model: torch.nn.Module) -> int:
    """Return the number of threads for training a model: one for small networks, else torch's own number.

    Every weight is multiplied once for each item, those of convolutions many times: these always take all threads.
    """
    parameters = sum(parameter.numel() for parameter in model.parameters())
    convolutional = any(isinstance(module, CONVOLUTIONS) for module in model.modules())
    return available_threads() if convolutional or batch_size * parameters > PARALLEL_PRODUCTS else 1


class _Blocks(threading.local):
    """Blocks of `threads` that this thread is in."""

    depth = 0


_here = _Blocks()
_lock = threading.Lock()
# Numbers of threads of all blocks in the process, and torch's number before the first of them.
_in_blocks: list[int] = []
_outside = 1


def available_threads() -> int:
    """Return torch's number of threads, as it is outside blocks of `threads`.

    Torch gives a new thread the number that any other thread set last, which may be that of a training there.
    """
    if _forked:
        return 1
    with _lock:
        count = torch.get_num_threads()
        return _outside if count in _in_blocks else count


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute with a number of threads inside the block; sums split into another number of parts round differently."""
    global _outside
    before = torch.get_num_threads() if _here.depth else available_threads()
    count = 1 if _forked else count
    with _lock:
        if not _in_blocks:
            _outside = before
        _in_blocks.append(count)
    _here.depth += 1
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        _here.depth -= 1
        with _lock:
            _in_blocks.remove(count)
