import numpy as np
import pytest
from sklearn.metrics.pairwise import polynomial_kernel

from lorae.errors import LoraeError, NotApplicableError
from lorae.metrics import kernel
from lorae.metrics.kernel import kernel_distance, unbiased_discrepancy, unit_discrepancy


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


def naive_cmmd(x, y, unbiased=True):
    """By two loops over the pairs, and kernels that are not shifted by one."""
    x, y = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (x, y))

    def similarity(a, b):
        return np.exp(-np.sum((a - b) ** 2) / (2 * 10**2))

    within = [
        np.mean([similarity(a, b) for i, a in enumerate(s) for j, b in enumerate(s) if i != j or not unbiased])
        for s in (x, y)
    ]
    return 1000 * (sum(within) - 2 * np.mean([similarity(a, b) for a in x for b in y]))


@pytest.mark.parametrize("block", [2048, 4])
@pytest.mark.parametrize(("n", "m"), [(6, 6), (7, 13), (2, 2)])
def test_cmmd_agrees_with_two_loops_in_blocks_of_any_size(n, m, block, monkeypatch):
    monkeypatch.setattr(kernel, "BLOCK", block)
    x, y = normal(n), 3 * normal(m, seed=1, shift=1.0)
    found = unit_discrepancy(x, y)
    assert found["value"] == pytest.approx(naive_cmmd(x, y), rel=1e-9)
    assert found["biased"] == pytest.approx(naive_cmmd(x, y, unbiased=False), rel=1e-9)
    there_and_back = unit_discrepancy(y, x)
    assert there_and_back == pytest.approx(found, rel=1e-9)


def test_cmmd_of_two_points_has_a_closed_form():
    """Sets that are one point each, a and b at right angles: 2 - 2 exp(-|a - b|^2 / 200) = 2 - 2 exp(-1 / 100)."""
    x, y = np.tile([5.0, 0.0], (4, 1)), np.tile([0.0, 0.1], (3, 1))
    assert unit_discrepancy(x, y) == pytest.approx(
        dict.fromkeys(("value", "biased"), 2000 * -np.expm1(-0.01)), rel=1e-12
    )


def test_cmmd_of_features_in_opposite_quarters_has_a_closed_form():
    """Sets {a, b} and {c, d} of unit vectors at right angles: only the pairs within a set are at two distances."""
    x, y = np.array([[1.0, 0], [0, 1]]), np.array([[-1.0, 0], [0, -1]])
    near, far = np.exp(-2 / 200), np.exp(-4 / 200)
    assert unit_discrepancy(x, y)["value"] == pytest.approx(1000 * (2 * near - (near + far)), rel=1e-9)
    assert unit_discrepancy(x, y)["biased"] == pytest.approx(1000 * (1 + near - (near + far)), rel=1e-9)


def test_cmmd_ignores_the_length_of_features_and_leaves_zeros_at_zero():
    x, y = normal(20), normal(20, seed=1, shift=0.5)
    expected = unit_discrepancy(x, y)
    assert unit_discrepancy(1e3 * x, y * np.linspace(0.1, 5, 20)[:, None]) == pytest.approx(expected, rel=1e-9)
    x, y = np.zeros((3, 2)), np.tile([1.0, 0.0], (3, 1))
    assert unit_discrepancy(x, y)["value"] == pytest.approx(2000 * -np.expm1(-1 / 200), rel=1e-12)


def test_cmmd_is_unbiased_and_its_biased_value_is_never_negative():
    pairs = [(normal(15, seed=2 * s), normal(15, seed=2 * s + 1)) for s in range(300)]
    found = [unit_discrepancy(x, y) for x, y in pairs]
    values, biased = (np.array([each[name] for each in found]) for name in ("value", "biased"))
    assert abs(values.mean()) < 3 * values.std(ddof=1) / np.sqrt(len(values))
    assert (values < 0).mean() > 0.3
    assert biased.min() > 0
    x = normal(30)
    assert unit_discrepancy(x, x)["biased"] == pytest.approx(0, abs=1e-10)


def test_cmmd_of_single_precision_keeps_its_digits():
    """Kernels are near one: sums of them in single precision would leave nothing of a small distance."""
    x = normal(300, d=50).astype(np.float32)
    y = x + np.float32(1e-3) * normal(300, d=50, seed=1).astype(np.float32)
    assert unit_discrepancy(x, y)["biased"] == pytest.approx(
        unit_discrepancy(x.astype(float), y.astype(float))["biased"]
    )
    assert 0 < unit_discrepancy(x, y)["biased"] < 1e-4


def test_wrong_inputs_of_cmmd_are_named():
    with pytest.raises(LoraeError, match="got widths 5 and 4, expected one"):
        unit_discrepancy(normal(9), normal(9, d=4))
    with pytest.raises(NotApplicableError, match="got 1 and 9 items, expected at least 2"):
        unit_discrepancy(normal(1), normal(9))
