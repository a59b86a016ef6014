import copy

import pytest
import torch

from lorae.models.bottlenecks import QuantizerBottleneck


def points(items=64, latent_dim=8, seed=0):
    return torch.randn(items, latent_dim, generator=torch.Generator().manual_seed(seed))


def trained(passes=5, **options):
    torch.manual_seed(0)
    quantizer = QuantizerBottleneck(8, **({"groups": 4, "codes": 16} | options))
    for seed in range(passes):
        quantizer(points(seed=seed))
    return quantizer


def test_every_group_becomes_its_nearest_code():
    quantizer = trained().eval()
    h = points(seed=9)
    z = quantizer(h).z
    for vector, code in zip(h.view(-1, 2), z.view(-1, 2), strict=True):
        distances = (quantizer.codebook - vector).square().sum(1)
        assert torch.equal(code, quantizer.codebook[distances.argmin()])


def test_gradient_passes_straight_through_and_training_gives_the_codes_themselves():
    quantizer = trained(threshold=0.0)  # no code is replaced before the choice
    h = points(seed=9).requires_grad_()
    expected = copy.deepcopy(quantizer).eval()(h).z
    z = quantizer(h).z
    assert torch.equal(z, expected)
    weights = points(seed=10)
    (z * weights).sum().backward()
    assert torch.equal(h.grad, weights)


def test_commitment_is_the_mean_square_with_a_gradient_to_the_encoder_only():
    quantizer = trained()
    h = points(seed=9).requires_grad_()
    latent = quantizer(h)
    commitment = latent.terms["commitment"]
    assert commitment.item() == pytest.approx((h - latent.z).square().mean().item(), rel=1e-6)
    (gradient,) = torch.autograd.grad(commitment, h)
    torch.testing.assert_close(gradient, 2 * (h - latent.z).detach() / h.numel())
    assert not latent.terms["unused_codes"].requires_grad
    assert not list(quantizer.parameters())


def test_codes_are_moving_averages_as_in_the_paper():
    quantizer = trained()
    counts = torch.full((16,), 0.0, dtype=torch.float64)  # N and m of the paper's appendix, in float64
    counts += quantizer.usage
    sums = quantizer.codebook.double() * counts[:, None]
    for seed in (20, 21, 22):
        assert (quantizer.usage > quantizer.threshold / 16).all()  # nothing is replaced
        vectors = points(seed=seed).view(-1, 2)
        indices = quantizer.nearest(vectors)
        quantizer(points(seed=seed))
        for code in range(16):
            mine = vectors[indices == code].double()
            counts[code] = 0.99 * counts[code] + 0.01 * len(mine) / len(vectors)
            sums[code] = 0.99 * sums[code] + 0.01 * mine.sum(0) / len(vectors)
        torch.testing.assert_close(quantizer.usage.double(), counts, atol=1e-6, rtol=0)
        # The smoothing moves a code by about 1e-5 of itself.
        torch.testing.assert_close(quantizer.codebook.double(), sums / counts[:, None], atol=1e-4, rtol=0)
    assert quantizer.usage.sum().item() == pytest.approx(1, abs=1e-5)


def test_codes_settle_at_the_centres_of_clusters():
    centres = torch.tensor([[-5.0, 0.0], [5.0, 0.0], [0.0, 5.0], [0.0, -5.0]])
    quantizer = QuantizerBottleneck(2, groups=1, codes=4)
    quantizer.codebook.copy_(centres / 2)
    quantizer.filled.fill_(True)
    generator = torch.Generator().manual_seed(2)
    for _ in range(600):
        which = torch.randint(4, (64,), generator=generator)
        quantizer(centres[which] + 0.1 * torch.randn(64, 2, generator=generator))
    torch.testing.assert_close(quantizer.codebook, centres, atol=0.05, rtol=0)
    torch.testing.assert_close(quantizer.usage, torch.full((4,), 0.25), atol=0.05, rtol=0)


def distances_to_data(quantizer, h):
    return torch.cdist(quantizer.codebook, h.view(-1, 2), compute_mode="donot_use_mm_for_euclid_dist").min(1)


def test_first_batch_fills_the_book():
    quantizer = QuantizerBottleneck(8, groups=4, codes=16, decay=0.999999)  # so that the codes stay where they are put
    torch.manual_seed(0)
    h = points()
    quantizer(h)
    nearest, which = distances_to_data(quantizer, h)
    assert nearest.max() < 1e-4
    assert len(which.unique()) == 16  # different ones
    assert quantizer.filled


def test_a_batch_smaller_than_the_book_fills_it_too():
    torch.manual_seed(0)
    quantizer = QuantizerBottleneck(8, groups=4, codes=16, decay=0.999999)
    h = points(2)
    assert quantizer(h).terms["commitment"] < 1e-8
    assert distances_to_data(quantizer, h).values.max() < 1e-4


def test_codes_that_nothing_chooses_come_back():
    quantizer = trained()
    quantizer.codebook[:4] = 1e3
    quantizer.usage.fill_(1 / 16)
    unused: list[float] = []
    while (quantizer.codebook[:4] > 900).any():
        assert len(unused) < 1000
        unused.append(quantizer(points(seed=len(unused))).terms["unused_codes"].item())
    # log(0.03) / log(0.99) = 348.9 passes until the moving average is down to 3% of the mean.
    assert unused == [0.0] * 349 + [4 / 16]
    for seed in range(100):
        last = quantizer(points(seed=seed)).terms["unused_codes"].item()
    assert last == 0
    assert quantizer.codebook.abs().max() < 10


def test_threshold_of_zero_replaces_nothing():
    quantizer = trained(threshold=0.0)
    quantizer.codebook[0] = 1e3
    quantizer.usage[0] = 1e-4
    assert quantizer(points()).terms["unused_codes"] == 0
    assert quantizer.codebook[0].max() == pytest.approx(1e3, rel=1e-3)


def test_evaluation_leaves_the_book_alone_even_before_the_first_batch():
    quantizer = QuantizerBottleneck(8, groups=4, codes=16).eval()
    before = copy.deepcopy(quantizer.state_dict())
    assert not quantizer(points()).z.any()
    assert all(torch.equal(value, before[key]) for key, value in quantizer.state_dict().items())
