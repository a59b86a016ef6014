import numpy as np
import pytest
import torch

from lorae.config.methods import METHODS
from lorae.errors import LoraeError
from lorae.metrics.spectrum import latent_spectrum
from lorae.models.autoencoder import Autoencoder, ModelSpec
from lorae.models.bottlenecks import BOTTLENECKS


def build(method="lorae", network="mnist", shape=(1, 32, 32), latent_dim=16, width=0.25):
    torch.manual_seed(0)
    row = METHODS[method]
    return Autoencoder(ModelSpec(network, shape, latent_dim, width, row.bottleneck, dict(row.bottleneck_options)))


@pytest.fixture
def pictures():
    return np.random.default_rng(0).integers(0, 256, (10, 1, 32, 32), dtype=np.uint8)


@pytest.mark.parametrize("method", METHODS)
def test_collapsed_model_equals_the_uncollapsed_one(method, pictures):
    model = build(method)
    for parameter in model.bottleneck.parameters():  # not the identity that it may start from
        torch.nn.init.normal_(parameter, std=0.3)
    collapsed = model.collapse()
    for function in ("encode", "reconstruct"):
        before, after = getattr(model, function)(pictures), getattr(collapsed, function)(pictures)
        assert np.linalg.norm(before - after) <= 1e-6 * np.linalg.norm(before)


# A posterior has two outputs of the encoder for each coordinate, and stays as it is.
ONE_OUTPUT = [name for name, method in METHODS.items() if BOTTLENECKS[method.bottleneck].input_width(8) == 8]


@pytest.mark.parametrize("method", ONE_OUTPUT)
@pytest.mark.parametrize(("network", "shape"), [("mnist", (1, 32, 32)), ("celeba", (3, 64, 64)), ("mlp", (20,))])
def test_collapsed_model_has_the_plain_autoencoders_parameters(method, network, shape):
    counts = build(method, network, shape, width=0.0625).collapse().parameter_counts()
    assert counts == build("ae", network, shape, width=0.0625).parameter_counts()


def test_collapsed_trained_model_equals_the_uncollapsed_one(trained, images):
    model = trained.load_model()
    before, after = model.reconstruct(images), model.collapse().reconstruct(images)
    assert np.linalg.norm(before - after) <= 1e-6 * np.linalg.norm(before)
    assert model.collapse().spec.bottleneck == "identity"


def test_loading_and_collapsing_draw_no_random_numbers(trained):
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    trained.load_model().collapse()
    assert torch.equal(torch.rand(3), expected)


def test_float_images_beyond_one_are_refused(pictures):
    with pytest.raises(LoraeError, match=r"images: got values up to 2\d\d"):
        build().encode(pictures.astype(np.float32))


def test_one_item_has_no_spectrum(pictures):
    with pytest.raises(LoraeError, match="got 1 items, expected at least 2"):
        build().spectrum(pictures[:1])


def test_collapsing_leaves_the_original_alone(pictures):
    model = build("lorae")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.collapse().encoder.output.weight.data.zero_()
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_matrix_is_the_whole_chain():
    model = build("irmae")
    h = torch.randn(3, 16)
    torch.testing.assert_close(model.bottleneck(h).z, h @ model.bottleneck.matrix().T)


@pytest.mark.parametrize(("init", "expected"), [("identity", torch.eye(6)), ("orthogonal", None)])
def test_initialisation_of_the_matrix(init, expected):
    model = Autoencoder(ModelSpec("mlp", (6,), 6, bottleneck="linear", bottleneck_options={"layers": 1, "init": init}))
    M = model.bottleneck.matrix().detach()
    torch.testing.assert_close(M.T @ M, torch.eye(6))
    if expected is not None:
        assert torch.equal(M, expected)


def test_encode_then_decode_is_reconstruct_and_keeps_the_kind_of_array(pictures):
    model = build()
    as_array = model.reconstruct(pictures)
    assert isinstance(as_array, np.ndarray)
    np.testing.assert_allclose(model.decode(model.encode(pictures)), as_array, atol=1e-6)
    as_tensor = model.reconstruct(torch.from_numpy(pictures))
    assert isinstance(as_tensor, torch.Tensor)
    np.testing.assert_array_equal(as_tensor.numpy(), as_array)


def test_uint8_and_unit_interval_images_are_the_same_input(pictures):
    model = build()
    floats = (pictures / 255).astype(np.float32)
    np.testing.assert_allclose(model.encode(pictures), model.encode(floats), atol=1e-6)


def test_number_of_items_at_once_does_not_matter(pictures, monkeypatch):
    model = build()
    whole = model.encode(pictures)
    monkeypatch.setattr("lorae.models.chunks.CHUNK", 3)
    np.testing.assert_allclose(model.encode(pictures), whole, atol=1e-6)
    assert model.encode(pictures[:0]).shape == (0, 16)


def test_squared_error_agrees_with_numpy(pictures):
    model = build()
    expected = ((model.reconstruct(pictures) - pictures / 255) ** 2).mean()
    assert model.squared_error(pictures) == pytest.approx(expected, rel=1e-5)


def test_vectors_are_standardised_and_come_back_in_their_own_units(vectors):
    model = Autoencoder(ModelSpec("mlp", (6,), 3))
    model.scaling.fit(vectors)
    scaled = model.scaling(torch.from_numpy(vectors)).numpy()
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(scaled[:, :5].std(0), 1, atol=1e-4)
    assert (scaled[:, 5] == 0).all()  # a constant column
    np.testing.assert_allclose(model.scaling.inverse(torch.from_numpy(scaled)).numpy(), vectors, rtol=1e-4)
    constant = model.reconstruct(vectors)[:, 5]
    assert np.abs(constant - 7).max() < 3  # near its mean, in its own units


def test_wrong_shape_is_one_clear_error(pictures):
    with pytest.raises(LoraeError, match=r"got 10x1x16x16, expected nx1x32x32"):
        build().encode(pictures[:, :, ::2, ::2])


def test_spectrum_agrees_with_numpy_and_finds_a_known_rank():
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 12)) + 4  # an offset must not count
    spectrum = latent_spectrum(latents, "test")
    assert spectrum.rank == 3
    singular = np.linalg.svd(latents - latents.mean(0), compute_uv=False) ** 2 / 499
    np.testing.assert_allclose(spectrum.eigenvalues, singular, atol=1e-10)


def test_encoding_leaves_training_mode_as_it_was(pictures):
    model = build()
    model.train()
    model.encode(pictures)
    assert model.training
    model.eval()
    model.encode(pictures)
    assert not model.training
