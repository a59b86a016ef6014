"""Paths between latents: straight, or along a sphere."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def linear_path(first: NDArray[Any], second: NDArray[Any], steps: int) -> Array:
    """Return `steps` latents (steps, ..., l) on the line from first to second, both (..., l), ends included."""
    t = np.linspace(0.0, 1.0, steps).reshape(-1, *([1] * np.ndim(first)))
    path: Array = (1 - t) * np.asarray(first, np.float64) + t * np.asarray(second, np.float64)
    return path


def spherical_path(first: NDArray[Any], second: NDArray[Any], steps: int, origin: NDArray[Any] | float = 0.0) -> Array:
    """Return `steps` latents from first to second, both (..., l), along great circles about `origin`, ends included.

    The angle and the distance from the origin both change evenly, so that the path avoids the middle, where few latents
    lie; the natural origin is their mean. Between opposite directions, and from the origin itself, the path is
    straight. Source: Shoemake, SIGGRAPH 1985.
    """
    start, end = (np.asarray(point, np.float64) - origin for point in (first, second))
    lengths = [np.linalg.norm(point, axis=-1, keepdims=True) for point in (start, end)]
    directions = [point / np.maximum(length, 1e-300) for point, length in zip((start, end), lengths, strict=True)]
    angle = np.arccos(np.clip((directions[0] * directions[1]).sum(-1, keepdims=True), -1.0, 1.0))
    t = np.linspace(0.0, 1.0, steps).reshape(-1, *([1] * np.ndim(first)))
    sine = np.sin(angle)
    curved = (sine > 1e-6) & (lengths[0] > 0) & (lengths[1] > 0)
    safe = np.where(curved, sine, 1.0)
    weights = [np.where(curved, np.sin(share * angle) / safe, share) for share in (1 - t, t)]
    length = (1 - t) * lengths[0] + t * lengths[1]
    direction = weights[0] * directions[0] + weights[1] * directions[1]
    path: Array = np.where(curved, length * direction, (1 - t) * start + t * end) + origin
    return path
