"""Gaussian posteriors, and planar flows on top of them."""

import math

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from lorae.models.bottlenecks import FlowBottleneck, GaussianBottleneck


def posterior_numbers(items=5, latent_dim=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    h = torch.randn(items, 2 * latent_dim, generator=generator, dtype=torch.float64)
    return h, h[:, :latent_dim], (h[:, latent_dim:] / 2).exp()


def random_flow(latent_dim=4, layers=8, seed=3, scale=1.5):
    torch.manual_seed(seed)
    flow = FlowBottleneck(latent_dim, layers).double()
    for parameter in flow.parameters():
        torch.nn.init.normal_(parameter, std=scale)
    return flow


def test_divergence_is_that_of_torch():
    h, mean, deviation = posterior_numbers()
    expected = kl_divergence(Normal(mean, deviation), Normal(0.0, 1.0)).sum(1).mean()
    assert GaussianBottleneck(4)(h).terms["kl"].item() == pytest.approx(expected.item(), rel=1e-12)


def test_divergence_is_zero_at_the_prior_and_its_gradient_too():
    h = torch.zeros(3, 8, requires_grad=True)
    kl = GaussianBottleneck(4)(h).terms["kl"]
    kl.backward()
    assert kl.item() == 0
    assert not h.grad.any()


def test_samples_have_the_moments_of_the_posterior():
    h, mean, deviation = posterior_numbers(items=1)
    n = 200_000
    torch.manual_seed(1)
    z = GaussianBottleneck(4)(h.expand(n, -1)).z
    # Five standard errors of a mean, of a variance and of a covariance.
    assert ((z.mean(0) - mean[0]).abs() < 5 * deviation[0] / math.sqrt(n)).all()
    standard = (z - mean) / deviation
    assert (standard.mT @ standard / n - torch.eye(4)).abs().max() < 5 * math.sqrt(2 / n)
    assert torch.equal(GaussianBottleneck(4).eval()(h).z, mean)


def test_gradient_passes_through_the_sample():
    h, _, _ = posterior_numbers()
    h.requires_grad_()
    z = GaussianBottleneck(4)(h).z
    (gradient,) = torch.autograd.grad(z.sum(), h)
    torch.testing.assert_close(gradient[:, :4], torch.ones_like(gradient[:, :4]))
    # d/d log-variance of deviation * noise is half of it.
    torch.testing.assert_close(gradient[:, 4:], ((z - h[:, :4]) / 2).detach())


@pytest.mark.parametrize("wild", [-1e4, 1e4])
@pytest.mark.parametrize("build", [GaussianBottleneck, FlowBottleneck])
def test_wild_log_variances_stay_finite_and_are_pulled_back(build, wild):
    h = torch.cat([torch.zeros(3, 4), torch.full((3, 4), wild)], dim=1).requires_grad_()
    latent = build(4)(h)
    latent.terms["kl"].backward()
    assert latent.z.isfinite().all()
    assert latent.terms["kl"].isfinite()
    if build is GaussianBottleneck:
        assert (h.grad[:, 4:].sign() == math.copysign(1, wild)).all()


def test_flow_starts_as_the_plain_posterior():
    torch.manual_seed(0)
    flow = FlowBottleneck(16)
    z = torch.randn(50, 16)
    moved, log_determinant = flow.transform(z)
    torch.testing.assert_close(moved, z, atol=1e-5, rtol=0)
    assert log_determinant.abs().max() < 1e-5
    h = torch.randn(50, 32)
    torch.manual_seed(1)
    flow(h).terms["kl"].backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in (flow.u, flow.b))


@pytest.mark.parametrize("layers", [1, 8])
def test_log_determinant_is_that_of_the_jacobian(layers):
    flow = random_flow(layers=layers)
    z = 2 * torch.randn(20, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    log_determinant = flow.transform(z)[1]
    assert log_determinant.shape == (20,)
    for item, value in zip(z, log_determinant, strict=True):
        jacobian = torch.func.jacrev(lambda point: flow.transform(point[None])[0][0])(item)
        sign, expected = torch.linalg.slogdet(jacobian)
        assert sign == 1  # a planar map that folded the space over would turn it around
        assert value.item() == pytest.approx(expected.item(), rel=1e-9, abs=1e-10)


def test_every_map_is_invertible():
    flow = random_flow(layers=100, scale=3.0)
    raw = (flow.w * flow.u).sum(1)
    assert raw.min() < -1  # for these numbers the maps would not be, were it not for the correction
    u, stretch = flow.invertible()
    torch.testing.assert_close((flow.w * u).sum(1), stretch - 1)
    assert (stretch > 0).all()
    # u moves along w only.
    change = u - flow.u
    torch.testing.assert_close(
        change, (change * flow.w).sum(1, keepdim=True) * flow.w / flow.w.norm(dim=1)[:, None] ** 2
    )


def test_a_map_is_undone_by_bisection():
    flow = random_flow(layers=1, seed=6)
    w, b, u = flow.w.detach()[0], flow.b.detach()[0], flow.invertible()[0].detach()[0]
    z = torch.randn(30, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    image = flow.transform(z)[0].detach()
    # w f(z) = s + (w u) tanh(s + b) grows with s = w z, so s is found by halving an interval.
    target, slope = image @ w, w @ u
    lower, upper = target - slope.abs() - 1, target + slope.abs() + 1
    for _ in range(80):
        middle = (lower + upper) / 2
        below = middle + slope * torch.tanh(middle + b) < target
        lower, upper = torch.where(below, middle, lower), torch.where(below, upper, middle)
    torch.testing.assert_close(image - torch.outer(torch.tanh(lower + b), u), z, atol=1e-9, rtol=0)


@pytest.mark.parametrize(("bent", "share"), [(0.1, 0.5), (0.5, 1.0)])
def test_divergence_of_the_flow_has_the_mean_of_the_plain_estimate_and_less_variance(bent, share):
    torch.manual_seed(0)
    flow = FlowBottleneck(4).double()
    for parameter in flow.parameters():
        parameter.data += bent * torch.randn_like(parameter)
    h, mean, deviation = posterior_numbers(items=1)
    n, size = 40_000, 100
    start = mean + deviation * torch.randn(n, 4, dtype=torch.float64)
    z, log_determinant = flow.transform(start)
    prior = Independent(Normal(torch.zeros(4, dtype=torch.float64), 1.0), 1)
    plain = Independent(Normal(mean, deviation), 1).log_prob(start) - log_determinant - prior.log_prob(z)
    batches = [flow(h.expand(size, -1)).terms["kl"].detach() for _ in range(n // size)]
    ours = torch.stack(batches)
    error = math.sqrt((plain.var().item() + size * ours.var().item()) / n)
    assert abs(ours.mean() - plain.mean()).item() < 4 * error
    assert size * ours.var() < share * plain.var()


def test_divergence_of_the_flow_is_the_closed_form_at_the_start():
    torch.manual_seed(0)
    h, _, _ = posterior_numbers()
    expected = GaussianBottleneck(4)(h).terms["kl"].item()
    assert FlowBottleneck(4).double()(h).terms["kl"].item() == pytest.approx(expected, rel=1e-5)


def test_flow_in_evaluation_moves_the_mean():
    flow = random_flow().eval()
    h, mean, _ = posterior_numbers()
    assert torch.equal(flow(h).z, flow.transform(mean)[0])
