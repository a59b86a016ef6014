"""Settings of the process or the thread that must not change a result."""

import contextlib

import numpy as np
import torch


@contextlib.contextmanager
def _set(get, set_to, value):
    before = get()
    set_to(value)
    try:
        yield
    finally:
        set_to(before)


STATES = {
    "default dtype": lambda: _set(torch.get_default_dtype, torch.set_default_dtype, torch.float64),
    "no gradients": torch.no_grad,
    "inference mode": torch.inference_mode,
    "default device": lambda: torch.device("meta"),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "numpy errors": lambda: np.errstate(all="raise"),
    "deterministic": lambda: _set(torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms, True),
    "matrix precision": lambda: _set(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "medium"),
    "flushed denormals": lambda: _set(lambda: False, torch.set_flush_denormal, True),
}


def flushes():
    """Whether denormal numbers become zero in this thread."""
    return not (torch.full((), 1e-40, dtype=torch.float32, device="cpu") * 1).item()


def observed():
    """Return the settings as plain values, and the states of the global generators."""
    return {
        "default dtype": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "default device": torch.get_default_device(),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")),
        "numpy errors": np.geterr(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "matrix precision": torch.get_float32_matmul_precision(),
        "flushed denormals": flushes(),
        "threads": torch.get_num_threads(),
        "torch's generator": torch.get_rng_state().tolist(),
        "numpy's generator": str(np.random.get_state(legacy=False)["state"]),  # noqa: NPY002
    }
