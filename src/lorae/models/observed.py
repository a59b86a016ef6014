"""Errors of items whose entries were not all observed."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lorae.models.autoencoder import Autoencoder


def squared_errors(model: Autoencoder, items: NDArray[Any], targets: NDArray[Any] | None) -> NDArray[np.float64]:
    """Return the mean squared error of each item over its observed entries (n,), in the units of `squared_error`.

    targets: the items with NaN in place of entries that were filled in; None for none. An item without an observed
    entry has error zero.
    """
    if targets is None:
        return model.squared_errors(items)
    pairs = np.stack([items, targets.astype(items.dtype)], axis=1)

    def errors(x: Tensor) -> Tensor:
        inputs, scaled = (model.scaling(part) for part in x.unbind(1))
        seen = ~scaled.isnan()
        error = torch.where(seen, model(inputs).x_hat - scaled, 0.0).double()
        means: Tensor = error.square().flatten(1).sum(1) / seen.flatten(1).sum(1).clamp_min(1)
        return means

    return np.asarray(model.in_chunks(errors, pairs, (2, *model.spec.shape)))
