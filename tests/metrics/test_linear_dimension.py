"""The number of linear directions beside noise."""

import numpy as np
import pytest

from lorae.metrics.linear_dimension import linear_dimension


def subspace(n, dimension, columns, noise, seed=0):
    generator = np.random.default_rng(seed)
    points = generator.normal(size=(n, dimension)) @ generator.normal(size=(dimension, columns))
    return points + noise * points.std() * generator.normal(size=points.shape)


@pytest.mark.parametrize("noise", [0, 0.05, 0.2])
@pytest.mark.parametrize("n", [60, 100, 300, 4000])
@pytest.mark.parametrize(("dimension", "columns"), [(3, 40), (5, 40), (8, 100)])
def test_known_dimension_is_found(n, dimension, columns, noise):
    points = subspace(n, dimension, columns, noise)
    assert linear_dimension(points) == dimension
    assert linear_dimension((points - points.mean(axis=0)) / points.std(axis=0)) == dimension


def test_a_known_dimension_survives_rotation_scale_and_place():
    points = subspace(200, 4, 30, 0.1)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(30, 30)))[0]
    assert linear_dimension(points @ rotation) == linear_dimension(1e5 * points) == linear_dimension(points + 1e3) == 4


@pytest.mark.parametrize(
    "points",
    [
        np.random.default_rng(0).normal(size=(300, 20)),  # all directions alike
        np.random.default_rng(0).normal(size=(300, 3)),  # no coordinate is left for noise
        np.zeros((50, 5)),
        subspace(8, 2, 30, 0.0),  # too few to hold some out
    ],
    ids=["noise", "full", "constant", "few"],
)
def test_no_gap_no_dimension(points):
    assert linear_dimension(points) is None


def test_at_most():
    for seed in range(20):
        assert linear_dimension(subspace(45, 5, 40, 0.0, seed), most=5) == 5
    assert linear_dimension(subspace(100, 5, 40, 0.0), most=2) is None
