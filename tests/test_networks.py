import pytest
import torch
from torch import nn

from lorae.errors import LoraeError
from lorae.layers import Linear, StridedConv2d
from lorae.networks import build_networks


def convolution(before, after, kernel=4):
    return before * after * kernel * kernel + after


def linear(before, after):
    return before * after + after


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_parameter_counts_of_the_mnist_pair():
    # By hand from the paper's supplementary table 1 (with 8192 for its 8096, see lorae.networks).
    encoder, decoder = build_networks("mnist", (1, 32, 32), 128)
    assert count(encoder) == 544 + 32_832 + 131_200 + 524_544 + 131_200 == 820_320
    assert count(decoder) == 1_056_768 + 131_136 + 32_800 + 33 == 1_220_737


def test_parameter_counts_of_the_celeba_pair():
    encoder, decoder = build_networks("celeba", (3, 64, 64), 128)
    assert count(encoder) == 6_272 + 524_544 + 2_097_664 + 8_389_632 + 2_097_280 == 13_115_392
    assert count(decoder) == 8_454_144 + 8_389_120 + 2_097_408 + 524_416 + 387 == 19_465_475


@pytest.mark.parametrize("network", ["mnist", "celeba"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 16), (1, 24, 40), (3, 48, 48), (3, 72, 64)])
def test_any_multiple_of_eight_goes_through_and_comes_back(network, shape):
    encoder, decoder = build_networks(network, shape, 5, width=0.0625)
    z = encoder(torch.rand(2, *shape))
    assert z.shape == (2, 5)
    assert decoder(z).shape == (2, *shape)


def test_other_sizes_are_refused():
    with pytest.raises(LoraeError, match=r"28x28.*multiples of 8"):
        build_networks("mnist", (1, 28, 28), 8)


def test_mlp_pair_by_hand():
    encoder, decoder = build_networks("mlp", (60,), 10)
    assert count(encoder) == linear(60, 256) + linear(256, 256) + linear(256, 10)
    assert count(decoder) == linear(10, 256) + linear(256, 256) + linear(256, 60)
    assert decoder(encoder(torch.rand(3, 60))).shape == (3, 60)


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (1, 5, 4, 6), (3, 1, 2, 2), (2, 3, 32, 32), (2, 2, 7, 7)])
def test_strided_convolution_equals_torch(shape):
    torch.manual_seed(0)
    fast = StridedConv2d(shape[1], 4).double()
    plain = nn.Conv2d(shape[1], 4, 4, 2, 1).double()
    plain.load_state_dict(fast.state_dict())
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    weights = torch.randn_like(plain(x))
    results = []
    for layer in (fast, plain):
        parts = torch.autograd.grad((layer(x) * weights).sum(), [x, layer.weight, layer.bias])
        results.append((layer(x), *parts))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_strided_convolution_passes_gradcheck_on_small_maps():
    layer = StridedConv2d(2, 3).double()
    x = torch.randn(2, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, x)


def test_linear_layers_stay_in_float32_under_autocast():
    layer = Linear(7, 3)
    x = torch.randn(4, 7).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, x.float() @ layer.weight.T + layer.bias)
