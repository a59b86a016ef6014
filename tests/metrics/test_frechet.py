import numpy as np
import pytest
import scipy.linalg
import torch

from lorae.errors import LoraeError, LoraeWarning
from lorae.metrics import frechet
from lorae.metrics.frechet import (
    Moments,
    extrapolated_distance,
    frechet_distance,
    root_product_trace,
    warn_of_few,
)


def random_covariance(d, seed, rank=None):
    factor = np.random.default_rng(seed).normal(size=(d, rank or 2 * d))
    return factor @ factor.T / factor.shape[1]


def random_moments(d, seed, rank=None):
    return Moments(100, np.random.default_rng(seed + 1000).normal(size=d), random_covariance(d, seed, rank))


def rotation(d, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]


def features(n, d, seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) * scale + rng.normal(size=d)


def by_square_root(first, second):
    """As the metric is usually computed."""
    root = scipy.linalg.sqrtm(first.covariance @ second.covariance)
    difference = first.mean - second.mean
    return difference @ difference + np.trace(first.covariance + second.covariance - 2 * root.real)


# Moments


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint8])
def test_moments_are_those_of_numpy(dtype):
    x = np.random.default_rng(0).integers(0, 256, (50, 4)).astype(dtype)
    moments = Moments.of(x)
    assert moments.n == 50
    assert moments.mean.dtype == moments.covariance.dtype == np.float64
    np.testing.assert_allclose(moments.mean, x.mean(axis=0, dtype=np.float64), rtol=1e-14)
    np.testing.assert_allclose(moments.covariance, np.cov(x.astype(np.float64), rowvar=False), rtol=1e-12)
    np.testing.assert_array_equal(moments.covariance, moments.covariance.T)


@pytest.mark.parametrize("sizes", [[200], [1] * 200, [3, 197], [100, 0, 100], [0, 150, 50]])
@pytest.mark.parametrize("chunk", [7, 4096])
def test_moments_do_not_depend_on_the_batches(monkeypatch, sizes, chunk):
    monkeypatch.setattr(frechet, "CHUNK", chunk)
    x, reference = features(200, 6), random_moments(6, 1)
    streamed = Moments.streamed(np.split(x, np.cumsum(sizes)[:-1]))
    np.testing.assert_allclose(streamed.mean, x.mean(axis=0), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(streamed.covariance, np.cov(x, rowvar=False), rtol=1e-9, atol=1e-12)
    assert frechet_distance(streamed, reference) == pytest.approx(frechet_distance(Moments.of(x), reference), rel=1e-9)


def test_a_batch_far_from_the_others_does_not_cost_digits():
    x = features(300, 5)
    x[:10] += 1e4
    streamed = Moments.streamed([x[:10], x[10:]])
    np.testing.assert_allclose(streamed.covariance, np.cov(x, rowvar=False), rtol=1e-9)


def test_moments_of_few_digits_about_a_large_mean_are_kept():
    x, y = features(400, 5, seed=1), features(400, 5, seed=2)
    near = frechet_distance(Moments.of(x), Moments.of(y))
    far = frechet_distance(Moments.of(x + 1e6), Moments.of(y + 1e6))
    assert far == pytest.approx(near, rel=1e-7)


def test_what_is_no_table_of_numbers_is_refused():
    with pytest.raises(LoraeError, match=r"got shape \(2, 4\), expected \(n, 3\)"):
        Moments.streamed([np.zeros((1, 3)), np.zeros((2, 4))])
    with pytest.raises(LoraeError, match="got 1 items, expected at least 2"):
        Moments.streamed([np.zeros((1, 3))])
    with pytest.raises(LoraeError, match=r"got shape \(5,\), expected \(n, d\)"):
        Moments.of(np.zeros(5))
    with pytest.raises(LoraeError, match="got 0 items"):
        Moments.streamed([])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("batch", [0, 1])
def test_values_that_are_not_finite_are_refused(value, batch):
    batches = [features(10, 3), features(10, 3)]
    batches[batch][4, 1] = value
    with pytest.raises(LoraeError, match="not finite"):
        Moments.streamed(batches)


# The distance in closed form


def test_one_dimension_is_a_difference_of_means_and_of_deviations():
    first, second = Moments(9, np.array([1.0]), np.array([[4.0]])), Moments(9, np.array([3.5]), np.array([[9.0]]))
    assert frechet_distance(first, second) == pytest.approx(2.5**2 + (3 - 2) ** 2, rel=1e-12)


@pytest.mark.parametrize("turn", [np.eye(5), rotation(5)], ids=["diagonal", "commuting"])
def test_covariances_that_commute_differ_by_their_deviations(turn):
    deviations = np.array([[3.0, 2, 1, 0.1, 1e-3], [0.5, 2, 4, 1e-2, 1]])
    first, second = (Moments(9, np.zeros(5), turn @ np.diag(row**2) @ turn.T) for row in deviations)
    assert frechet_distance(first, second) == pytest.approx(((deviations[0] - deviations[1]) ** 2).sum(), rel=1e-9)


@pytest.mark.parametrize("d", [2, 3, 8, 33, 64])
def test_agrees_with_a_matrix_square_root(d):
    first, second = random_moments(d, 1), random_moments(d, 2)
    assert frechet_distance(first, second) == pytest.approx(by_square_root(first, second), rel=1e-6)


@pytest.mark.parametrize("ranks", [(6, 6), (2, 6), (3, 2), (1, 1)])
def test_trace_of_the_root_agrees_with_the_eigenvalues_of_the_product(ranks):
    first, second = (random_covariance(6, seed, rank) for seed, rank in enumerate(ranks))
    eigenvalues = np.linalg.eigvals(first @ second).real
    eigenvalues = np.sort(eigenvalues)[::-1][: min(ranks)]
    assert root_product_trace(first, second) == pytest.approx(np.sqrt(eigenvalues).sum(), rel=1e-9)


def test_gaussians_in_one_subspace_are_compared_there():
    basis = rotation(12)[:, :4]
    first, second = random_moments(4, 1), random_moments(4, 2)
    lifted = [Moments(9, basis @ m.mean, basis @ m.covariance @ basis.T) for m in (first, second)]
    assert frechet_distance(*lifted) == pytest.approx(frechet_distance(first, second), rel=1e-7)


def test_gaussians_in_perpendicular_subspaces_share_nothing():
    first, second = np.zeros((2, 6, 6))
    first[:3, :3], second[3:, 3:] = random_covariance(3, 0), random_covariance(3, 1)
    distance = frechet_distance(Moments(9, np.zeros(6), first), Moments(9, np.zeros(6), second))
    assert distance == pytest.approx(np.trace(first) + np.trace(second), rel=1e-12)


def test_points_without_spread():
    point, other = (Moments(9, np.full(3, value), np.zeros((3, 3))) for value in (1.0, 3.0))
    spread = Moments(9, np.full(3, 1.0), random_covariance(3, 0))
    assert frechet_distance(point, other) == 12
    assert frechet_distance(point, spread) == pytest.approx(np.trace(spread.covariance), rel=1e-12)


@pytest.mark.parametrize(("n", "m"), [(10, 10), (10, 200), (39, 41)])
def test_fewer_items_than_dimensions(n, m):
    x, y = features(n, 40, seed=1), features(m, 40, seed=2)
    first, second = Moments.of(x), Moments.of(y)
    assert torch.linalg.matrix_rank(torch.from_numpy(first.covariance)) == n - 1
    # Independently: the covariances are X^T X and Y^T Y, so the root's trace is the nuclear norm of X Y^T.
    centred = [(part - part.mean(axis=0)) / np.sqrt(len(part) - 1) for part in (x, y)]
    cross = np.linalg.svd(centred[0] @ centred[1].T, compute_uv=False).sum()
    squares = sum((part**2).sum() for part in centred)
    expected = ((x.mean(axis=0) - y.mean(axis=0)) ** 2).sum() + squares - 2 * cross
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-7)


# Properties


@pytest.mark.parametrize(("n", "d"), [(500, 8), (20, 40), (64, 64), (2, 30)])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_set_has_no_distance_to_itself(n, d, scale):
    x = features(n, d, scale=scale)
    moments, shuffled = Moments.of(x), Moments.of(np.random.default_rng(0).permutation(x))
    for other in (moments, shuffled):
        assert 0 <= frechet_distance(moments, other) <= 1e-9 * np.trace(moments.covariance)


@pytest.mark.parametrize("rank", [None, 3])
def test_symmetric(rank):
    first, second = random_moments(16, 1, rank), random_moments(16, 2)
    assert frechet_distance(first, second) == pytest.approx(frechet_distance(second, first), rel=1e-9)


@pytest.mark.parametrize("rank", [None, 3])
def test_not_changed_by_a_common_rotation(rank):
    first, second, turn = random_moments(16, 1, rank), random_moments(16, 2, rank), rotation(16)
    turned = [Moments(m.n, turn @ m.mean, turn @ m.covariance @ turn.T) for m in (first, second)]
    assert frechet_distance(*turned) == pytest.approx(frechet_distance(first, second), rel=1e-7)


@pytest.mark.parametrize("scale", [1e-5, 1e5])
def test_grows_with_the_square_of_a_common_scale(scale):
    first, second = random_moments(7, 1), random_moments(7, 2)
    scaled = [Moments(m.n, scale * m.mean, scale**2 * m.covariance) for m in (first, second)]
    assert frechet_distance(*scaled) == pytest.approx(scale**2 * frechet_distance(first, second), rel=1e-9)


def test_not_changed_by_the_order_of_the_rows():
    x, reference = features(300, 10), random_moments(10, 3)
    shuffled = np.random.default_rng(1).permutation(x)
    once, again = (frechet_distance(Moments.of(rows), reference) for rows in (x, shuffled))
    assert again == pytest.approx(once, rel=1e-9)


def test_not_changed_by_the_number_of_threads():
    x, y = features(3000, 64, seed=1), features(3000, 64, seed=2)
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)  # conftest takes it back
        found.append(frechet_distance(Moments.of(x), Moments.of(y)))
    assert found[1] == pytest.approx(found[0], rel=1e-9)


def test_widths_must_agree():
    with pytest.raises(LoraeError, match="got widths 3 and 4, expected one"):
        frechet_distance(random_moments(3, 0), random_moments(4, 0))


@pytest.mark.parametrize("n", [5, 10])
def test_too_few_items_are_warned_of_with_the_numbers(n):
    with pytest.warns(LoraeWarning, match=rf"{n} generated items for 10 features .* use more than 10"):
        warn_of_few(n, 10, "generated items")


def test_enough_items_give_no_warning():
    warn_of_few(11, 10, "items")


# Extrapolation to infinitely many items


def test_extrapolation_takes_the_bias_away():
    d, rng = 20, np.random.default_rng(0)
    shift = np.zeros(d)
    shift[0] = 2
    for mean, truth in ((np.zeros(d), 0.0), (shift, 4.0)):
        reference = Moments(10**9, np.zeros(d), np.eye(d))
        samples = [rng.normal(size=(200, d)) + mean for _ in range(8)]
        plain = np.mean([frechet_distance(Moments.of(x), reference) for x in samples])
        extrapolated = np.mean([extrapolated_distance(x, reference)["value"] for x in samples])
        assert plain - truth > 0.5
        assert abs(extrapolated - truth) < 0.3 * (plain - truth)


def test_extrapolation_does_not_depend_on_the_order_of_the_items():
    x, reference = features(80, 4), random_moments(4, 1)
    once = extrapolated_distance(x, reference)
    again = extrapolated_distance(np.random.default_rng(5).permutation(x), reference)
    assert again == once


def test_extrapolation_says_what_it_was_drawn_through():
    x, reference = features(80, 4), random_moments(4, 1)
    found = extrapolated_distance(x, reference, points=5)
    assert found["sizes"] == [40, 50, 60, 70, 80]
    assert found["distances"][-1] == pytest.approx(frechet_distance(Moments.of(x), reference), rel=1e-9)
    _, intercept = scipy.linalg.lstsq(np.stack([1 / np.array(found["sizes"]), np.ones(5)], 1), found["distances"])[0]
    assert found["value"] == pytest.approx(intercept, rel=1e-9)


def test_extrapolation_is_seeded():
    x, reference = features(80, 4), random_moments(4, 1)
    first, same, other = (extrapolated_distance(x, reference, seed=seed) for seed in (0, 0, 1))
    assert first == same != other


def test_extrapolation_needs_items():
    reference = random_moments(4, 1)
    with pytest.raises(LoraeError, match="got 29 items, expected at least 30"):
        extrapolated_distance(features(29, 4), reference)
    assert len(extrapolated_distance(features(30, 4), reference)["sizes"]) == 15
