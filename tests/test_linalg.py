import numpy as np
import pytest
import torch

from lorae.errors import LoraeError
from lorae.linalg import (
    column_deviations,
    nuclear_norm,
    principal_axes,
    threshold_singular_values,
    thresholding,
)
from lorae.linalg.polar import POLAR
from lorae.metrics.ranks import energy_rank, entropy_rank, rank_at, stable_rank

METHODS = ["svd", "eigh", "polar"]


def matrix_of(values, rows=12, columns=9, seed=0):
    generator = torch.Generator().manual_seed(seed)
    U, _ = torch.linalg.qr(torch.randn(rows, rows, generator=generator, dtype=torch.float64))
    V, _ = torch.linalg.qr(torch.randn(columns, columns, generator=generator, dtype=torch.float64))
    S = torch.zeros(rows, columns, dtype=torch.float64)
    S.diagonal()[: len(values)] = torch.tensor(values, dtype=torch.float64)
    return U @ S @ V.T, U[:, : len(values)] @ V[:, : len(values)].T


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("rows", "columns"), [(12, 9), (9, 12), (9, 9)])
def test_value_is_the_sum_of_singular_values_and_gradient_is_the_polar_factor(method, rows, columns):
    M, polar = matrix_of([5.0, 4, 3, 2, 1, 0.5, 0.2, 0.1, 0.05], rows, columns)
    M.requires_grad_()
    value = nuclear_norm(M, method)
    value.backward()
    assert value.item() == pytest.approx(float(np.linalg.svd(M.detach().numpy(), compute_uv=False).sum()), rel=1e-7)
    assert torch.linalg.matrix_norm(M.grad - polar, 2) < 1e-5


@pytest.mark.parametrize("method", METHODS)
def test_gradient_agrees_with_finite_differences(method):
    M, _ = matrix_of([3.0, 2, 1.5, 1, 0.7], 6, 5)
    assert torch.autograd.gradcheck(lambda A: nuclear_norm(A, method), M.requires_grad_(), atol=1e-5)


@pytest.mark.parametrize("method", ["eigh", "polar"])
@pytest.mark.parametrize("rank", [0, 1, 4])
def test_gradient_is_a_subgradient_at_any_rank(method, rank):
    # ||A||_* >= ||M||_* + <W, A - M> for all A is the definition; it holds iff |W|_2 <= 1 and <W, M> = ||M||_*.
    M, _ = matrix_of([2.0] * rank + [0.0] * (9 - rank))
    M.requires_grad_()
    nuclear_norm(M, method).backward()
    assert M.grad.isfinite().all()
    assert torch.linalg.matrix_norm(M.grad, 2) <= 1 + 1e-6
    assert (M.grad * M).sum().item() == pytest.approx(2.0 * rank, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rank", [1, 8, 64])
def test_gradient_of_a_matrix_of_low_rank_ignores_the_rounding_of_its_entries(dtype, rank):
    exact, polar = matrix_of(list(np.linspace(1, 0.1, rank)), 128, 128)
    M = exact.to(dtype).requires_grad_()
    nuclear_norm(M, "eigh").backward()
    assert (M.grad - polar).abs().max() < 1e-5
    assert torch.linalg.matrix_norm(M.grad.double() - polar, 2) < 1e-5


@pytest.mark.parametrize("method", METHODS)
def test_invariant_under_rotations(method):
    M, _ = matrix_of([3.0, 2, 1])
    Q, _ = torch.linalg.qr(torch.randn(12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(3)))
    assert nuclear_norm(Q @ M, method).item() == pytest.approx(nuclear_norm(M, method).item(), rel=1e-7)


def test_stays_in_float32_under_autocast():
    M = torch.randn(8, 8, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        value = nuclear_norm(M)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(float(torch.linalg.svdvals(M).sum()), rel=1e-6)


@pytest.mark.parametrize("method", ["eigh", "polar"])
def test_a_matrix_that_is_not_finite_gives_a_norm_that_is_not(method):
    assert not nuclear_norm(torch.full((3, 3), torch.nan), method).isfinite()


def test_unknown_method_is_refused():
    with pytest.raises(LoraeError, match="'qr'"):
        nuclear_norm(torch.eye(2), "qr")


def test_polar_coefficients_map_the_interval_to_one():
    x = np.logspace(-4, 0, 4001)
    for a, b, c in POLAR:
        x = a * x + b * x**3 + c * x**5
    assert np.abs(x - 1).max() < 1e-6
    assert len(POLAR) <= 10  # each costs three matrix products a step


def test_each_polar_polynomial_is_the_best_on_the_interval_that_is_left():
    """By Chebyshev's theorem: its error has the largest size at four points, with alternating signs."""
    lower, upper = 1e-4, 1.0
    for a, b, c in POLAR[:-1]:
        inner = np.sqrt(np.sort(np.roots([5 * c, 3 * b, a])))
        assert lower < inner[0] < inner[1] < upper
        x = np.array([lower, *inner, upper])
        errors = 1 - (a * x + b * x**3 + c * x**5)
        size = np.abs(errors).max()
        np.testing.assert_allclose(errors, size * np.array([1, -1, 1, -1]), atol=1e-9)
        lower, upper = 1 - size, 1 + size
    # The last one is Newton's, which is the best up to rounding so near to one.
    assert upper - lower < 1e-3
    assert POLAR[-1] == (15 / 8, -10 / 8, 3 / 8)


def test_ranks_of_known_spectra():
    flat = np.ones(6)
    assert [rank_at(flat, 1e-3), energy_rank(flat), round(entropy_rank(flat), 9), stable_rank(flat)] == [6, 6, 6, 6]
    cliff = np.array([1.0, 1e-2, 1e-5, 0.0])
    assert [rank_at(cliff, t) for t in (1e-1, 1e-3, 1e-6)] == [1, 2, 3]
    zero = np.zeros(3)
    assert [rank_at(zero, 1e-3), energy_rank(zero), entropy_rank(zero), stable_rank(zero)] == [0, 0, 0, 0]


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_ranks_do_not_depend_on_scale(scale):
    values = np.array([5.0, 3, 1, 1e-4])
    for rank in (lambda v: rank_at(v, 1e-3), energy_rank, entropy_rank, stable_rank):
        assert rank(values * scale) == pytest.approx(rank(values))


SHAPES = pytest.mark.parametrize(("rows", "columns"), [(12, 9), (9, 12), (9, 9)])


def ranks_of(matrix):
    values = np.linalg.svd(matrix.double().numpy(), compute_uv=False)
    return [rank_at(values, tolerance) for tolerance in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)]


@SHAPES
@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-6), (torch.float64, 1e-13)])
@pytest.mark.parametrize("threshold", [0.0, 0.3, 2.5, 100.0])
def test_thresholding_is_that_of_the_singular_values_that_torch_finds(rows, columns, dtype, close, threshold):
    M = matrix_of([5.0, 4, 3, 2, 1, 0.5, 0.2, 0.1, 0.05], rows, columns)[0].to(dtype)
    U, S, Vh = torch.linalg.svd(M.double(), full_matrices=False)
    S = (S - threshold).clamp_min(0)
    shrunk, values = threshold_singular_values(M, torch.tensor(threshold, dtype=torch.float64))
    assert shrunk.dtype == dtype
    assert torch.linalg.matrix_norm(shrunk.double() - U * S @ Vh, 2) < close * 5
    torch.testing.assert_close(values, S[S > 0].flip(0), atol=1e-12, rtol=0)


@SHAPES
def test_thresholding_minimises_distance_and_nuclear_norm(rows, columns):
    # X minimises |X - M|^2 / 2 + t |X|_* iff M - X is t times a subgradient: |M - X|_2 <= t and <M - X, X> = t |X|_*.
    M = torch.randn(rows, columns, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    threshold = float(torch.linalg.svdvals(M).median())
    X, values = threshold_singular_values(M, threshold)
    assert 0 < len(values) < min(rows, columns)
    assert torch.linalg.matrix_norm(M - X, 2) <= threshold * (1 + 1e-12)
    assert ((M - X) * X).sum().item() == pytest.approx(threshold * float(values.sum()), rel=1e-12)


@SHAPES
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_thresholding_makes_zero_is_zero_at_every_tolerance(rows, columns, dtype):
    M = matrix_of([5.0, 4, 3, 2, 1, 0.9, 0.5, 0.1, 1e-3], rows, columns)[0].to(dtype)
    shrunk, values = threshold_singular_values(M, 1.5)
    assert len(values) == 4
    assert ranks_of(shrunk) == [4] * 5
    again, values = threshold_singular_values(shrunk, 0.0)  # the rounding of float32 is no direction
    assert len(values) == 4
    torch.testing.assert_close(again, shrunk)


def test_ranks_of_wide_layers_are_exact_too():
    M = torch.randn(256, 256, generator=torch.Generator().manual_seed(0))
    threshold = float(torch.linalg.svdvals(M)[20:22].mean())
    shrunk, values = threshold_singular_values(M, threshold)
    assert len(values) == 21
    assert torch.linalg.matrix_rank(shrunk.double(), rtol=1e-6) == 21


@SHAPES
@pytest.mark.parametrize(("bound", "kept"), [(0, 0), (1, 1), (3, 3), (4, 4), (9, 4)])
def test_a_bound_on_the_rank_keeps_the_largest(rows, columns, bound, kept):
    # Of |X - M|^2 / 2 + t |X|_* over ranks up to r, the solution keeps the r largest and shrinks them all the same.
    M, _ = matrix_of([5.0, 4, 3, 2, 0.3, 0.2, 0.1, 0.05, 0.01], rows, columns)
    shrunk, values = threshold_singular_values(M, 0.5, bound)
    expected = [value - 0.5 for value in (2.0, 3, 4, 5)][4 - kept :]
    np.testing.assert_allclose(values, expected, atol=1e-12)
    np.testing.assert_allclose(np.linalg.svd(shrunk.numpy(), compute_uv=False)[kept:], 0, atol=1e-12)


def test_values_that_are_equal_are_bounded_by_some_of_them():
    shrunk, values = threshold_singular_values(torch.eye(6), 0.25, 2)
    assert values.tolist() == pytest.approx([0.75, 0.75])
    assert torch.linalg.matrix_rank(shrunk) == 2
    assert not threshold_singular_values(torch.eye(6), 1.0)[0].any()  # exactly at the threshold: nothing is left


@pytest.mark.parametrize("rank", [0, 1, 4])
def test_thresholding_of_a_matrix_without_full_rank(rank):
    M, polar = matrix_of([2.0] * rank)
    shrunk, values = threshold_singular_values(M, 0.5)
    np.testing.assert_allclose(values, [1.5] * rank, rtol=1e-12)
    torch.testing.assert_close(shrunk, 1.5 * polar, atol=1e-12, rtol=0)


def test_thresholding_has_no_gradient_and_leaves_its_input():
    M = torch.randn(5, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    before = M.detach().clone()
    shrunk, values = threshold_singular_values(M, 0.5)
    assert not shrunk.requires_grad
    assert not values.requires_grad
    assert torch.equal(M, before)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(threshold_singular_values(M, 0.5)[0], shrunk)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@SHAPES
def test_a_matrix_that_is_not_finite_comes_back_with_values_that_are_not(rows, columns, bad):
    M = torch.ones(rows, columns)
    M[2, 3] = bad
    shrunk, values = threshold_singular_values(M, 0.1, 2)
    assert torch.equal(shrunk.nan_to_num(), M.nan_to_num())
    assert values.shape == (9,)
    assert values.isnan().all()


def wide_layer(noise, kept=20, width=256, seed=0):
    """What proximal steps leave of M after ten more of the data's: some strong directions, weak ones that fade."""
    return matrix_of([*np.linspace(1, 0.2, kept), *noise * np.exp(-np.arange(width - kept) / 20)], width, width, seed)[
        0
    ]


@pytest.mark.parametrize(
    ("threshold", "bound"), [(0.01, None), (0.01, 5), (0.0, 20), (0.0, 5), (0.01, 300), (10.0, None)]
)
@pytest.mark.parametrize(("rows", "columns"), [(256, 256), (300, 256), (256, 300)])
def test_thresholding_of_a_wide_layer_by_a_few_directions_is_that_by_all(monkeypatch, threshold, bound, rows, columns):
    M = torch.zeros(rows, columns, dtype=torch.float64)
    M[:256, :256] = wide_layer(noise=0.003)
    assert thresholding._leading_directions(M.mT @ M if rows >= columns else M @ M.mT, threshold, bound) is not None
    few, some = threshold_singular_values(M, threshold, bound)
    monkeypatch.setattr(thresholding, "SKETCHED_FROM", 1000)
    every, all_values = threshold_singular_values(M, threshold, bound)
    torch.testing.assert_close(some, all_values, atol=1e-9, rtol=0)
    assert torch.linalg.matrix_norm(few - every, 2) < 1e-7


def test_directions_that_could_stay_are_not_left_out():
    def directions(M, threshold, bound=None):
        return thresholding._leading_directions(M.mT @ M, threshold, bound)

    assert directions(wide_layer(noise=0.003), 0.01) is not None
    assert directions(wide_layer(noise=0.003), 0.0) is None  # all stay
    assert directions(wide_layer(noise=0.011), 0.01) is None
    assert directions(wide_layer(noise=0.003), 0.0, 40) is None  # among the weak ones
    assert directions(wide_layer(noise=0.003, kept=70), 0.01) is None  # more than were looked for
    assert directions(torch.eye(256, dtype=torch.float64), 0.01) is None
    assert directions(torch.zeros(256, 256, dtype=torch.float64), 0.01) is None


@pytest.mark.filterwarnings("ignore:.*Function'> should not be instantiated")  # of torch's compiler itself
@pytest.mark.parametrize("method", ["svd", "eigh", "polar"])
def test_the_norm_is_compiled_as_one_graph(method):
    """Without a branch on values: `fullgraph` refuses one."""
    matrix = torch.randn(6, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    compiled = torch.compile(lambda M: nuclear_norm(M, method), backend="aot_eager", fullgraph=True)
    (ours,) = torch.autograd.grad(compiled(matrix), matrix)
    (theirs,) = torch.autograd.grad(nuclear_norm(matrix, method), matrix)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e12, 1e30])
@pytest.mark.parametrize("method", ["eigh", "polar"])
def test_the_gradient_does_not_depend_on_scale_however_large_or_small(method, scale):
    Q, _ = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(1)))
    matrix = (scale * Q).requires_grad_()
    norm = nuclear_norm(matrix, method)
    (gradient,) = torch.autograd.grad(norm, matrix)
    assert norm.item() == pytest.approx(5 * scale, rel=1e-5)
    torch.testing.assert_close(gradient, Q, rtol=1e-4, atol=1e-5)


def test_principal_axes_diagonalize_the_covariance():
    points = np.random.default_rng(0).normal(size=(50, 4)) @ np.diag([1.0, 5.0, 0.0, 2.0]) + [1, 2, 3, 4]
    mean, axes, variances = principal_axes(points)
    np.testing.assert_allclose(mean, points.mean(0))
    np.testing.assert_allclose(axes.T @ axes, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(axes.T @ np.cov(points.T) @ axes, np.diag(variances), atol=1e-12)
    assert (np.diff(variances) <= 0).all()
    assert variances[-1] >= 0
    assert [torch.from_numpy(part).numel() for part in principal_axes(points[:, :1])] == [1, 1, 1]


@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e200])
def test_column_deviations_are_those_of_numpy_at_any_scale(scale):
    vectors = np.random.default_rng(0).normal(size=(30, 3)) * [1.0, 4.0, 0.5]
    mean, deviation = column_deviations(scale * vectors)
    np.testing.assert_allclose(mean, scale * vectors.mean(0))
    np.testing.assert_allclose(deviation, scale * vectors.std(0))
    _, common = column_deviations(scale * vectors, by_columns=False)
    np.testing.assert_allclose(common, scale * np.sqrt(vectors.var(0).mean()))


def test_the_rounding_of_a_constant_column_is_no_deviation():
    vectors = np.full((1000, 2), 0.1)
    vectors[0, 1] += 1e-7
    assert column_deviations(vectors)[1][0] == 0
    assert column_deviations(vectors)[1][1] > 0
    assert (column_deviations(vectors, tolerance=1e-6)[1] == 0).all()
