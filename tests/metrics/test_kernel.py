import numpy as np
import pytest
from sklearn.metrics.pairwise import polynomial_kernel

from lorae.errors import LoraeError
from lorae.metrics.kernel import kernel_distance, unbiased_discrepancy


def normal(n, d=5, seed=0, shift=0.0):
    return np.random.default_rng(seed).normal(size=(n, d)) + shift


def naive(x, y):
    def kernel(a, b):
        return (float(a @ b) / len(a) + 1) ** 3

    within = [np.mean([kernel(a, b) for i, a in enumerate(s) for j, b in enumerate(s) if i != j]) for s in (x, y)]
    return sum(within) - 2 * np.mean([kernel(a, b) for a in x for b in y])


@pytest.mark.parametrize(("n", "m"), [(6, 6), (7, 12), (2, 2)])
def test_discrepancy_agrees_with_two_loops(n, m):
    x, y = normal(n), normal(m, seed=1, shift=1.0)
    assert unbiased_discrepancy(x, y) == pytest.approx(naive(x, y), rel=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_subset_of_all_agrees_with_the_kernel_of_scikit_learn(dtype):
    x, y = normal(60).astype(dtype), normal(60, seed=1, shift=0.5).astype(dtype)
    xx, yy, xy = (polynomial_kernel(*pair).astype(np.float64) for pair in ((x, x), (y, y), (x, y)))
    within = sum((kernel.sum() - np.trace(kernel)) / (60 * 59) for kernel in (xx, yy))
    found = kernel_distance(x, y, subsets=1, subset_size=60)
    assert found["mean"] == pytest.approx(within - 2 * xy.mean(), rel=1e-4 if dtype == np.float32 else 1e-10)
    assert (found["sd"], found["subsets"], found["subset_size"]) == (0.0, 1, 60)


def test_subsets_of_all_are_alike():
    found = kernel_distance(normal(40), normal(40, seed=1), subsets=5)
    assert found["subset_size"] == 40
    assert found["sd"] < 1e-12


def test_unbiased_for_two_samples_of_one_distribution():
    values = np.array([unbiased_discrepancy(normal(20, seed=2 * s), normal(20, seed=2 * s + 1)) for s in range(400)])
    error = values.std(ddof=1) / np.sqrt(len(values))
    assert abs(values.mean()) < 3 * error
    assert (values < 0).mean() > 0.3  # it is not cut off at zero


def test_means_of_small_and_large_subsets_agree():
    x, y = normal(400), normal(400, seed=1, shift=0.5)
    small, large = (kernel_distance(x, y, subsets=200, subset_size=size) for size in (25, 400))
    assert small["mean"] == pytest.approx(large["mean"], abs=4 * small["sd"] / np.sqrt(200))
    assert small["sd"] > large["sd"]


def test_grows_with_the_distance():
    x = normal(100)
    found = [kernel_distance(x, normal(100, seed=1, shift=shift), subsets=3)["mean"] for shift in (0.0, 0.5, 1.0, 2.0)]
    assert found == sorted(found)


def test_symmetric_up_to_the_draw():
    x, y = normal(50), normal(50, seed=1, shift=1.0)
    there, back = (kernel_distance(*pair, subsets=1)["mean"] for pair in ((x, y), (y, x)))
    assert there == pytest.approx(back, rel=1e-10)


def test_not_changed_by_the_order_of_the_items():
    x, y = normal(90), normal(70, seed=1)
    expected = kernel_distance(x, y, subsets=5, subset_size=30)
    rng = np.random.default_rng(2)
    assert kernel_distance(rng.permutation(x), rng.permutation(y), subsets=5, subset_size=30) == expected
    assert kernel_distance(x[::-1], y[::-1], subsets=5, subset_size=30) == expected


def test_seeded():
    x, y = normal(90), normal(70, seed=1)
    first, same, other = (kernel_distance(x, y, subsets=5, subset_size=30, seed=seed) for seed in (0, 0, 1))
    assert first == same != other


def test_subsets_are_no_larger_than_the_smaller_set():
    assert kernel_distance(normal(90), normal(7, seed=1), subsets=2)["subset_size"] == 7


def test_inputs_are_not_changed():
    x, y = normal(30), normal(30, seed=1)
    before = x.copy()
    kernel_distance(x, y, subsets=2)
    np.testing.assert_array_equal(x, before)


def test_wrong_inputs_are_named():
    with pytest.raises(LoraeError, match="got widths 5 and 4, expected one"):
        kernel_distance(normal(9), normal(9, d=4))
    with pytest.raises(LoraeError, match="got 9 and 1 items, expected at least 2"):
        kernel_distance(normal(9), normal(1))
