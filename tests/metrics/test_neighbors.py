import json

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from lorae.errors import LoraeError
from lorae.metrics import neighbors
from lorae.metrics.intrinsic_dimension import distance_contrast, levina_bickel, two_nn
from lorae.metrics.neighbors import distance_rows, neighbor_distances
from lorae.metrics.prdc import precision_recall


@pytest.fixture(params=[7, 1000], ids=["chunks of 7", "one chunk"])
def chunk(request, monkeypatch):
    monkeypatch.setattr(neighbors, "CHUNK", request.param)


def normal(n, d=4, seed=0, shift=0.0):
    return np.random.default_rng(seed).normal(size=(n, d)) + shift


# Distances


@pytest.mark.parametrize("n", [6, 7, 8, 14, 50])
def test_nearest_neighbours_agree_with_a_tree(chunk, n):
    points = normal(n)
    expected, _ = cKDTree(points).query(points, k=5)
    found = neighbor_distances(points, 4)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found, expected[:, 1:], rtol=1e-9)


def test_rows_of_distances_agree_with_scipy(chunk):
    queries, points = normal(20), normal(11, seed=1, shift=2.0)
    starts, parts = zip(*distance_rows(queries, points), strict=True)
    assert list(starts) == list(range(0, 20, neighbors.CHUNK))
    np.testing.assert_allclose(torch.cat(parts), cdist(queries, points, "sqeuclidean"), rtol=1e-9)


@pytest.mark.parametrize("offset", [1e3, 1e6])
def test_a_common_offset_costs_few_digits(offset):
    points = np.round(normal(30), 6)
    expected = neighbor_distances(points, 2)
    np.testing.assert_allclose(neighbor_distances(points + offset, 2), expected, rtol=1e-16 * offset * 1e4)


@pytest.mark.parametrize("d", [1, 7, 50, 784])
def test_repeated_points_have_no_distance(chunk, d):
    points = normal(40, d)
    found = neighbor_distances(np.concatenate([points, points[:15]]), 1)[:, 0]
    repeated = np.r_[:15, 40:55]
    assert (found[repeated] == 0).all()
    assert (np.delete(found.numpy(), repeated) > 1e-4).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32])
def test_numbers_of_any_type(dtype):
    points = np.random.default_rng(0).integers(0, 256, (20, 3)).astype(dtype)
    expected = np.sort(cdist(points.astype(float), points.astype(float)) + np.diag(np.full(20, np.inf)), axis=1)[:, 0]
    np.testing.assert_allclose(neighbor_distances(points, 1)[:, 0], expected, rtol=1e-9)


def test_views_of_arrays_are_taken_and_not_changed():
    points = normal(20)
    before = points.copy()
    points.flags.writeable = False
    forward, backward = neighbor_distances(points, 2), neighbor_distances(points[::-1], 2)
    np.testing.assert_allclose(backward.flip(0), forward, rtol=1e-9)
    np.testing.assert_array_equal(points, before)


# Precision, recall, density, coverage


def naive_prdc(real, generated, k):
    def radii(points):
        return [sorted(np.linalg.norm(p - q) for j, q in enumerate(points) if i != j)[k - 1] for i, p in pts(points)]

    def pts(points):
        return list(enumerate(points))

    real_radii, generated_radii = radii(real), radii(generated)
    inside = np.array([[np.linalg.norm(r - g) < real_radii[i] for g in generated] for i, r in pts(real)])
    recalled = np.array([[np.linalg.norm(r - g) < generated_radii[j] for j, g in pts(generated)] for r in real])
    return {
        "precision": inside.any(0).mean(),
        "recall": recalled.any(1).mean(),
        "density": inside.sum() / (k * len(generated)),
        "coverage": inside.any(1).mean(),
    }


@pytest.mark.parametrize(("n", "m", "k"), [(20, 20, 3), (23, 15, 1), (14, 28, 5)])
@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_agrees_with_loops(chunk, n, m, k, shift):
    real, generated = normal(n), normal(m, seed=1, shift=shift)
    assert precision_recall(real, generated, k) == pytest.approx(naive_prdc(real, generated, k), rel=1e-12)


@pytest.mark.parametrize("d", [1, 7, 64])
def test_a_set_matches_itself(chunk, d):
    x = normal(60, d)
    found = precision_recall(x, x)
    assert [found[name] for name in ("precision", "recall", "coverage")] == [1, 1, 1]
    # In each ball are its centre and the k - 1 neighbours before the one that lies on its edge.
    assert found["density"] == pytest.approx(1, abs=0.01)


def test_far_sets_have_nothing_in_common(chunk):
    found = precision_recall(normal(30), normal(40, seed=1, shift=100.0))
    assert found == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}


def test_a_generator_of_one_mode_is_precise_and_covers_little():
    real = np.concatenate([normal(100), normal(100, seed=1, shift=50.0)])
    found = precision_recall(real, normal(200, seed=2))
    assert found["precision"] > 0.8
    assert found["recall"] <= 0.5
    assert found["coverage"] <= 0.5


def test_a_generator_of_too_much_covers_and_is_not_precise():
    found = precision_recall(normal(100), normal(400, seed=1) * 4)
    assert found["recall"] > 0.8
    assert found["precision"] < 0.5


def test_shares_do_not_depend_on_the_order_of_the_items():
    real, generated = normal(50), normal(60, seed=1)
    assert precision_recall(real[::-1], generated[::-1]) == precision_recall(real, generated)
    assert json.loads(json.dumps(precision_recall(real, generated))) == precision_recall(real, generated)


def test_sets_that_cannot_be_compared_are_named():
    with pytest.raises(LoraeError, match="got widths 4 and 3, expected one"):
        precision_recall(normal(9), normal(9, 3))
    with pytest.raises(LoraeError, match="got 9 and 5 items, expected more than k = 5"):
        precision_recall(normal(9), normal(5))
    assert precision_recall(normal(6), normal(6))["precision"] == 1


# Intrinsic dimension


def cube(dimension, n=2500, width=10, seed=0):
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(width, width)))[0][:, :dimension]
    return rng.uniform(size=(n, dimension)) @ basis.T


ESTIMATES = pytest.mark.parametrize("estimate", [two_nn, levina_bickel])


@ESTIMATES
@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_dimension_of_a_cube_is_found(estimate, dimension):
    # Points at the border have neighbours on one side only, which costs a tenth at five dimensions.
    assert estimate(cube(dimension)) == pytest.approx(dimension, rel=0.12)


@ESTIMATES
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_dimension_does_not_depend_on_scale_place_and_order(estimate, scale):
    points = cube(2, n=300)
    expected = estimate(points)
    assert estimate(points[::-1]) == pytest.approx(expected, rel=1e-6)
    assert estimate(points * scale + scale) == pytest.approx(expected, rel=1e-6)


@ESTIMATES
def test_repeated_points_count_once(estimate):
    points = cube(2, n=300)
    assert estimate(np.concatenate([points, points, points[:50]])) == pytest.approx(estimate(points), rel=1e-9)


@ESTIMATES
def test_images_are_points_too(estimate):
    points = cube(2, n=300, width=12)
    assert estimate(points.reshape(-1, 1, 3, 4)) == pytest.approx(estimate(points), rel=1e-9)


@ESTIMATES
def test_dimension_needs_ten_different_points(estimate):
    with pytest.raises(LoraeError, match="got 9 different ones, expected at least 10"):
        estimate(np.repeat(cube(2, n=9), 5, axis=0))
    assert np.isfinite(estimate(cube(2, n=10)))


@ESTIMATES
def test_dimension_needs_finite_points(estimate):
    points = cube(2, n=20)
    points[3, 1] = np.nan
    with pytest.raises(LoraeError, match="not finite"):
        estimate(points)


@ESTIMATES
@pytest.mark.parametrize("dimension", [2, 5, 10])
def test_dimension_of_a_gaussian_is_found(estimate, dimension):
    assert estimate(normal(2500, dimension)) == pytest.approx(dimension, rel=0.1)


def naive_levina_bickel(points, k):
    """The estimate of each point by itself, as Levina and Bickel write it, then the average of inverses."""
    inverses = []
    for i, point in enumerate(points):
        distances = sorted(float(np.linalg.norm(point - other)) for j, other in enumerate(points) if j != i)[:k]
        own_estimate = 1 / (sum(np.log(distances[k - 1] / distance) for distance in distances[: k - 1]) / (k - 1))
        inverses.append(1 / own_estimate)
    return 1 / np.mean(inverses)


@pytest.mark.parametrize("k", [2, 5, 20])
def test_maximum_likelihood_agrees_with_the_definition(chunk, k):
    points = normal(60, 3)
    assert levina_bickel(points, k) == pytest.approx(naive_levina_bickel(points, k), rel=1e-9)


def test_of_few_points_all_others_are_neighbours():
    points = normal(12, 3)
    assert levina_bickel(points) == pytest.approx(naive_levina_bickel(points, 11), rel=1e-9)
    with pytest.raises(LoraeError, match="neighbors: got 1, expected at least 2"):
        levina_bickel(points, 1)


def test_averaged_inverses_do_not_lean_to_too_many():
    """Each point by itself overestimates: by (k - 1) / (k - 2) on average, which is a half for four neighbors."""
    estimates = [levina_bickel(normal(400, 2, seed), 4) for seed in range(10)]
    assert np.mean(estimates) == pytest.approx(2, rel=0.05)


# Contrast of distances


def test_contrast_of_three_points_by_hand(chunk):
    found = distance_contrast(np.array([[0.0], [1.0], [4.0]]))
    ratios = [(4 - 1) / 1, (3 - 1) / 1, (4 - 3) / 3]
    assert found == pytest.approx({"median": 2, "quantile_10": np.quantile(ratios, 0.1), "smallest": 1 / 3})


def test_contrast_agrees_with_scipy(chunk):
    points = normal(40)
    distances = cdist(points, points)
    largest = distances.max(1)
    nearest = (distances + np.diag(np.full(40, np.inf))).min(1)
    found = distance_contrast(points)
    assert found["median"] == pytest.approx(np.median(largest / nearest - 1), rel=1e-9)
    assert found["smallest"] == pytest.approx((largest / nearest - 1).min(), rel=1e-9)


def test_contrast_grows_as_the_dimension_falls():
    found = [distance_contrast(cube(dimension, n=300))["median"] for dimension in (10, 5, 2, 1)]
    assert found == sorted(found)


@pytest.mark.parametrize("d", [3, 50])
def test_repeated_points_have_no_contrast(d):
    points = normal(60, d)
    repeated = np.concatenate([points, points[:25]])
    alone = cdist(points[25:], points)
    expected = alone.max(1) / (alone + np.where(alone < 1e-9, np.inf, 0)).min(1) - 1
    assert distance_contrast(repeated)["median"] == pytest.approx(np.median(expected), rel=1e-9)


@pytest.mark.parametrize("points", [np.full((21, 5), 0.1), np.zeros((4, 2)), np.ones((1, 3))])
def test_contrast_needs_different_points(points):
    with pytest.raises(LoraeError, match="expected different ones"):
        distance_contrast(points)
