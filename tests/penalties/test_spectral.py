"""Penalties that are functions of the singular values of M."""

import numpy as np
import pytest
import torch

from lorae.linalg import spectral_penalty
from lorae.penalties import log_det, mcp, schatten

# Penalty, its function of a singular value, and the slope of that at 1.
PENALTIES = {
    "log_det": (log_det.of_matrix, lambda s: np.log(1 + s / 0.1), 1 / 1.1),
    "schatten": (schatten.of_matrix, lambda s: (s**2 + 1e-6) ** 0.25, 0.5 * (1 + 1e-6) ** -0.75),
    "mcp": (mcp.of_matrix, lambda s: np.where(s < 2, s - s**2 / 4, 1.0), 0.5),
}

every_penalty = pytest.mark.parametrize(("penalty", "function", "slope"), PENALTIES.values(), ids=PENALTIES)


def generic(rows=9, columns=9, dtype=torch.float64):
    # Singular values from 0.01 to 4, on both sides of every constant.
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(5), dtype=torch.float64).to(dtype) * 0.8


def with_gradient(penalty, matrix):
    matrix = matrix.clone().requires_grad_()
    value = penalty(matrix)
    value.backward()
    return value.detach(), matrix.grad


@every_penalty
def test_value_is_the_sum_over_singular_values(penalty, function, slope):
    values = np.linalg.svd(generic().numpy(), compute_uv=False)
    assert values[0] > 2 > values[-1]
    assert with_gradient(penalty, generic())[0].item() == pytest.approx(function(values).sum(), rel=1e-10)


@every_penalty
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-8), (torch.float32, 1e-5)])
def test_gradient_is_that_of_an_svd(penalty, function, slope, dtype, tolerance):
    matrix = generic().requires_grad_()
    _, values, _ = torch.linalg.svd(matrix)
    # Torch's own derivative of each singular value, times the slope by central differences.
    steps = 1e-6
    sigma = values.detach().numpy()
    slopes = torch.from_numpy((function(sigma + steps) - function(sigma - steps)) / (2 * steps))
    (expected,) = torch.autograd.grad((values * slopes).sum(), matrix)
    _, gradient = with_gradient(penalty, generic(dtype=dtype))
    assert gradient.dtype == dtype
    assert (gradient - expected).abs().max() < tolerance


@every_penalty
@pytest.mark.parametrize("rank", [0, 1, 4])
def test_gradient_is_finite_at_any_rank(penalty, function, slope, rank):
    matrix = torch.diag(torch.tensor([1.0] * rank + [0.0] * (6 - rank)))
    value, gradient = with_gradient(penalty, matrix)
    assert value.item() == pytest.approx(float(rank * function(1.0) + (6 - rank) * function(0.0)), rel=1e-6)
    torch.testing.assert_close(gradient, slope * matrix)


@every_penalty
def test_gradient_is_right_where_all_singular_values_are_the_same(penalty, function, slope):
    Q, _ = torch.linalg.qr(generic())
    torch.testing.assert_close(with_gradient(penalty, Q)[1], slope * Q)
    torch.testing.assert_close(with_gradient(penalty, torch.eye(128))[1], slope * torch.eye(128))


@every_penalty
def test_of_two_matrices_with_one_nuclear_norm_that_of_lower_rank_costs_less(penalty, function, slope):
    low, high = (with_gradient(penalty, torch.diag(torch.tensor(values)))[0] for values in ([2.0, 0.0], [1.0, 1.0]))
    assert low < 0.8 * high


@every_penalty
def test_a_matrix_that_is_not_finite_gives_a_penalty_that_is_not(penalty, function, slope):
    assert not with_gradient(penalty, torch.full((3, 3), torch.nan))[0].isfinite()


def test_the_minimax_concave_penalty_lets_large_values_go():
    value, gradient = with_gradient(mcp.of_matrix, 5 * torch.eye(3))
    assert value.item() == 3.0
    assert gradient.abs().max() == 0


@pytest.mark.parametrize(("rows", "columns"), [(7, 4), (4, 7), (5, 5)])
def test_spectral_penalty_agrees_with_finite_differences(rows, columns):
    matrix = generic(rows, columns).requires_grad_()
    assert torch.autograd.gradcheck(lambda M: spectral_penalty(M, torch.log1p), matrix)


def test_spectral_penalty_stays_in_float32_under_autocast_and_refuses_second_derivatives():
    matrix = generic(dtype=torch.float32).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        value = spectral_penalty(matrix, torch.square)
    torch.testing.assert_close(value, matrix.square().sum())
    (gradient,) = torch.autograd.grad(value.square(), matrix, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
