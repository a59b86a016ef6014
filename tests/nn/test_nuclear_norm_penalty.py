"""The penalty as a term of a loss: sums over layers, tangents, and refusals."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import lorae
from lorae.linalg import nuclear_norm
from lorae.nn import LowRankLinear
from tests.nn.networks import LATENT, error, items, network

nuclear_norm_penalty: Any = lorae.nn.nuclear_norm_penalty  # Any: the tests of refusals pass what its type excludes


@pytest.mark.parametrize("method", ["auto", "svd", "eigh", "polar"])
def test_it_sums_the_singular_values_of_all_layers(method):
    model: Any = nn.Sequential(LowRankLinear(4, "default"), nn.Tanh(), nn.Sequential(LowRankLinear(4, "default")))
    penalty = nuclear_norm_penalty(model, method)
    expected = sum(
        np.linalg.svd(layer.weight.detach().numpy(), compute_uv=False).sum() for layer in (model[0], model[2][0])
    )
    assert penalty.item() == pytest.approx(expected, rel=1e-4)
    penalty.backward()
    U, _, Vh = np.linalg.svd(model[0].weight.detach().numpy())
    np.testing.assert_allclose(model[0].weight.grad, U @ Vh, atol=1e-2)


def test_a_layer_that_is_used_twice_counts_once():
    layer = LowRankLinear(4)
    assert nuclear_norm_penalty(nn.Sequential(layer, nn.Tanh(), layer)).item() == pytest.approx(4)


def test_between_factorizations_it_is_the_tangent():
    layer = LowRankLinear(4, "default")
    start = layer.weight.detach().clone()
    value = nuclear_norm(start)
    U, _, Vh = torch.linalg.svd(start.double())
    for call in range(7):
        layer.zero_grad()
        penalty = nuclear_norm_penalty(layer, every=3)
        penalty.backward()
        if call % 3 == 0:
            start, value = layer.weight.detach().clone(), nuclear_norm(layer.weight.detach())
            U, _, Vh = torch.linalg.svd(start.double())
        slope = (U @ Vh).float()
        torch.testing.assert_close(layer.weight.grad, slope, atol=1e-4, rtol=0)
        torch.testing.assert_close(penalty, value + (slope * (layer.weight - start)).sum(), atol=1e-4, rtol=0)
        with torch.no_grad():
            exact = nuclear_norm_penalty(layer, every=3)  # measured beside the training: exact, and not counted
            torch.testing.assert_close(exact, nuclear_norm(layer.weight))
            layer.weight.add_(0.1 * torch.randn(4, 4))


def test_new_weights_and_new_dtypes_get_a_new_tangent():
    layer, other = LowRankLinear(4, "default"), LowRankLinear(4, "default")
    nuclear_norm_penalty(layer, every=100)
    layer.load_state_dict(other.state_dict())
    torch.testing.assert_close(nuclear_norm_penalty(layer, every=100), nuclear_norm(other.weight))
    nn.init.eye_(layer.weight)
    twin = copy.deepcopy(layer)
    assert nuclear_norm_penalty(twin, every=100).item() == pytest.approx(4)
    layer.double()
    assert nuclear_norm_penalty(layer, every=100).item() == pytest.approx(4, abs=1e-12)


def test_a_larger_weight_leaves_a_smaller_norm():
    norms = []
    for weight in (0.0, 0.01, 0.1):
        model = network()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        for _ in range(60):
            optimizer.zero_grad()
            (error(model, items()) + weight * nuclear_norm_penalty(model, every=5)).backward()
            optimizer.step()
        norms.append(nuclear_norm_penalty(model).item())
    assert norms[0] > norms[1] > norms[2]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: nuclear_norm_penalty(nn.Linear(4, 4)),
            "module: got Linear without a LowRankLinear, expected at least one",
        ),
        (lambda: nuclear_norm_penalty(network(), "qr"), "method: got 'qr', expected auto, svd, eigh or polar"),
        (lambda: nuclear_norm_penalty(network(), every=0), "every: got 0, expected a whole number of at least 1"),
        (
            lambda: nuclear_norm_penalty(network(), every="2.5"),
            "every: got '2.5', expected a whole number of at least 1",
        ),
    ],
)
def test_bad_arguments_are_refused_in_one_line(call, message):
    with pytest.raises(lorae.LoraeError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_matrix_that_is_not_finite_gives_a_loss_that_says_so():
    layer = LowRankLinear(LATENT)
    layer.weight.data[0, 0] = torch.nan
    assert nuclear_norm_penalty(layer).isnan()
