"""Corrections to a linear path stay within the range of the training items, and the path is a least-squares fit."""

import numpy as np
import pytest
import torch

from lorae.models import Autoencoder, ModelSpec


def trained_like(shape, items):
    """A residual network whose corrections are not zero, as after training."""
    model = Autoencoder(ModelSpec("residual", shape, latent_dim=3, width=0.25))
    model.scaling.fit(items)
    model.start_as_principal_components(items)
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
    model.limit_corrections(items)
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
    model.limit_corrections(items)
    assert bend() < 1e-4
    with torch.inference_mode():
        h = model.encoder(along)
        linear = along.flatten(1) @ model.encoder.output.weight[:, : along[0].numel()].T
        np.testing.assert_allclose(h[2] - h[1], linear[2] - linear[1], rtol=1e-3, atol=1e-3 * float(h.abs().max()))


def test_a_model_without_a_linear_path_has_no_limits(vectors):
    model = Autoencoder(ModelSpec("mlp", (6,), latent_dim=2)).eval()
    before = model.reconstruct(vectors)
    model.limit_corrections(vectors[:2])
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
    model.refit_linear_path(items)
    assert model.squared_error(items) < before
    np.testing.assert_array_equal(model.encode(items), codes)
    scaled = model.scaling(torch.from_numpy(items)).double().flatten(1).numpy()
    with torch.inference_mode():
        left = scaled - model.decoder(torch.from_numpy(codes)).double().flatten(1).numpy()
    known = np.hstack([codes, np.ones((len(codes), 1))])
    assert (
        np.abs(known.T @ left).max() < 1e-3 * np.linalg.norm(known, axis=0).max() * np.linalg.norm(left, axis=0).max()
    )


def test_a_disturbed_path_of_a_linear_model_becomes_pca_again(vectors):
    model = Autoencoder(ModelSpec("residual", (6,), latent_dim=2)).eval()
    model.scaling.fit(vectors)
    model.start_as_principal_components(vectors)
    best = model.squared_error(vectors)
    with torch.no_grad():
        model.decoder.input.weight[-6:] += 0.3
        model.decoder.input.bias[-6:] -= 1
    assert model.squared_error(vectors) > best + 0.1
    model.refit_linear_path(vectors)
    assert model.squared_error(vectors) == pytest.approx(best, abs=1e-6)


def test_directions_that_the_latents_do_not_use_get_no_weight(vectors):
    model = Autoencoder(ModelSpec("residual", (6,), latent_dim=4)).eval()  # the vectors span two directions
    model.scaling.fit(vectors)
    model.start_as_principal_components(vectors)
    model.refit_linear_path(vectors)
    assert float(model.decoder.input.weight.detach().abs().max()) < 10
