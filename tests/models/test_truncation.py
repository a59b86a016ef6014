import copy
import json
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from lorae.api.truncation import methods_with_matrix
from lorae.config.methods import METHODS
from lorae.errors import LoraeError
from lorae.models.autoencoder import Autoencoder, ModelSpec
from lorae.models.bottlenecks import LinearBottleneck, TruncatedBottleneck

LATENT, RANK = 12, 5
METHODS_TO_CUT = ("lorae", "lorae+", "irmae", "irmae-wd", "diabolo", "rrae")
SHAPES = {"images": ("mnist", (1, 16, 16)), "vectors": ("mlp", (6,))}


def build(method, kind="images", rank=RANK, seed=0):
    """A model of a method in evaluation mode whose bottleneck has a rank, and a normalization that does something."""
    torch.manual_seed(seed)
    row = METHODS[method]
    options = dict(row.bottleneck_options) | ({"rank": rank} if "rank" in row.bottleneck_options else {})
    model = Autoencoder(ModelSpec(*SHAPES[kind], LATENT, 0.125, row.bottleneck, options)).eval()
    bottleneck: Any = model.bottleneck
    with torch.no_grad():
        if isinstance(bottleneck, TruncatedBottleneck):
            batch = torch.randn(50, LATENT)
            bottleneck.second_moment.copy_(batch.T @ batch)
        else:
            for layer in bottleneck.layers:
                torch.nn.init.orthogonal_(layer.weight)
            # Singular values 3, 2.5, 2, ...; those of a narrow layer's first matrix are its rank.
            first = bottleneck.layers[0].weight
            values = torch.arange(len(first), 0, -1) / 2 + 0.5
            values[rank:] = 0
            first.mul_(values[:, None])
        if method == "lorae+":
            bottleneck.normalizer.mean.normal_()
            bottleneck.normalizer.variance.uniform_(0.1, 2)
    return model


@pytest.fixture
def items(images, vectors):
    return {"images": images[:60], "vectors": vectors[:60]}


def close(before, after):
    return np.abs(before - after).max() <= 1e-5 * max(1, np.abs(before).max())


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("method", METHODS_TO_CUT)
def test_the_default_keeps_reconstructions_and_drops_what_is_not_used(method, kind, items):
    model = build(method, kind)
    # Also of items that the axes are not those of.
    small = model.truncate(items[kind][:40])
    assert close(model.reconstruct(items[kind]), small.reconstruct(items[kind]))
    assert small.spec.latent_dim == RANK == model.matrix_rank(1e-6)
    assert small.encode(items[kind]).shape == (60, RANK)
    before, after = model.parameter_counts(), small.parameter_counts()
    dropped = LATENT - RANK
    assert after["bottleneck"] == 0
    assert before["encoder"] - after["encoder"] == dropped * (model.encoder.output.in_features + 1)
    assert before["decoder"] - after["decoder"] == dropped * model.decoder.input.out_features


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("method", METHODS_TO_CUT)
def test_the_spec_rebuilds_the_small_model(method, kind, items):
    small = build(method, kind).truncate(items[kind])
    spec = ModelSpec.from_json(json.loads(json.dumps(vars(small.spec))))
    again = Autoencoder(spec)
    again.load_state_dict(small.state_dict())
    np.testing.assert_array_equal(again.reconstruct(items[kind]), small.reconstruct(items[kind]))


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("method", METHODS_TO_CUT)
@pytest.mark.parametrize("rank", [2, None])
def test_codes_are_centred_uncorrelated_and_ordered_as_the_spectrum_of_the_latents(method, kind, rank, items):
    model = build(method, kind)
    codes = model.truncate(items[kind], rank).encode(items[kind]).astype(np.float64)
    covariance = np.cov(codes, rowvar=False)
    scale = covariance.max()
    np.testing.assert_allclose(codes.mean(axis=0), 0, atol=1e-5 * np.sqrt(scale))
    np.testing.assert_allclose(covariance, np.diag(covariance.diagonal()), atol=1e-5 * scale)
    assert (np.diff(covariance.diagonal()) <= 0).all()
    eigenvalues = model.spectrum(items[kind]).eigenvalues[: len(covariance)]
    np.testing.assert_allclose(covariance.diagonal(), eigenvalues, rtol=1e-4, atol=1e-9 * scale)


@pytest.mark.parametrize("method", METHODS_TO_CUT)
@pytest.mark.parametrize("rank", [1, 3])
def test_it_is_the_pca_of_the_latents_with_signs_of_its_own(method, rank, items):
    model = build(method)
    latents, codes = (each.encode(items["images"]) for each in (model, model.truncate(items["images"], rank)))
    pca = PCA(rank).fit(latents.astype(np.float64))
    signs = np.sign(pca.components_[np.arange(rank), np.abs(pca.components_).argmax(1)])
    np.testing.assert_allclose(codes, pca.transform(latents) * signs, atol=1e-5)
    cut = model.find_truncation(items["images"], rank)
    np.testing.assert_allclose(cut.axes, pca.components_.T * signs, atol=1e-4)
    np.testing.assert_allclose(cut.deviations[:rank], np.sqrt(pca.explained_variance_), rtol=1e-4)
    assert cut.dropped_variance == pytest.approx(1 - pca.explained_variance_ratio_.sum(), abs=1e-5)
    # A dropped direction keeps its mean.
    means = model.decode(pca.inverse_transform(pca.transform(latents)).astype(np.float32))
    assert close(means, model.truncate(items["images"], rank).reconstruct(items["images"]))


def test_a_strong_direction_that_nothing_comes_in_along_goes_first():
    model = build("lorae", "vectors", rank=2)
    with torch.no_grad():
        model.bottleneck.layers[0].weight.copy_(torch.diag(torch.tensor([100.0, 1.0] + [0.0] * (LATENT - 2))))
        model.encoder.output.weight[0] = 0
    items = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    assert close(model.reconstruct(items), model.truncate(items, 1).reconstruct(items))
    assert model.find_truncation(items, 1).dropped_variance == 0
    # Nobody asked for a rank: it stays, for items that are not like these.
    whole = model.truncate(items)
    assert whole.spec.latent_dim == 2
    assert np.abs(whole.encode(items)[:, 1]).max() < 1e-5
    with torch.no_grad():
        for each in (model, whole):
            each.scaling.shift[:] = 30
    assert close(model.reconstruct(items), whole.reconstruct(items))


def test_an_offset_outside_the_range_of_the_matrix_goes_to_the_decoder(items):
    class Shifted(LinearBottleneck):
        def forward(self, h):
            latent = super().forward(h)
            return type(latent)(latent.z + torch.arange(LATENT))

        def affine(self):
            return super().affine()[0], torch.arange(LATENT).double()

    model = build("irmae")
    shifted = Shifted(LATENT, 8)
    shifted.load_state_dict(model.bottleneck.state_dict())
    model.bottleneck = shifted
    assert close(model.reconstruct(items["images"]), model.truncate(items["images"]).reconstruct(items["images"]))


def test_directions_beyond_the_rank_have_codes_of_zero(items):
    model = build("lorae")
    wide = model.truncate(items["images"], LATENT)
    assert np.abs(wide.encode(items["images"])[:, RANK:]).max() < 1e-5
    assert close(model.reconstruct(items["images"]), wide.reconstruct(items["images"]))


def test_a_smaller_rank_is_the_first_coordinates_of_a_larger(items):
    model = build("lorae+")
    codes = model.truncate(items["images"]).encode(items["images"])
    np.testing.assert_allclose(model.truncate(items["images"], 2).encode(items["images"]), codes[:, :2], atol=1e-6)


@pytest.mark.parametrize("method", METHODS_TO_CUT)
def test_twice_is_the_same_and_touches_neither_the_model_nor_the_random_numbers(method, items):
    model = build(method)
    before = copy.deepcopy(model.state_dict())
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    first, second = (model.truncate(items["images"]) for _ in range(2))
    assert torch.equal(torch.rand(3), expected)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_axes_of_a_projection_depend_on_nothing_but_the_projection_and_the_items(items):
    first, second = (build("rrae") for _ in range(2))
    _, vectors = torch.linalg.eigh(first.bottleneck.second_moment.double())
    # Other weights of the same leading directions: the same projection from other vectors.
    weights = torch.tensor([0.0] * (LATENT - RANK) + [3.0, 9.0, 2.0, 7.0, 5.0])
    second.bottleneck.second_moment.copy_(vectors * weights @ vectors.T)
    cuts = [model.find_truncation(items["images"]) for model in (first, second)]
    np.testing.assert_allclose(cuts[0].axes, cuts[1].axes, atol=1e-4)


def test_tensors_are_items_too(items):
    model = build("lorae")
    first, second = (model.truncate(each) for each in (items["images"], torch.as_tensor(items["images"])))
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())


def test_dtype_mode_and_gradients_are_those_of_the_model(items):
    model = build("lorae").double()
    assert not model.truncate(items["images"]).training
    model.train()
    small = model.truncate(items["images"])
    assert small.training
    assert {parameter.dtype for parameter in small.parameters()} == {torch.float64}
    assert all(parameter.requires_grad for parameter in small.parameters())


def test_collapsing_a_truncated_model_changes_nothing(items):
    small = build("lorae+").truncate(items["images"])
    again = small.collapse()
    assert again.spec == small.spec
    np.testing.assert_array_equal(again.reconstruct(items["images"]), small.reconstruct(items["images"]))
    with pytest.raises(LoraeError, match="IdentityBottleneck has no matrix M to cut"):
        small.truncate(items["images"])


@pytest.mark.parametrize("rank", [0, -1, LATENT + 1, 2.5, "many", True])
def test_a_rank_that_does_not_fit_is_refused(rank, items):
    with pytest.raises(LoraeError, match=rf"rank: got {rank!r}, expected a whole number of at least 1 and at most 12"):
        build("lorae").truncate(items["images"], rank)


@pytest.mark.parametrize("method", sorted(set(METHODS) - set(methods_with_matrix())))
def test_methods_without_a_matrix_are_refused_by_one_line(method):
    row = METHODS[method]
    options = dict(row.bottleneck_options) | ({"groups": 4} if "groups" in row.bottleneck_options else {})
    model = Autoencoder(ModelSpec("mlp", (6,), LATENT, 1.0, row.bottleneck, options, encodes=row.encodes))
    with pytest.raises(LoraeError, match="has no matrix M to cut, expected a linear bottleneck") as error:
        model.truncate(np.zeros((3, 6), np.float32))
    assert "\n" not in str(error.value)


def test_spectral_norms_are_refused():
    model = Autoencoder(ModelSpec("mlp", (6,), 4, bottleneck="linear", spectral_norm=True))
    with pytest.raises(LoraeError, match="divides its weights by spectral norms"):
        model.truncate(np.zeros((3, 6), np.float32))


@pytest.mark.parametrize(("value", "expected"), [(0.0, "the model has collapsed"), (np.nan, "has diverged")])
def test_a_matrix_that_is_none_is_refused(value, expected, items):
    model = build("lorae")
    model.bottleneck.layers[0].weight.data.fill_(value)
    with pytest.raises(LoraeError, match=expected):
        model.truncate(items["images"])


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_items_are_refused(n, items):
    with pytest.raises(LoraeError, match=rf"items: got {n}, expected at least 2 for a covariance"):
        build("lorae").truncate(items["images"][:n])


def test_an_encoder_that_has_diverged_is_refused(items):
    model = build("lorae")
    model.encoder.output.bias.data[0] = np.inf
    with pytest.raises(LoraeError, match="the encoder gives values that are not finite; the model has diverged"):
        model.truncate(items["images"])


def test_latents_that_do_not_vary_are_decoded_all_the_same(items):
    model = build("lorae")
    model.encoder.output.weight.data.zero_()
    assert model.find_truncation(items["images"], 1).dropped_variance == 0
    assert close(model.reconstruct(items["images"]), model.truncate(items["images"], 1).reconstruct(items["images"]))
