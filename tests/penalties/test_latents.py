"""Penalties on the latents of a batch."""

from types import SimpleNamespace

import pytest
import torch

from lorae.penalties import l1, latent_l2, log_volume, mmd


def context_with(z):
    return SimpleNamespace(latents=z)


def test_norms_by_hand():
    context = context_with(torch.tensor([[3.0, -4.0], [0.0, 1.0]]))
    assert latent_l2.penalty(context).item() == (25 / 2 + 1 / 2) / 2
    assert l1.penalty(context).item() == (7 + 1) / 2


def test_log_volume_by_hand():
    # Deviations of 1 and 3 over the batch; the means do not count.
    z = torch.tensor([[4.0, -3.0], [6.0, 3.0]], requires_grad=True)
    value = log_volume.penalty(context_with(z))
    assert value.item() == pytest.approx((1.01 * 3.01) ** 0.5)
    value.backward()
    # d/dz of the first deviation is -1/2 and 1/2; the mean over two directions halves once more.
    slope = value.item() / 1.01 / 4
    torch.testing.assert_close(z.grad[:, 0], torch.tensor([-slope, slope]))


def test_log_volume_is_finite_where_directions_are_flat():
    z = torch.tensor([[1.0, 2.0, 0.0], [1.0, 2.0, 5.0]], requires_grad=True)
    value = log_volume.penalty(context_with(z))
    value.backward()
    assert value.item() == pytest.approx((0.01 * 0.01 * 2.51) ** (1 / 3))
    assert z.grad.isfinite().all()
    assert z.grad[:, 2].abs().min() > 0


def kernel(a, b):
    size = 2 * len(a)
    return sum(size * s / (size * s + ((a - b) ** 2).sum().item()) for s in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0))


def test_mmd_equals_the_sum_over_pairs():
    n = 6
    z = torch.randn(n, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 1
    torch.manual_seed(7)
    value = mmd.penalty(context_with(z)).item()
    torch.manual_seed(7)
    noise = torch.randn_like(z)
    expected = 0.0
    for i in range(n):
        for j in range(n):
            if i != j:
                expected += (kernel(z[i], z[j]) + kernel(noise[i], noise[j])) / (n * (n - 1))
            expected -= 2 * kernel(z[i], noise[j]) / n**2
    assert value == pytest.approx(expected, rel=1e-10)


def test_mmd_has_the_right_gradient():
    z = torch.randn(5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)

    def function(z):
        torch.manual_seed(7)
        return mmd.penalty(context_with(z))

    assert torch.autograd.gradcheck(function, z)


def test_mmd_of_normal_latents_is_zero_in_the_mean():
    # A batch of four: there an estimate with the pairs of a point with itself is off by about 2.
    torch.manual_seed(0)
    values = torch.stack([mmd.penalty(context_with(torch.randn(4, 5))) for _ in range(2000)])
    assert values.mean().abs() < 3 * values.std() / len(values) ** 0.5
    assert values.std() < 1


def test_mmd_grows_with_a_shift_and_with_a_wrong_scale():
    torch.manual_seed(0)
    z = torch.randn(200, 5)
    shifted = [mmd.penalty(context_with(z + shift)).item() for shift in (0, 0.5, 1, 2, 4)]
    assert abs(shifted[0]) < 0.05
    assert shifted == sorted(shifted)
    assert mmd.penalty(context_with(z * 0.3)) > 0.1
    assert mmd.penalty(context_with(z * 3)) > 0.1
