"""Narrow and truncated bottlenecks, and nested dropout."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lorae.models.bottlenecks import NarrowBottleneck, NestedBottleneck, TruncatedBottleneck
from lorae.models.layers import Linear


def points(items=40, latent_dim=12, seed=0, dtype=torch.float32):
    return torch.randn(items, latent_dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def cut(matrix, rank):
    U, S, Vt = torch.linalg.svd(matrix, full_matrices=False)
    return U[:, :rank] * S[:rank] @ Vt[:rank]


def folded(bottleneck, output):
    """The last linear layer of an encoder with the bottleneck folded in, as `Autoencoder.collapse` does."""
    matrix = bottleneck.matrix().detach().double()
    return SimpleNamespace(weight=matrix @ output.weight.double(), bias=matrix @ output.bias.double())


@pytest.mark.parametrize("rank", [1, 5, 12])
def test_narrow_is_two_matrices_of_that_rank(rank):
    torch.manual_seed(0)
    narrow = NarrowBottleneck(12, rank)
    weights: list[Any] = [layer.weight for layer in narrow.layers]
    A, B = weights
    assert A.shape == (rank, 12)
    assert B.shape == (12, rank)
    h = points()
    torch.testing.assert_close(narrow(h).z, h @ A.mT @ B.mT)
    assert torch.linalg.matrix_rank(narrow.matrix()) == rank
    assert torch.linalg.matrix_rank(narrow(h).z, rtol=1e-5) == rank
    narrow.matrix().sum().backward()
    assert A.grad.isfinite().all()
    assert B.grad.isfinite().all()


@pytest.mark.parametrize("bottleneck_class", [NarrowBottleneck, TruncatedBottleneck])
def test_folding_into_the_encoder_gives_the_same_latents(bottleneck_class):
    torch.manual_seed(0)
    output, bottleneck = Linear(20, 12), bottleneck_class(12, rank=3)
    features = points(50, 20)
    bottleneck(output(features))  # one training pass, which a projector needs
    single = folded(bottleneck, output)
    expected = bottleneck.eval()(output(features)).z
    torch.testing.assert_close((features.double() @ single.weight.mT + single.bias).float(), expected)
    assert torch.linalg.matrix_rank(single.weight, rtol=1e-5) == 3


@pytest.mark.parametrize(("items", "rank"), [(40, 5), (40, 12), (8, 5), (3, 5), (1, 1)])
def test_training_gives_the_best_approximation_of_the_batch(items, rank):
    h = points(items)
    z = TruncatedBottleneck(12, rank)(h).z
    torch.testing.assert_close(z, cut(h, rank), atol=1e-5, rtol=0)
    # Eckart and Young: the squared error is what the dropped singular values hold.
    dropped = torch.linalg.svdvals(h)[rank:].square().sum().item()
    assert (h - z).square().sum().item() == pytest.approx(dropped, rel=1e-4, abs=1e-8)


def test_truncated_has_the_gradient_of_the_singular_vectors_where_the_rest_is_small():
    # Rank 4 up to 1e-7: there the derivative of torch's own singular value decomposition is the reference.
    h = (cut(points(dtype=torch.float64), 4) + 1e-7 * points(seed=1, dtype=torch.float64)).requires_grad_()
    weights = points(seed=2, dtype=torch.float64)
    (expected,) = torch.autograd.grad((cut(h, 4) * weights).sum(), h)
    z = TruncatedBottleneck(12, 4).double()(h).z
    (gradient,) = torch.autograd.grad((z * weights).sum(), h)
    torch.testing.assert_close(gradient, expected, atol=1e-5, rtol=0)
    _, _, Vt = torch.linalg.svd(h.detach())
    held = weights @ Vt[:4].mT @ Vt[:4]  # what is left of it with the singular vectors held fixed
    assert (held - expected).norm() > 0.1 * expected.norm()


@pytest.mark.parametrize("values", [[1.0] * 12, [3.0] * 4 + [0.0] * 8, [0.0] * 12])
def test_gradient_of_the_truncated_is_never_longer_than_what_comes_in(values):
    # Repeated singular values, across the cut and beyond it, where the derivative of the vectors is not finite.
    Q, _ = torch.linalg.qr(points())
    h = (Q * torch.tensor(values)).requires_grad_()
    weights = points(seed=2)
    (TruncatedBottleneck(12, 4)(h).z * weights).sum().backward()
    assert h.grad.isfinite().all()
    assert h.grad.norm() <= weights.norm() * (1 + 1e-5)


def test_descent_turns_the_latents_towards_the_target():
    # A target of the same rank in other directions: reached, while fixed singular vectors would never get there.
    target = cut(points(seed=5), 3)
    h = points(seed=6).requires_grad_()
    truncated = TruncatedBottleneck(12, 3)
    for _ in range(300):
        loss = (truncated(h).z - target).square().sum()
        (gradient,) = torch.autograd.grad(loss, h)
        with torch.no_grad():
            h -= 0.3 * gradient
    assert loss < 1e-3 * target.square().sum()


def test_projector_is_idempotent_symmetric_and_of_the_rank():
    truncated = TruncatedBottleneck(12, 5)
    for seed in range(3):
        truncated(points(seed=seed))
    P = truncated.matrix()
    torch.testing.assert_close(P @ P, P)
    torch.testing.assert_close(P, P.mT)
    assert P.trace().item() == pytest.approx(5, abs=1e-5)
    assert not P.requires_grad


def test_evaluation_projects_onto_the_leading_directions_of_the_moving_average():
    truncated = TruncatedBottleneck(12, 5, decay=0.9)
    batches = [points(seed=seed) * torch.linspace(2, 0.1, 12) for seed in range(4)]
    moment = torch.zeros(12, 12, dtype=torch.float64)
    for h in batches:
        truncated(h)
        moment = 0.9 * moment + 0.1 * h.double().mT @ h.double() / len(h)
    torch.testing.assert_close(truncated.second_moment.double(), moment, atol=1e-6, rtol=1e-5)
    vectors = torch.linalg.svd(moment)[0][:, :5]
    h = points(seed=9)
    torch.testing.assert_close(truncated.eval()(h).z, (h.double() @ vectors @ vectors.mT).float(), atol=1e-5, rtol=0)


def test_one_batch_is_projected_as_it_was_truncated():
    truncated = TruncatedBottleneck(12, 5)
    h = points()
    torch.testing.assert_close(truncated(h).z, truncated.eval()(h).z, atol=1e-5, rtol=0)


def test_truncated_passes_on_what_is_not_finite_and_forgets_it():
    truncated = TruncatedBottleneck(12, 5)
    truncated(points())
    before = truncated.matrix()
    assert truncated(points() * torch.nan).z.isnan().all()
    assert torch.equal(truncated.matrix(), before)


def lengths(z):
    """k of each item, after checking that it is a prefix of ones."""
    kept = z != 0
    k = kept.sum(1)
    assert torch.equal(kept, torch.arange(z.shape[1]) < k[:, None])
    return k


@pytest.mark.parametrize("rate", [0.1, 0.5, None, 1.0])
def test_lengths_of_nested_dropout_are_geometric(rate):
    n, latent_dim = 100_000, 12
    torch.manual_seed(0)
    nested = NestedBottleneck(latent_dim) if rate is None else NestedBottleneck(latent_dim, rate)
    rate = nested.rate
    k = lengths(nested(torch.ones(n, latent_dim)).z)
    expected = torch.tensor([(1 - rate) ** (i - 1) * rate for i in range(1, latent_dim)])
    expected = torch.cat([expected, torch.tensor([(1 - rate) ** (latent_dim - 1)])])
    shares = torch.bincount(k, minlength=latent_dim + 1) / n
    assert shares[0] == 0
    assert ((shares[1:] - expected).abs() <= 5 * (expected * (1 - expected) / n).sqrt() + 1e-7).all()


@pytest.mark.parametrize("latent_dim", [2, 4, 16, 128])
def test_a_quarter_of_the_latent_is_kept_on_average(latent_dim):
    torch.manual_seed(0)
    k = lengths(NestedBottleneck(latent_dim)(torch.ones(20_000, latent_dim)).z)
    assert k.float().mean().item() == pytest.approx(max(1, latent_dim / 4), rel=0.05)


def test_nested_keeps_values_and_gradients_of_the_prefix_and_everything_in_evaluation():
    torch.manual_seed(0)
    nested = NestedBottleneck(12)
    h = points().requires_grad_()
    z = nested(h).z
    z.sum().backward()
    k = lengths(z.detach())
    kept = torch.arange(12) < k[:, None]
    assert torch.equal(z.detach()[kept], h.detach()[kept])
    assert torch.equal(h.grad, kept.float())
    assert len(k.unique()) > 3  # each item has its own
    assert torch.equal(nested.eval()(h).z, h)
