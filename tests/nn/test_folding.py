"""Removing the layer: outputs stay the same, coordinates are principal axes, and what cannot be folded is refused."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

import lorae
from lorae.models import Autoencoder, ModelSpec
from lorae.nn import LowRankLinear
from tests.nn.networks import LATENT, items, network

# Any: the tests of refusals pass what their types exclude.
fold: Any = lorae.nn.fold
truncate: Any = lorae.nn.truncate

CONVOLUTIONS = {
    "1x1": lambda inputs, outputs: nn.Conv2d(inputs, outputs, 1),
    "3x3": lambda inputs, outputs: nn.Conv2d(inputs, outputs, 3, bias=False),
    "signal": lambda inputs, outputs: nn.Conv1d(inputs, outputs, 1),
    "volume": lambda inputs, outputs: nn.Conv3d(inputs, outputs, 1),
}


def of_rank(rank, width=LATENT, **options):
    layer = LowRankLinear(width, **options)
    torch.manual_seed(1)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(width, rank) @ torch.randn(rank, width))
    return layer


def of_maps(kind, channels):
    sides = {"signal": 1, "volume": 3}.get(kind, 2)
    return torch.randn(3, channels, *[6] * sides)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(9,), (4, 9), (2, 3, 9)])
def test_a_folded_linear_layer_gives_the_same_outputs(bias, shape):
    layer, low_rank, x = nn.Linear(9, LATENT, bias=bias), of_rank(3), torch.randn(shape)
    kept = copy.deepcopy(layer)
    folded = fold(low_rank, layer)
    torch.testing.assert_close(folded(x), low_rank(layer(x)), atol=1e-5, rtol=1e-5)
    assert type(folded) is nn.Linear
    assert (folded.bias is None) == (not bias)
    assert torch.equal(layer.weight, kept.weight)  # the given layer is as before


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_a_folded_convolution_gives_the_same_outputs(kind):
    layer, low_rank, x = CONVOLUTIONS[kind](5, LATENT), of_rank(3, dim=1), of_maps(kind, 5)
    folded = fold(low_rank, layer)
    torch.testing.assert_close(folded(x), low_rank(layer(x)), atol=1e-5, rtol=1e-5)
    assert type(folded) is type(layer)


def test_options_mode_dtype_and_frozen_weights_are_kept():
    layer = nn.Conv2d(4, LATENT, 3, stride=2, padding=1).double().eval().requires_grad_(False)
    folded = fold(of_rank(3, dim=1), layer)
    assert (folded.stride, folded.padding, folded.training) == ((2, 2), (1, 1), False)
    assert {(part.dtype, part.requires_grad) for part in folded.parameters()} == {(torch.float64, False)}


def test_folding_does_not_depend_on_autocast_or_gradients():
    layer, low_rank = nn.Linear(9, LATENT), of_rank(3)
    expected = fold(low_rank, layer)
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        folded = fold(low_rank, layer)
    assert torch.equal(folded.weight, expected.weight)
    assert folded.weight.requires_grad
    assert not folded.weight.is_inference()


@pytest.mark.parametrize("rank", [None, 3, 5])
def test_a_truncation_at_the_rank_or_above_keeps_all_outputs(rank):
    model, x = network(), items()
    model[1] = of_rank(3)
    last, first = truncate(model[0][-1], model[1], model[2][0], model[:2](x), rank)
    small = nn.Sequential(model[0][:-1], last, first, model[2][1:])
    fresh = items(seed=7)
    torch.testing.assert_close(small(fresh), model(fresh), atol=1e-5, rtol=1e-5)
    assert (last.out_features, first.in_features) == (rank or 3, rank or 3)
    assert (type(last), type(first)) == (nn.Linear, nn.Linear)


def test_coordinates_are_the_principal_axes_of_the_codes():
    model, x = network(), items()
    model[1] = of_rank(4)
    z = model[:2](x)
    last, first = truncate(model[0][-1], model[1], model[2][0], z, 2)
    codes = last(model[0][:-1](x)).detach().double().numpy()
    covariance = np.cov(z.detach().double().numpy(), rowvar=False)
    np.testing.assert_allclose(
        np.cov(codes, rowvar=False), np.diag(np.linalg.eigvalsh(covariance)[::-1][:2]), atol=1e-6
    )
    np.testing.assert_allclose(codes.mean(0), 0, atol=1e-6)
    # What is dropped is decoded at its mean.
    _, axes = np.linalg.eigh(covariance)
    P = torch.from_numpy(axes[:, -2:] @ axes[:, -2:].T).float()
    center = z.mean(0)
    torch.testing.assert_close(
        first(last(model[0][:-1](x))), model[2][0](center + (z - center) @ P), atol=1e-5, rtol=1e-5
    )


def test_it_is_the_truncation_of_the_package(vectors):
    model: Any = Autoencoder(ModelSpec("mlp", (6,), latent_dim=4, bottleneck="linear"))
    low_rank = model.bottleneck.layers[0]
    assert isinstance(low_rank, LowRankLinear)
    expected: Any = model.truncate(vectors, 2)
    last, first = truncate(model.encoder.output, low_rank, model.decoder.input, model.encode(vectors), 2)
    torch.testing.assert_close(last.weight, expected.encoder.output.weight, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(first.bias, expected.decoder.input.bias, atol=1e-5, rtol=1e-4)


def test_latents_that_are_sequences():
    encoder, low_rank, decoder = nn.Linear(9, LATENT), of_rank(2), nn.Linear(LATENT, 9)
    x = torch.randn(5, 7, 9)
    last, first = truncate(encoder, low_rank, decoder, low_rank(encoder(x)))
    assert last(x).shape == (5, 7, 2)
    torch.testing.assert_close(first(last(x)), decoder(low_rank(encoder(x))), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_latents_that_are_maps(kind):
    encoder, low_rank, decoder = CONVOLUTIONS[kind](5, LATENT), of_rank(2, dim=1), CONVOLUTIONS[kind](LATENT, 5)
    x = of_maps(kind, 5)
    z = low_rank(encoder(x))
    last, first = truncate(encoder, low_rank, decoder, z.detach().numpy())
    assert last(x).shape[1] == 2
    torch.testing.assert_close(first(last(x)), decoder(z), atol=1e-5, rtol=1e-5)
    assert last.bias is not None


PARTS: Any = nn.Linear(9, LATENT), of_rank(3), nn.Linear(LATENT, 9)
CODES = PARTS[1](PARTS[0](torch.randn(20, 9))).detach()
REFUSALS = {
    "no low-rank layer": (
        lambda: fold(nn.Linear(6, 6), PARTS[0]),
        "low_rank: got Linear, expected a lorae.nn.LowRank",
    ),
    "no layer": (lambda: fold(PARTS[1], nn.ReLU()), "layer: got ReLU, expected an nn.Linear or nn.Conv2d"),
    "transposed": (lambda: fold(PARTS[1], nn.ConvTranspose2d(6, 6, 1)), "layer: got ConvTranspose2d, expected an"),
    "width": (lambda: fold(PARTS[1], nn.Linear(6, 9)), "layer: got 9 outputs, expected 6, the width of low_rank"),
    "groups": (lambda: fold(PARTS[1], nn.Conv2d(6, 6, 1, groups=2)), "layer: got a convolution with groups=2"),
    "norm": (lambda: fold(PARTS[1], spectral_norm(nn.Linear(9, 6))), "layer: got a parametrized weight"),
    "inputs": (lambda: truncate(*PARTS[:2], nn.Linear(9, 6), CODES), "decoder_first: got 9 inputs, expected 6"),
    "padding": (
        lambda: truncate(*PARTS[:2], nn.Conv2d(6, 3, 3, padding=1), CODES),
        r"decoder_first: got a convolution with padding=\(1, 1\), expected none",
    ),
    "same": (
        lambda: truncate(*PARTS[:2], nn.Conv2d(6, 3, 3, padding="same"), CODES),
        "decoder_first: got a convolution with padding=same, expected none",
    ),
    "rank": (lambda: truncate(*PARTS, CODES, 7), "rank: got 7, expected a whole number of at least 1 and at most 6"),
    "shape": (lambda: truncate(*PARTS, CODES[:, :5]), "codes: got shape 20x5, expected 6 entries along dimension -1"),
    "one": (lambda: truncate(*PARTS, CODES[:1]), "codes: got 1, expected at least 2 for a covariance"),
    "words": (
        lambda: truncate(*PARTS, np.array([["a"] * 6] * 3)),
        "codes: got dtype <U1, expected integers or floating",
    ),
    "infinite": (lambda: truncate(*PARTS, CODES / 0), "codes: got values that are not finite"),
    "not latents": (lambda: truncate(*PARTS, torch.randn(20, 6)), r"of their length outside the range of M, expected"),
    "zero": (lambda: truncate(PARTS[0], of_rank(0), PARTS[2], CODES), "M is zero, expected at least one direction"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_bad_input_is_refused_in_one_line(name):
    call, message = REFUSALS[name]
    with pytest.raises(lorae.LoraeError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
