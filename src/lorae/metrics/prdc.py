"""Precision, recall, density and coverage: fidelity and diversity as separate numbers."""

from typing import Any

import torch
from numpy.typing import NDArray

from lorae.errors import NotApplicableError
from lorae.metrics.frechet import check_widths
from lorae.metrics.neighbors import distance_rows, squared_neighbor_distances

# The number of neighbors that Naeem et al. recommend.
NEIGHBORS = 5


def precision_recall(real: NDArray[Any], generated: NDArray[Any], k: int = NEIGHBORS) -> dict[str, float]:
    """Return precision, recall, density and coverage of generated features (m, d) against real ones (n, d).

    Every point has a ball that reaches its k-th nearest neighbor in its own set. precision: share of generated points
    in a ball of a real one; recall: share of real points in a ball of a generated one; density: mean number of real
    balls around a generated point, over k; coverage: share of real balls that hold a generated point. Source:
    Kynkaanniemi et al., NeurIPS 2019 (arXiv:1904.06991); Naeem et al., ICML 2020 (arXiv:2002.09797).
    """
    check_widths(real, generated)
    if min(len(real), len(generated)) <= k:
        raise NotApplicableError(
            f"features: got {len(real)} and {len(generated)} items, expected more than k = {k} in each"
        )
    real_radii = squared_neighbor_distances(real, k)[:, -1]
    generated_radii = squared_neighbor_distances(generated, k)[:, -1]
    recalled = within = covered = 0
    inside_any = torch.zeros(len(generated), dtype=torch.bool)
    for start, squared in distance_rows(real, generated):
        inside_real = squared < real_radii[start : start + len(squared), None]
        recalled += int((squared < generated_radii).any(1).sum())
        covered += int(inside_real.any(1).sum())
        within += int(inside_real.sum())
        inside_any |= inside_real.any(0)
    return {
        "precision": int(inside_any.sum()) / len(generated),
        "recall": recalled / len(real),
        "density": within / (k * len(generated)),
        "coverage": covered / len(real),
    }
