import numpy as np
import pytest
from sklearn.decomposition import PCA

from lorae.errors import LoraeError
from lorae.metrics.explained import affordable_rows, pca_error


def plane(n, d, r, noise=0.0, seed=0):
    """Items (n, d) in an affine subspace of r directions, the same one for every n."""
    basis = np.random.default_rng(1).normal(size=(r, d))
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, r)) @ basis + 3 + noise * rng.normal(size=(n, d))


@pytest.mark.parametrize(("n", "d"), [(200, 12), (30, 40), (12, 12), (13, 12), (2, 5)])
def test_errors_are_those_of_scikit_learn(n, d):
    train, held_out = plane(n, d, 4, 0.3), plane(50, d, 4, 0.3, seed=2)
    ranks = range(1, min(n - 1, d) + 1)
    expected = []
    for rank in ranks:
        pca = PCA(rank, svd_solver="full").fit(train)
        expected.append(np.square(pca.inverse_transform(pca.transform(held_out)) - held_out).mean())
    np.testing.assert_allclose(pca_error(train, held_out, ranks), expected, rtol=1e-9, atol=1e-25)


def test_rank_0_is_the_variance_about_the_mean_of_the_training_items():
    train, held_out = plane(40, 6, 3, 0.1), plane(30, 6, 3, 0.1, seed=3) + 2
    assert pca_error(train, held_out, [0])[0] == pytest.approx(np.square(held_out - train.mean(0)).mean(), rel=1e-12)


@pytest.mark.parametrize("n", [10, 300])
def test_a_subspace_is_explained_up_to_the_rounding_of_float64(n):
    errors = pca_error(plane(n, 40, 5), plane(50, 40, 5, seed=2), range(8))
    assert (errors[:5] > 1e-2).all()
    assert (errors[5:] < 1e-26).all()


def test_a_small_direction_beside_a_large_one_is_found():
    """Its variance is below the rounding of a covariance: 1e-18 of the largest."""
    rng = np.random.default_rng(0)
    items = np.zeros((100, 3))
    items[:, 0], items[:, 1] = rng.normal(size=100), 1e-9 * rng.normal(size=100)
    errors = pca_error(items, items, [1, 2])
    assert errors[0] == pytest.approx(np.square(items[:, 1] - items[:, 1].mean()).mean() / 3, rel=1e-3)
    assert errors[1] < 1e-30


def test_ranks_above_that_of_the_items_change_nothing_and_errors_never_rise():
    train, held_out = plane(7, 20, 15), plane(50, 20, 15, seed=2)
    errors = pca_error(train, held_out, range(30))
    assert (np.diff(errors) <= 0).all()
    assert (errors[6:] == errors[6]).all()


@pytest.mark.parametrize("train", [np.full((9, 4), 0.1), np.ones((1, 4))])
def test_items_without_spread_have_no_direction(train):
    held_out = plane(5, 4, 2)
    expected = np.square(held_out - train[0]).mean()
    assert pca_error(train, held_out, [0, 3]) == pytest.approx([expected, expected], rel=1e-9)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_images_of_any_type_are_items_too(dtype):
    images = np.random.default_rng(0).integers(0, 256, size=(20, 1, 4, 3)).astype(dtype)
    flat = images.reshape(20, -1).astype(np.float64)
    assert pca_error(images[:15], images[15:], [2]) == pytest.approx(pca_error(flat[:15], flat[15:], [2]), rel=1e-12)


@pytest.mark.parametrize("offset", [1e6, 1.7e9])
def test_a_common_offset_costs_the_digits_of_the_offset_only(offset):
    train, held_out = np.round(plane(60, 6, 3, 0.1), 3), np.round(plane(40, 6, 3, 0.1, seed=2), 3)
    expected = pca_error(train, held_out, [0, 2, 3])
    assert pca_error(train + offset, held_out + offset, [0, 2, 3]) == pytest.approx(expected, rel=1e-5)


def test_bad_items_are_named():
    with pytest.raises(LoraeError, match="not finite"):
        pca_error(np.full((3, 2), np.nan), np.zeros((2, 2)), [1])
    with pytest.raises(LoraeError, match=r"shapes \(3, 2\) and \(3, 4\)"):
        pca_error(np.zeros((3, 2)), np.zeros((3, 4)), [1])
    with pytest.raises(LoraeError, match=r"shapes \(3, 2\) and \(0, 2\)"):
        pca_error(np.zeros((3, 2)), np.zeros((0, 2)), [1])


@pytest.mark.parametrize("width", [10, 784, 3072, 12288, 196608])
def test_items_are_sampled_where_a_decomposition_would_take_long(width):
    n = affordable_rows(10**9, width)
    assert n * width * min(n, width) == pytest.approx(1e10, rel=0.01)
    assert affordable_rows(100, width) == 100


def test_ten_thousand_digits_are_decomposed():
    assert affordable_rows(10_000, 784) == 10_000
