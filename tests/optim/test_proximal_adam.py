"""Proximal Adam: against closed forms, and against an independent solver of a convex problem."""

import io
import math

import numpy as np
import pytest
import torch

import lorae
from lorae.linalg import nuclear_norm, threshold_singular_values
from lorae.metrics.ranks import rank_at
from lorae.optim.proximal_adam import SHRINK_EVERY, ProximalAdam
from lorae.runs.run import Run

TOLERANCES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


# A convex problem: least squares of a matrix under its nuclear norm.


def problem(seed=0, n=200, inputs=12, outputs=10, rank=3):
    """X and Y = X M^T + noise, with M of a low rank and X of a condition of three."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, inputs)) * np.geomspace(1, 0.3, inputs)
    M = rng.normal(size=(outputs, rank)) @ rng.normal(size=(rank, inputs))
    return X, X @ M.T + 0.5 * rng.normal(size=(n, outputs))


def objective(M, X, Y, weight):
    return 0.5 / len(X) * np.square(Y - X @ M.T).sum() + weight * np.linalg.norm(M, "nuc")


def solved(X, Y, weight, steps=1000):
    """FISTA with restarts (Beck and Teboulle 2009; O'Donoghue and Candes 2015), in float64 with NumPy's SVD."""
    n, step = len(X), len(X) / np.linalg.norm(X, 2) ** 2
    M = ahead = np.zeros((Y.shape[1], X.shape[1]))
    momentum = 1.0
    for _ in range(steps):
        U, S, Vt = np.linalg.svd(ahead - step * (ahead @ X.T - Y.T) @ X / n, full_matrices=False)
        new = U * np.maximum(S - step * weight, 0) @ Vt
        momentum = 1.0 if ((ahead - new) * (new - M)).sum() > 0 else momentum
        following = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        ahead = new + (momentum - 1) / following * (new - M)
        M, momentum = new, following
    return M


def duality_gap(M, X, Y, weight):
    """What the objective is above the dual's, at the residual scaled until it is feasible: |theta^T X|_2 <= weight."""
    n, residual = len(X), (Y - X @ M.T) / len(X)
    theta = residual * min(1.0, weight / np.linalg.norm(residual.T @ X, 2))
    return objective(M, X, Y, weight) - ((theta * Y).sum() - 0.5 * n * np.square(theta).sum())


def minimised(X, Y, weight, *, optimizer=None, batch=None, steps=2000, lr=1e-2, cosine=True):
    """The matrix after some steps from the identity; by default of ProximalAdam."""
    X, Y = torch.from_numpy(X).float(), torch.from_numpy(Y).float()
    M = torch.nn.Parameter(torch.eye(Y.shape[1], X.shape[1]))
    proximal = ProximalAdam([], M, torch.tensor(weight), lr=lr, fused=True) if optimizer is None else None
    optimizer = proximal or optimizer([M], lr=lr)
    generator = torch.Generator().manual_seed(0)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = lr * 0.5 * (1 + math.cos(math.pi * step / steps)) if cosine else lr
        chosen = slice(None) if batch is None else torch.randint(len(X), (batch,), generator=generator)
        loss = 0.5 * (Y[chosen] - X[chosen] @ M.T).square().sum(1).mean()
        loss = loss if proximal else loss + weight * nuclear_norm(M)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if proximal and (step + 1) % SHRINK_EVERY == 0:
            proximal.shrink()
    return M.detach().double().numpy()


def ranks_of(M):
    values = np.linalg.svd(M, compute_uv=False)
    return [rank_at(values, tolerance) for tolerance in TOLERANCES]


@pytest.mark.parametrize(("seed", "weight", "rank"), [(0, 0.2, 3), (1, 0.5, 3), (1, 2.0, 2), (0, 3.0, 1)])
def test_the_optimum_of_a_convex_problem_is_found_with_its_rank(seed, weight, rank):
    X, Y = problem(seed)
    reference = solved(X, Y, weight)
    best = objective(reference, X, Y, weight)
    assert duality_gap(reference, X, Y, weight) < 1e-10 * best
    assert ranks_of(reference) == [rank] * 5
    ours = minimised(X, Y, weight)
    assert objective(ours, X, Y, weight) < best * (1 + 1e-4)
    assert ranks_of(ours) == [rank] * 5
    np.testing.assert_allclose(ours, reference, atol=0.05 * np.abs(reference).max())


def test_minibatches_come_to_the_same_rank_and_nearly_the_same_optimum():
    X, Y = problem()
    reference, ours = solved(X, Y, 0.5), minimised(X, Y, 0.5, batch=32)
    assert objective(ours, X, Y, 0.5) < objective(reference, X, Y, 0.5) * (1 + 3e-4)
    assert ranks_of(ours) == ranks_of(reference) == [3] * 5


def test_ranks_are_exact_at_a_constant_rate_where_subgradients_leave_no_value_at_zero():
    X, Y = problem()
    ours = minimised(X, Y, 0.5, cosine=False)
    theirs = minimised(X, Y, 0.5, cosine=False, optimizer=torch.optim.Adam)
    assert ranks_of(ours) == [3] * 5
    assert ranks_of(theirs)[0] == 3
    assert ranks_of(theirs)[-1] == 10


@pytest.mark.parametrize(("factor", "rank"), [(1.01, 0), (0.9, 1)])
def test_above_the_norm_of_the_first_gradient_nothing_is_left(factor, rank):
    # M = 0 is optimal iff the gradient there, Y^T X / n, has a spectral norm of at most the weight.
    X, Y = problem()
    ours = minimised(X, Y, factor * float(np.linalg.norm(Y.T @ X / len(X), 2)), steps=1000)
    assert ranks_of(ours) == [rank] * 5
    assert ours.any() == (rank > 0)


# Single steps, against the formulas.


def started(weight=0.1, lr=0.01, shape=(6, 5), dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    M = torch.nn.Parameter(torch.randn(*shape, generator=generator, dtype=dtype))
    other = torch.nn.Parameter(torch.randn(7, generator=generator, dtype=dtype))
    return M, other, ProximalAdam([other], M, torch.tensor(weight, dtype=dtype), lr=lr, fused=True)


def gradients(M, count, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(M.shape, generator=generator, dtype=M.dtype) for _ in range(count)]


def expected_path(M, gradients, weight, lr):
    """The matrix after all steps and one shrinkage, written down once more, in float64."""
    m, v, waiting, rank = torch.zeros_like(M), 0.0, 0.0, min(M.shape)
    for t, gradient in enumerate(gradients, start=1):
        m = BETA1 * m + (1 - BETA1) * gradient
        v = BETA2 * v + (1 - BETA2) * float(gradient.square().mean())
        size = math.sqrt(v / (1 - BETA2**t) + weight**2 * rank / M.numel()) + EPSILON
        M = M - lr / size * m / (1 - BETA1**t)
        waiting += lr / size * weight
    U, S, Vh = torch.linalg.svd(M, full_matrices=False)
    return U * (S - waiting).clamp_min(0) @ Vh


@pytest.mark.parametrize("weight", [0.0, 0.1, 3.0])
@pytest.mark.parametrize("count", [1, SHRINK_EVERY])
def test_steps_follow_their_formula_and_thresholds_add_up(weight, count):
    M, _, optimizer = started(weight)
    expected = expected_path(M.detach().clone(), gradients(M, count), weight, 0.01)
    for gradient in gradients(M, count):
        M.grad = gradient
        optimizer.step()
    values = optimizer.shrink()
    torch.testing.assert_close(M.detach(), expected, atol=2e-6, rtol=0)  # 1 - beta2 ** t is float32
    torch.testing.assert_close(values.sum(), optimizer.norm)
    assert len(values) == optimizer.rank == torch.linalg.matrix_rank(expected)
    before = M.detach().clone()
    optimizer.shrink()  # what waited has been applied
    torch.testing.assert_close(M.detach(), before)


def test_a_weight_of_zero_removes_nothing():
    M, _, optimizer = started(weight=0.0)
    for gradient in gradients(M, 50):
        M.grad = gradient
        optimizer.step()
    before = M.detach().clone()
    optimizer.shrink()
    assert optimizer.rank == 5
    torch.testing.assert_close(M.detach(), before)


def test_steps_turn_with_the_coordinates():
    """One second moment for all entries: unlike Adam's, a path does not depend on the axes."""
    Q, P = (torch.linalg.qr(gradients(torch.empty(size, size).double(), 1)[0]).Q for size in (6, 5))
    paths = []
    for left, right in ((torch.eye(6).double(), torch.eye(5).double()), (Q, P)):
        M, _, optimizer = started(weight=0.5)
        with torch.no_grad():
            M.copy_(left @ M @ right)
        for gradient in gradients(M, 30):
            M.grad = left @ gradient @ right
            optimizer.step()
        optimizer.shrink(3)
        paths.append(left.T @ M.detach() @ right.T)
    torch.testing.assert_close(*paths)


def test_a_bound_on_the_rank_holds_with_and_without_a_penalty():
    for weight in (0.0, 0.1):
        M, _, optimizer = started(weight)
        M.grad = gradients(M, 1)[0]
        optimizer.step()
        before = M.detach().clone()
        waiting = optimizer.state[M]["pending"].clone()
        optimizer.shrink(2)
        torch.testing.assert_close(M.detach(), threshold_singular_values(before, waiting, 2)[0])
        assert optimizer.rank == torch.linalg.matrix_rank(M.detach()) == 2


def test_the_weight_may_change_between_steps():
    M, _, optimizer = started(weight=0.0)
    M.grad = gradients(M, 1)[0]
    optimizer.step()
    assert optimizer.state[M]["pending"] == 0
    optimizer.weight.fill_(0.5)
    optimizer.step()
    assert optimizer.state[M]["pending"] > 0


def test_other_parameters_get_the_steps_of_plain_adam():
    _, other, optimizer = started(dtype=torch.float32)
    twin = torch.nn.Parameter(other.detach().clone())
    plain = torch.optim.Adam([twin], lr=0.01, fused=True)
    for gradient, step_of_m in zip(gradients(other, 25), gradients(optimizer.matrix, 25), strict=True):
        other.grad, twin.grad, optimizer.matrix.grad = gradient, gradient.clone(), step_of_m
        optimizer.step()
        plain.step()
        assert torch.equal(optimizer.matrix.grad, step_of_m)  # it is still there for others to read
    optimizer.shrink()
    assert torch.equal(other, twin)


def test_without_a_gradient_the_matrix_stays():
    M, other, optimizer = started()
    before = M.detach().clone()
    other.grad = torch.ones_like(other)
    optimizer.step()
    assert torch.equal(M, before)
    assert optimizer.state[M]["pending"] == 0


@pytest.mark.parametrize("after", [SHRINK_EVERY, SHRINK_EVERY + 3])
def test_a_saved_state_goes_on_to_the_same_bits(after):
    def go_on(M, other, optimizer, steps):
        for step in steps:
            M.grad, other.grad = gradients(M, 1, step)[0], gradients(other, 1, step)[0]
            optimizer.step()
            if (step + 1) % SHRINK_EVERY == 0:
                optimizer.shrink(4)

    whole, saved = started(dtype=torch.float32), started(dtype=torch.float32)
    go_on(*whole, steps=range(35))
    go_on(*saved, steps=range(after))
    file = io.BytesIO()
    torch.save(saved[2].state_dict(), file)
    M, other, optimizer = started(dtype=torch.float32)
    with torch.no_grad():
        M.copy_(saved[0])
        other.copy_(saved[1])
    optimizer.load_state_dict(torch.load(io.BytesIO(file.getvalue()), weights_only=True))
    assert optimizer.rank == saved[2].rank
    go_on(M, other, optimizer, range(after, 35))
    assert torch.equal(M, whole[0])
    assert torch.equal(other, whole[1])
    for name, value in optimizer.state[M].items():
        assert torch.equal(value, whole[2].state[whole[0]][name]), name


def test_a_matrix_that_is_not_finite_says_so_in_its_norm():
    M, _, optimizer = started()
    M.grad = torch.full_like(M, torch.nan)
    optimizer.step()
    optimizer.shrink(2)
    assert optimizer.norm.isnan()


def test_a_gradient_that_is_not_finite_ends_a_training_with_its_step(image_file, small, tmp_path, monkeypatch):
    take = ProximalAdam._descend

    def poisoned(self, matrix, gradient):
        take(self, matrix, gradient * torch.nan if int(self.state[matrix]["step"]) == 8 else gradient)

    monkeypatch.setattr(ProximalAdam, "_descend", poisoned)
    with pytest.raises(lorae.LoraeError, match=r"loss: not finite at step 10 \(epoch 2\): .*last\.pt"):
        lorae.train(image_file, method="lorae+", out=tmp_path / "run", **small | {"checkpoint_every": 4})
    checkpoint = Run(tmp_path / "run").load_checkpoint()
    assert checkpoint["step"] == 8
    assert all(value.isfinite().all() for value in checkpoint["model"].values())
