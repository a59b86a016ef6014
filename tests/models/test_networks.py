from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import nn

from lorae.config.resolution import resolve
from lorae.config.settings import Settings
from lorae.data import Dataset, Split
from lorae.errors import LoraeError
from lorae.models.autoencoder import Autoencoder, ModelSpec
from lorae.models.layers import Linear, PixelwiseLinear, StridedConv2d, StridedConvTranspose2d
from lorae.models.linear_path import start_as_principal_components
from lorae.models.networks import ToImage, build_networks
from lorae.system.hardware import thread_count
from lorae.training.builders import build_model


def convolution(before, after, kernel=4):
    return before * after * kernel * kernel + after


def linear(before, after):
    return before * after + after


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_parameter_counts_of_the_mnist_pair():
    # By hand from the paper's supplementary table 1 (with 8192 for its 8096, see lorae.models.networks).
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


def plain_twin(layer):
    kind = nn.Conv2d if isinstance(layer, nn.Conv2d) else nn.ConvTranspose2d
    twin = kind(layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding)
    twin.load_state_dict(layer.state_dict())
    return twin.to(layer.weight.dtype)


OWN_LAYERS = [StridedConv2d, StridedConvTranspose2d, PixelwiseLinear]


@pytest.mark.parametrize("kind", OWN_LAYERS)
@pytest.mark.parametrize(("n", "c", "side"), [(2, 3, 8), (1, 2, 4), (3, 1, 2), (2, 4, 16)])
def test_own_layers_equal_torchs_forward_and_backward(kind, n, c, side):
    torch.manual_seed(0)
    layer = kind(c, 3).double()
    x = torch.randn(n, c, side, side, dtype=torch.float64, requires_grad=True)
    weights = torch.randn_like(plain_twin(layer)(x))
    results = []
    for each in (layer, plain_twin(layer)):
        y = each(x)
        results.append((y, *torch.autograd.grad((y * weights).sum(), [x, each.weight, each.bias])))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", OWN_LAYERS)
def test_own_layers_have_right_first_and_second_derivatives(kind):
    layer = kind(2, 2).double()
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    inputs = (x, layer.weight, layer.bias)

    def function(x, weight, bias):
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x,))

    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


@pytest.mark.parametrize("kind", OWN_LAYERS)
def test_own_layers_agree_with_torchs_under_autocast(kind):
    torch.manual_seed(0)
    layer = kind(8, 8)
    x = torch.randn(4, 8, 8, 8, requires_grad=True)
    gradients = []
    for each in (layer, plain_twin(layer)):
        with torch.autocast("cpu", torch.bfloat16):
            y = each(x)
        assert y.dtype == torch.bfloat16
        gradients.append(torch.autograd.grad(y.float().square().sum(), [x, each.weight, each.bias]))
    for ours, theirs in zip(*gradients, strict=True):
        assert ours.dtype == torch.float32
        assert (ours - theirs).norm() < 0.02 * theirs.norm()


def test_the_decoder_reads_its_first_layer_as_height_width_channels():
    _, decoder = build_networks("mnist", (1, 32, 32), 4)
    rows = torch.arange(8192.0).view(1, 8192)
    features: Any = decoder.features
    image = next(module for module in features if isinstance(module, ToImage))(rows)
    assert image.shape == (1, 128, 8, 8)
    assert image[0, 3, 2, 1] == (2 * 8 + 1) * 128 + 3


def test_linear_layers_stay_in_float32_under_autocast():
    layer = Linear(7, 3)
    x = torch.randn(4, 7).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, x.float() @ layer.weight.T + layer.bias)


@pytest.mark.parametrize("normalize", ["none", "coordinates", "scale"])
@pytest.mark.parametrize("latent_dim", [8, 3])
@pytest.mark.parametrize("scale", ["columns", "whole"])
def test_a_residual_network_starts_as_principal_components(normalize, latent_dim, scale):
    # Sorted, and more than it is calibrated by: those have another mean and another deviation than all.
    rng = np.random.default_rng(0)
    items = (np.sort(rng.normal(size=(1200, 8)), axis=0) + rng.normal(size=(1200, 8))) @ rng.normal(size=(8, 8)) + 5
    items = items.astype(np.float32)
    asked = Settings(
        method="lorae+", network="residual", normalize=normalize, latent_dim=latent_dim, vector_scale=scale
    )
    dataset = Dataset("array", Split(items), Split(items), "", "")
    model = build_model(resolve(asked, "vectors", (8,)), dataset).eval()
    exact = items.astype(np.float64)
    deviation = exact.std(0) if scale == "columns" else np.sqrt(exact.var(0).mean())
    scaled = (exact - exact.mean(0)) / deviation
    pca = PCA(latent_dim).fit(scaled)
    restored = (model.reconstruct(items) - exact.mean(0)) / deviation
    np.testing.assert_allclose(restored, pca.inverse_transform(pca.transform(scaled)), atol=1e-5)


@pytest.mark.parametrize("network", ["residual", "linear"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 24), (7,)])
def test_networks_with_a_linear_path_start_as_principal_components(network, shape):
    items = np.random.default_rng(0).random((60, *shape)).astype(np.float32)
    model = Autoencoder(ModelSpec(network, shape, latent_dim=4))
    start_as_principal_components(model, items)
    rows = items.reshape(60, -1).astype(np.float64)
    pca = PCA(4, svd_solver="full").fit(rows)
    restored = pca.inverse_transform(pca.transform(rows)).reshape(items.shape)
    np.testing.assert_allclose(model.reconstruct(items), restored, atol=1e-5)


def test_a_network_of_pictures_learns_beside_its_linear_path():
    x = torch.rand(16, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    model = Autoencoder(ModelSpec("residual", (3, 16, 16), latent_dim=2))
    start_as_principal_components(model, x.numpy())
    before = model.squared_error(x)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(30):
        optimizer.zero_grad()
        (model(x).x_hat - x).square().mean().backward()
        optimizer.step()
    assert all(parameter.grad.abs().max() > 0 for parameter in model.parameters())
    assert model.squared_error(x) < 0.9 * before


@pytest.mark.parametrize(("columns", "batch_size", "single"), [(10, 32, True), (64, 128, True), (3000, 128, False)])
def test_small_networks_train_on_one_thread(columns, batch_size, single):
    model = Autoencoder(ModelSpec("residual", (columns,), latent_dim=8))
    assert (thread_count(batch_size, model) == 1) == (single or torch.get_num_threads() == 1)
    assert thread_count(1, Autoencoder(ModelSpec("mnist", (1, 8, 8), latent_dim=2))) == torch.get_num_threads()
