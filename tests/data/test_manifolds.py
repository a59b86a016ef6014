"""The dimension that is known by construction is the one that the points have."""

import numpy as np
import pytest

from lorae.data.manifolds import AMBIENT, build_manifold
from lorae.errors import LoraeError

CASES = [("linear", 1), ("linear", 5), ("linear", 10), ("swiss-roll", 2), ("warped", 3), ("warped", 5), ("warped", 8)]


def jacobian(manifold, t, step=1e-5):
    """Central differences of the map at one point, (dimension, ambient)."""
    shifts = step * np.eye(manifold.dimension)
    return (manifold.embed(t + shifts) - manifold.embed(t - shifts)) / (2 * step)


@pytest.mark.parametrize(("name", "dimension"), CASES)
def test_the_map_has_full_rank_everywhere(name, dimension):
    manifold = build_manifold(name, dimension, seed=3)
    for t in manifold.draw(np.random.default_rng(0), 50):
        values = np.linalg.svd(jacobian(manifold, t), compute_uv=False)
        assert len(values) == dimension
        # Far from zero, so that no direction is lost, and smooth, so that none is torn.
        assert 0.5 < values.min() <= values.max() < 50


@pytest.mark.parametrize(("name", "dimension"), CASES)
def test_small_pieces_have_the_dimension_and_the_whole_its_span(name, dimension):
    manifold = build_manifold(name, dimension, seed=1)
    generator = np.random.default_rng(0)
    middle = manifold.draw(generator, 1)
    width = 1e-3 * manifold.draw(generator, 500).std(axis=0)
    piece = manifold.embed(middle + width * generator.standard_normal((500, dimension)))
    # Curvature adds what is smaller than the tangent directions by the width of the piece.
    assert rank(piece, 1e-2) == dimension
    assert rank(manifold.sample(2000, seed=0), 1e-5) == manifold.span


def rank(points, tolerance):
    """Directions of singular values above a share of the largest."""
    values = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    return int((values > tolerance * values[0]).sum())


@pytest.mark.parametrize(("name", "dimension"), CASES)
def test_points_are_those_of_the_seeds(name, dimension):
    manifold = build_manifold(name, dimension)
    points = manifold.sample(300)
    assert (points.shape, points.dtype) == ((300, AMBIENT), np.float32)
    np.testing.assert_array_equal(build_manifold(name, dimension).sample(300), points)
    assert not np.allclose(manifold.sample(300, seed=1), points)
    assert not np.allclose(build_manifold(name, dimension, seed=1).sample(300), points)


def test_distances_are_those_of_the_features():
    roll = build_manifold("swiss-roll", 2)
    t = roll.draw(np.random.default_rng(0), 40)
    assert t[:, 0].min() >= 1.5 * np.pi
    assert t[:, 0].max() <= 4.5 * np.pi
    in_space = np.stack([t[:, 0] * np.cos(t[:, 0]), t[:, 1], t[:, 0] * np.sin(t[:, 0])], axis=1)
    np.testing.assert_allclose(roll.embed(t) @ roll.embed(t).T, in_space @ in_space.T, atol=1e-9)


def test_a_swiss_roll_is_rolled():
    """Its ends lie close to the turns beside them: straight distances do not follow the coordinates."""
    roll = build_manifold("swiss-roll", 2)
    apart = np.array([[2.0 * np.pi, 10.0], [4.0 * np.pi, 10.0]])
    near, far = roll.embed(apart)
    along = roll.embed(np.stack([np.linspace(2 * np.pi, 4 * np.pi, 500), np.full(500, 10.0)], axis=1))
    length = np.linalg.norm(np.diff(along, axis=0), axis=1).sum()
    assert length > 5 * np.linalg.norm(near - far)


@pytest.mark.parametrize("noise", [0.05, 0.5])
def test_noise_is_a_share_of_the_deviation(noise):
    manifold = build_manifold("warped", 3, ambient=40)
    clean, noisy = manifold.sample(4000), manifold.sample(4000, noise=noise)
    added = (noisy - clean).astype(np.float64)
    expected = noise * np.sqrt(clean.var(axis=0).mean())
    # In every column alike.
    np.testing.assert_allclose(added.std(axis=0), expected, rtol=0.06)
    np.testing.assert_allclose(added.std(), expected, rtol=0.01)
    assert rank(noisy, 1e-3) == 40


@pytest.mark.parametrize(
    ("name", "dimension", "ambient", "message"),
    [
        ("torus", 2, 60, "manifold: got 'torus', expected one of linear, swiss-roll, warped"),
        ("linear", 0, 60, "dimension: got 0, expected at least 1"),
        ("swiss-roll", 3, 60, "dimension: got 3, expected 2 for the swiss-roll"),
        ("warped", 5, 14, "ambient: got 14, expected at least 15 for warped of dimension 5"),
    ],
)
def test_manifolds_that_there_are_not(name, dimension, ambient, message):
    with pytest.raises(LoraeError, match=message):
        build_manifold(name, dimension, ambient)


@pytest.mark.parametrize(("n", "noise"), [(0, 0.0), (5, -0.1), (5, float("nan"))])
def test_samples_that_there_are_not(n, noise):
    with pytest.raises(LoraeError, match="got"):
        build_manifold("linear", 2).sample(n, noise=noise)
