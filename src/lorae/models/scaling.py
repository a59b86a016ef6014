"""Scaling of raw items to inputs of the networks."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lorae.linalg import column_deviations, streamed_deviations
from lorae.plain_arrays import is_far
from lorae.system.stored_items import StoredItems, parts

# Scaled columns below this are constant.
ROUNDING = 1e-6


class Scaling(nn.Module):
    """Scaling of raw items to inputs of the networks, and back.

    Images: uint8 becomes value / 255, floats are already in [0, 1]. Vectors and tensors: (x - shift) / scale with the
    mean and standard deviation of the training data, set by `fit`. Both are float64, since float32 has too few digits
    for vectors far from zero, such as seconds since 1970; only the scaled values have the type of the networks.
    """

    shift: Tensor
    scale: Tensor
    unit: Tensor

    def __init__(self, shape: tuple[int, ...], images: bool | None = None) -> None:
        super().__init__()
        self.images = len(shape) == 3 if images is None else images
        # One entry for each column of vectors, and for each channel, the first axis, of other items.
        size, dtype = ((1,), torch.float32) if self.images else ((shape[0], *[1] * (len(shape) - 1)), torch.float64)
        self.register_buffer("shift", torch.zeros(size, dtype=dtype))
        self.register_buffer("scale", torch.full(size, 255.0 if self.images else 1.0, dtype=dtype))
        # A one in the type of the networks, which `double` changes with them.
        self.register_buffer("unit", torch.ones((), dtype=torch.float32), persistent=False)
        self.far = False

    def fit(self, inputs: NDArray[Any], by_columns: bool = True) -> None:
        """Set mean and standard deviation to those of training items (n, d) or (n, c, ...); no-op for images.

        by_columns: a deviation for each column or channel; otherwise one for all, the root of their mean variance.
        """
        if self.images:
            return
        if isinstance(inputs, StoredItems):
            mean, deviation = streamed_deviations(
                lambda: (_columns(inputs[rows]) for rows in parts(inputs)), by_columns=by_columns
            )
        else:
            mean, deviation = column_deviations(_columns(inputs), by_columns=by_columns)
        # A constant column becomes zero.
        deviation = np.where(deviation > 0, deviation, np.abs(mean).clip(min=1.0))
        self.shift.copy_(torch.from_numpy(mean).view(self.shift.shape))
        self.scale.copy_(torch.from_numpy(np.broadcast_to(deviation, mean.shape).copy()).view(self.scale.shape))
        self.update_far()

    def update_far(self) -> None:
        """Find out whether float32 rounds raw vectors by much; to be called when shift and scale have changed."""
        known = not self.images and not self.shift.is_meta
        self.far = known and is_far(self.shift.cpu().numpy(), self.scale.cpu().numpy())

    def forward(self, x: Tensor) -> Tensor:
        """Scale raw items (n, ...) to floats of the same shape."""
        if self.images:
            return x.to(self.scale.dtype) if x.is_floating_point() else x.to(self.scale.dtype) / self.scale
        return ((x.to(self.shift.dtype) - self.shift) / self.scale).to(self.unit.dtype)

    def inverse(self, x: Tensor) -> Tensor:
        """Return network outputs as images in [0, 1] (not clipped) or vectors in their own units.

        Vectors have the type of the networks, or float64 where that would round them by much.
        """
        if self.images:
            return x
        raw = x.to(self.shift.dtype) * self.scale + self.shift
        return raw if self.far else raw.to(self.unit.dtype)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self.update_far()


@dataclass(frozen=True)
class Units:
    """Mean and scale of the columns of vectors, float64 (d,): networks take (x - mean) / scale."""

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def of(
        cls, vectors: NDArray[np.float64], *, by_columns: bool, weights: NDArray[np.float64] | None = None
    ) -> "Units":
        """Return the units of vectors (n, d) with weights (n,), with a deviation for each column or one for all."""
        mean, deviation = column_deviations(vectors, by_columns=by_columns, weights=weights)
        return cls(mean, np.where(deviation > 0, deviation, np.abs(mean).clip(min=1.0)))

    def scaled(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return scaled vectors (n, d), with zero for the rounding of a constant, and NaN for NaN."""
        scaled: NDArray[np.float64] = (vectors - self.mean) / self.scale
        constant = np.fmax.reduce(np.abs(scaled), axis=0) < ROUNDING
        scaled[:, constant] = np.abs(scaled[:, constant]) * 0  # which leaves NaN
        return scaled

    def inverse(self) -> "Units":
        """Return the units by which scaled vectors become unscaled ones."""
        return Units(-self.mean / self.scale, 1 / self.scale)

    def fold_into(self, scaling: Scaling) -> None:
        """Change a float64 scaling of scaled vectors to the equivalent one of unscaled vectors."""
        mean, scale = torch.from_numpy(self.mean), torch.from_numpy(self.scale)
        scaling.shift.mul_(scale).add_(mean)
        scaling.scale.mul_(scale)
        scaling.update_far()


def _columns(items: NDArray[Any]) -> NDArray[Any]:
    """Return items (n, c, ...) as rows (m, c) of one entry for each column or channel."""
    return np.moveaxis(items, 1, -1).reshape(-1, items.shape[1])


def channels_last(shape: tuple[int, ...]) -> bool:
    """Return whether the shape of an item is (h, w, c)."""
    return len(shape) == 3 and shape[2] in (1, 3) and shape[0] not in (1, 3)


def as_images(items: NDArray[Any]) -> NDArray[Any]:
    """Return images (n, c, h, w), uint8 or float32, of any layout; ValueError for other shapes and ranges."""
    shape = items.shape[1:]
    images: NDArray[Any] = items[:, None] if len(shape) == 2 else items
    if channels_last(shape):
        images = np.ascontiguousarray(np.moveaxis(items, 3, 1))
    sides = images.shape[2:]
    if images.ndim != 4 or images.shape[1] not in (1, 3) or any(side < 8 or side % 8 for side in sides):
        raise ValueError(
            f"X: got images of shape {shape}, expected (h, w), (c, h, w) or (h, w, c) with sides in steps of 8"
        )
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind == "b":
        return images.astype(np.uint8) * np.uint8(255)
    if images.dtype == np.uint16:
        return (images >> 8).astype(np.uint8)  # the upper bits, as training does
    if images.dtype.kind in "iu" and images.min() >= 0 and images.max() <= 255:
        return images.astype(np.uint8)
    if not np.issubdtype(images.dtype, np.floating) or images.min() < 0 or images.max() > 1:
        raise ValueError(
            f"X: got {images.dtype} images from {images.min():g} to {images.max():g}, expected uint8, or floats in "
            "[0, 1]"
        )
    return images.astype(np.float32)
