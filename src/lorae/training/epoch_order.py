"""The order of items in an epoch."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def epoch_order(items: int, weights: NDArray[np.float64] | None, generator: torch.Generator) -> Tensor:
    """Return the order of the items in an epoch: each once, or as often as its weight, of mean 1, in expectation.

    Systematic resampling (Kitagawa, JCGS 1996): an item of weight w comes floor(w) or ceil(w) times.
    """
    order = torch.randperm(items, generator=generator)
    if weights is None:
        return order
    ends = torch.from_numpy(np.cumsum(weights)).clone()
    ends[-1] = items  # without rounding
    marks = (ends + torch.rand((), generator=generator, dtype=torch.float64)).floor().long()
    drawn = torch.arange(items).repeat_interleave(marks.diff(prepend=marks.new_zeros(1)))
    return drawn[order]
