"""Exact nearest neighbors by brute force, in float64, chunk by chunk to save memory."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Rows of a distance matrix that are held at once: 1,000 x 60,000 float64 are 480 MB.
CHUNK = 1000


def distance_rows(queries: NDArray[Any], points: NDArray[Any]) -> Iterator[tuple[int, Tensor]]:
    """Yield the first row of a chunk of queries (n, d), and its squared distances to points (m, d), float64.

    Computed about the mean of the points to limit cancellation; distances below rounding are set to 0.
    """
    reference = _copied(points)
    origin = reference.mean(0)
    reference -= origin
    lengths = reference.square().sum(1)
    rounding = 2 * (reference.shape[1] + 2) * torch.finfo(torch.float64).eps  # of a distance, over the squared length
    for start in range(0, len(queries), CHUNK):
        part = _copied(queries[start : start + CHUNK]) - origin
        own = part.square().sum(1)[:, None]
        squared = torch.addmm(lengths[None], part, reference.mT, alpha=-2).add_(own)
        yield start, squared.masked_fill_(squared <= rounding * own, 0)


def _copied(points: NDArray[Any]) -> Tensor:
    """Convert to float64 by way of NumPy: torch takes no reversed arrays and warns of read-only ones."""
    return torch.from_numpy(np.array(points, dtype=np.float64, order="C"))


def neighbor_distances(points: NDArray[Any], k: int) -> Tensor:
    """Return distances of each of n points to its k nearest others, ascending, float64 (n, k)."""
    return squared_neighbor_distances(points, k).sqrt()


def squared_neighbor_distances(points: NDArray[Any], k: int) -> Tensor:
    """Return the squares of `neighbor_distances`, to the bit as `distance_rows` gives them."""
    parts = []
    for start, squared in distance_rows(points, points):
        rows = torch.arange(len(squared))
        squared[rows, start + rows] = torch.inf  # no point is its own neighbor
        parts.append(squared.topk(k, largest=False).values)
    return torch.cat(parts)
