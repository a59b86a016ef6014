"""Corrections to a linear path stay within the range of the training items, and the path is a least-squares fit."""

import copy
import dataclasses
import math

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from lorae.models import Autoencoder, ModelSpec
from lorae.models.linear_path import (
    continued_as_pca,
    find_continuation,
    limit_corrections,
    refit_linear_path,
    scale_corrections,
    start_as_principal_components,
)
from lorae.models.networks import Limits


def trained_like(shape, items):
    """A residual network whose corrections are not zero, as after training."""
    model = Autoencoder.initialized(ModelSpec("residual", shape, latent_dim=3, width=0.25))
    model.scaling.fit(items)
    start_as_principal_components(model, items)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


@pytest.fixture(params=[(6,), (3, 8, 8)], ids=["vectors", "images"])
def trained_and_items(request):
    rng = np.random.default_rng(0)
    if len(request.param) == 1:
        items = rng.normal(size=(200, *request.param)) * 5 + 1
    else:
        items = rng.uniform(0.3, 0.6, (200, *request.param))
    items = items.astype(np.float32)
    return trained_like(request.param, items), items


def test_limits_change_nothing_within_the_range_of_the_items(trained_and_items):
    model, items = trained_and_items
    before = model.reconstruct(items)
    limit_corrections(model, items)
    np.testing.assert_array_equal(model.reconstruct(items), before)


def test_a_limited_network_continues_linearly_far_from_the_items(trained_and_items):
    model, items = trained_and_items
    direction = torch.from_numpy(np.random.default_rng(1).normal(size=items.shape[1:])).float()
    along = torch.stack([model.scaling(torch.from_numpy(items[:1]))[0] + t * direction for t in (400, 500, 600)])

    def bend():
        with torch.inference_mode():
            first, second, third = model(along).x_hat
        return float((third - 2 * second + first).abs().max() / (third - first).abs().max())

    # A network of ReLUs is linear far out as well, but with the slope of its corrections.
    limit_corrections(model, items)
    assert bend() < 1e-4
    with torch.inference_mode():
        h = model.encoder(along)
        linear = along.flatten(1) @ model.encoder.output.weight[:, : along[0].numel()].T
        np.testing.assert_allclose(h[2] - h[1], linear[2] - linear[1], rtol=1e-3, atol=1e-3 * float(h.abs().max()))


def test_limits_come_with_the_weights_and_cost_nothing_before(trained_and_items):
    model, items = trained_and_items
    assert [module.known for module in model.modules() if isinstance(module, Limits)] == [False, False]
    limit_corrections(model, items)
    other = Autoencoder(model.spec).eval()
    other.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(other.reconstruct(1.6 * items), model.reconstruct(1.6 * items))
    limitless = trained_like(model.spec.shape, items)
    assert not np.array_equal(other.reconstruct(1.6 * items), limitless.reconstruct(1.6 * items))


def test_a_model_without_a_linear_path_has_no_limits(vectors):
    model = Autoencoder(ModelSpec("mlp", (6,), latent_dim=2)).eval()
    before = model.reconstruct(vectors)
    limit_corrections(model, vectors[:2])
    np.testing.assert_array_equal(model.reconstruct(vectors), before)


def test_weights_of_earlier_versions_have_no_limits(trained_and_items):
    model, items = trained_and_items
    before = model.reconstruct(items)
    weights = {name: value for name, value in model.state_dict().items() if "limits" not in name}
    assert len(weights) < len(model.state_dict())
    again = Autoencoder(model.spec).eval()
    again.load_state_dict(weights)
    np.testing.assert_array_equal(again.reconstruct(items), before)


def test_a_refitted_path_leaves_no_error_that_the_latents_could_explain(trained_and_items):
    model, items = trained_and_items
    before = model.squared_error(items)
    codes = model.encode(items)
    refit_linear_path(model, items)
    assert model.squared_error(items) < before
    np.testing.assert_array_equal(model.encode(items), codes)
    scaled = model.scaling(torch.from_numpy(items)).double().flatten(1).numpy()
    with torch.inference_mode():
        left = scaled - model.decoder(torch.from_numpy(codes)).double().flatten(1).numpy()
    known = np.hstack([codes, np.ones((len(codes), 1))])
    assert (
        np.abs(known.T @ left).max() < 1e-3 * np.linalg.norm(known, axis=0).max() * np.linalg.norm(left, axis=0).max()
    )


@pytest.mark.parametrize("factor", [1.0, 0.5, 0.0])
def test_scaled_corrections_keep_the_linear_path(trained_and_items, factor):
    model, items = trained_and_items
    scaled = copy.deepcopy(model)
    scale_corrections(scaled, factor)
    inputs = math.prod(model.spec.shape)
    x = model.scaling(torch.from_numpy(items))
    with torch.inference_mode():
        features, weight = model.encoder.features(x), model.encoder.output.weight
        linear = features[:, :inputs] @ weight[:, :inputs].mT + model.encoder.output.bias
        corrected = linear + factor * (model.encoder(x) - linear)
        torch.testing.assert_close(scaled.encoder(x), corrected, atol=1e-4, rtol=1e-4)
        first = model.decoder.input(corrected)
        path = first[:, -inputs:].view(x.shape)
        whole = path + factor * (model.decoder(corrected) - path)
        torch.testing.assert_close(scaled.decoder(corrected), whole, atol=1e-4, rtol=1e-4)


def test_a_disturbed_path_of_a_linear_model_becomes_pca_again(vectors):
    model = Autoencoder(ModelSpec("residual", (6,), latent_dim=2)).eval()
    model.scaling.fit(vectors)
    start_as_principal_components(model, vectors)
    best = model.squared_error(vectors)
    with torch.no_grad():
        model.decoder.input.weight[-6:] += 0.3
        model.decoder.input.bias[-6:] -= 1
    assert model.squared_error(vectors) > best + 0.1
    refit_linear_path(model, vectors)
    assert model.squared_error(vectors) == pytest.approx(best, abs=1e-6)


def test_directions_that_the_latents_do_not_use_get_no_weight(vectors):
    model = Autoencoder(ModelSpec("residual", (6,), latent_dim=4)).eval()  # the vectors span two directions
    model.scaling.fit(vectors)
    start_as_principal_components(model, vectors)
    refit_linear_path(model, vectors)
    assert float(model.decoder.input.weight.detach().abs().max()) < 10


def pca_errors(model, items, new):
    """Squared errors of new items under the PCA of `items`, by scikit-learn, in the model's units."""
    scaled, moved = (model.scaling(torch.from_numpy(part)).double().flatten(1).numpy() for part in (items, new))
    pca = PCA(model.spec.latent_dim).fit(scaled)
    return np.square(pca.inverse_transform(pca.transform(moved)) - moved).mean(axis=1)


def errors(model, new):
    with torch.inference_mode():
        scaled = model.scaling(torch.from_numpy(new))
        return (model(scaled).x_hat - scaled).double().square().flatten(1).mean(1).numpy()


def test_continuation_changes_nothing_within_the_range_of_the_items(trained_and_items):
    model, items = trained_and_items
    continued = continued_as_pca(model, items)
    np.testing.assert_allclose(continued.encode(items), model.encode(items), atol=2e-5)
    np.testing.assert_allclose(continued.reconstruct(items), model.reconstruct(items), atol=1e-4)


def test_a_continued_network_has_the_error_of_pca_far_from_the_items(trained_and_items):
    model, items = trained_and_items
    continued = continued_as_pca(model, items)
    moves = np.random.default_rng(1).normal(size=items[:20].shape)
    far = (items[:20] + 3000 * items.std() * moves).astype(np.float32)
    expected = pca_errors(model, items, far)
    np.testing.assert_allclose(errors(continued, far), expected, rtol=0.02)
    assert np.abs(errors(model, far) / expected - 1).max() > 0.025  # as it was, by more than the tolerance


@pytest.mark.parametrize("entry", range(6))
def test_one_entry_far_out_is_reconstructed_as_by_pca(entry):
    items = (np.random.default_rng(0).normal(size=(200, 6)) * 5 + 1).astype(np.float32)
    model = continued_as_pca(trained_like((6,), items), items)
    new = items[:10].copy()
    new[:, entry] += 1e4
    np.testing.assert_allclose(errors(model, new), pca_errors(model, items, new), rtol=0.02)


def test_a_continued_network_is_rebuilt_from_its_specification(trained_and_items):
    model, items = trained_and_items
    continued = continued_as_pca(model, items)
    again = Autoencoder(ModelSpec.from_json(dataclasses.asdict(continued.spec))).eval()
    again.load_state_dict(continued.state_dict())
    np.testing.assert_array_equal(again.reconstruct(items + 0), continued.reconstruct(items))


def test_continuation_draws_no_random_numbers(trained_and_items):
    model, items = trained_and_items
    before = torch.random.get_rng_state()
    continued_as_pca(model, items)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_codes_that_pca_cannot_explain_still_give_its_projection():
    rng = np.random.default_rng(0)
    items = rng.normal(size=(300, 5)) * [5, 4, 3, 2, 1]
    codes = items[:, [3, 4]] / [2, 1] * [7, 0.1]  # orthogonal to the two leading directions
    maps = find_continuation(items, codes)
    pca = PCA(2).fit(items)
    np.testing.assert_allclose((maps.decoding @ maps.encoding).numpy(), pca.components_.T @ pca.components_, atol=1e-9)
    scores = (items - items.mean(axis=0)) @ maps.encoding.numpy().T
    np.testing.assert_allclose(scores.std(axis=0), codes.std(axis=0), rtol=0.05)


def test_more_codes_than_directions_keep_all_directions():
    items = np.random.default_rng(0).normal(size=(4, 6))
    maps = find_continuation(items, np.random.default_rng(1).normal(size=(4, 5)))
    moves = items - items.mean(axis=0)
    np.testing.assert_allclose(moves @ (maps.decoding @ maps.encoding).numpy().T, moves, atol=1e-9)
