"""Functions of networks on any number of items, chunk by chunk."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lorae.isolation import full_convolutions, isolated
from lorae.metrics.spectrum import Spectrum, latent_spectrum, streamed_spectrum
from lorae.system.stored_items import Items, StoredItems, parts

# Batch size outside training: large enough to be fast, small enough for any memory.
CHUNK = 500
# Entries of a batch, which has fewer images if they are larger than 128 x 128 pixels: 32 MB in float32.
ENTRIES = 8_000_000


def in_chunks(
    function: Callable[[Tensor], Tensor], items: Items | Tensor, shape: tuple[int, ...], device: torch.device
) -> Tensor:
    """Return a function's results on items (n, *shape) on the CPU, without gradients."""
    result: Tensor | None = None
    size = max(1, min(CHUNK, ENTRIES // max(1, math.prod(shape))))
    with isolated(), full_convolutions, torch.inference_mode():
        for start in range(0, len(items), size):
            part = items[start : start + size]
            # A copy: arrays that cannot be written make torch warn.
            chunk = torch.as_tensor(np.array(part) if isinstance(items, np.ndarray) else part)
            made = function(chunk.to(device)).cpu()
            if result is None:
                result = made.new_empty(len(items), *made.shape[1:])
            result[start : start + size] = made
        if result is None:
            result = function(torch.zeros(0, *shape, dtype=torch.float32, device=device)).cpu()
    return result


def spectrum_of(encode: Callable[[Any], NDArray[Any]], items: Any, split: str, tolerance: float) -> Spectrum:
    """Return the spectrum of the latents of items; of those in a file without keeping any latent."""
    if not isinstance(items, StoredItems):
        return latent_spectrum(np.asarray(encode(items)), split, tolerance)
    return streamed_spectrum((encode(items[rows]) for rows in parts(items)), split, tolerance)
