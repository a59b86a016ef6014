"""What the machine is asked before training: device, precision, memory layout, threads, and how memory is kept."""

import contextlib
import ctypes
import sys
from collections.abc import Iterator

import torch

from lorae.errors import LoraeError


def choose_device(name: str, origin: str = "argument device") -> str:
    """`cpu` or `cuda` for `auto`, `cpu` or `cuda`; LoraeError where a GPU is asked for and there is none.

    origin: where the name comes from, for that error.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise LoraeError(
            f"device: got 'cuda', but torch sees no GPU here; expected cpu or auto (from {origin})", argument="device"
        )
    return name


def choose_precision(name: str, device: str, network: str) -> str:
    """`float32` or `bfloat16` for the convolutions; `auto` takes bfloat16 where the hardware multiplies it faster.

    The hardware is asked, not timed: a timing near a tie would make two runs of one seed differ.
    """
    if name != "auto":
        return name
    if network in ("mlp", "residual"):
        return "float32"  # they have no convolutions
    return "bfloat16" if bfloat16_unit(device) else "float32"


def bfloat16_unit(device: str) -> str | None:
    """What multiplies bfloat16 faster than float32: `tensor_cores`, `amx_bf16`, `avx512_bf16` or None."""
    if device == "cuda":  # tensor cores take bfloat16 from Ampere on
        return "tensor_cores" if torch.cuda.get_device_capability()[0] >= 8 else None
    # Measured on the MNIST network, 2 cores: 1.7 times as fast with AMX, 1.4 times with AVX-512's products of bfloat16.
    # Processors without either only emulate them; torch before 2.10 cannot be asked.
    if not hasattr(torch.cpu, "get_capabilities"):
        return None
    capabilities = torch.cpu.get_capabilities()
    return next((unit for unit in ("amx_bf16", "avx512_bf16") if capabilities.get(unit, False)), None)


def card() -> dict[str, str]:
    """Return the name of the GPU as `card`, for a record; nothing without a GPU."""
    return {"card": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}


def memory_format(device: str, precision: str) -> torch.memory_format:
    """Channels last where the convolutions want it: on a CPU always (oneDNN), on a GPU with bfloat16 (tensor cores)."""
    if device == "cpu" or precision == "bfloat16":
        return torch.channels_last
    return torch.contiguous_format


def keep_freed_memory() -> None:
    """Ask glibc to keep freed memory in the process instead of returning it after every operation.

    A training step frees and takes the same buffers of some MB again and again; getting each from the kernel anew
    means page faults, which cost about 12% of a step on the MNIST network. Does nothing where there is no glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
        mallopt(mmap_threshold, 256 * 1024**2)
        mallopt(trim_threshold, 512 * 1024**2)


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """As many threads as the run started with: sums over another number of parts round differently."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
