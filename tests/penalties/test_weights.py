"""Penalties on the weights of decoder and bottleneck."""

import pytest
import torch

from lorae.errors import LoraeError
from lorae.models.autoencoder import Autoencoder, ModelSpec
from lorae.penalties import PenaltyContext, decoder_l2, matrix_l2


def context_of(bottleneck="linear", **options):
    # Hidden layers of 256 / 32 = 8.
    model = Autoencoder(ModelSpec("mlp", (3,), 2, 1 / 32, bottleneck, options))
    x, h = torch.zeros(1, 3), torch.zeros(1, 2)
    return PenaltyContext(model.encoder, model.decoder, model.bottleneck, x, h, h, x)


def test_decoder_l2_takes_all_weights_and_no_bias():
    context = context_of()
    for name, parameter in context.decoder.named_parameters():
        parameter.data.fill_(7.0 if name.endswith("bias") else 2.0)
    value = decoder_l2.penalty(context)
    assert value.item() == (2 * 8 + 8 * 8 + 8 * 3) * 4 / 2
    value.backward()
    for name, parameter in [*context.decoder.named_parameters(), *context.encoder.named_parameters("encoder")]:
        in_it = not name.startswith("encoder") and name.endswith("weight")
        assert (parameter.grad is None) is not in_it
        assert not in_it or torch.equal(parameter.grad, parameter)


def test_decoder_l2_takes_the_weights_of_convolutions():
    model = Autoencoder(ModelSpec("mnist", (1, 16, 16), 2, 1 / 32))
    weights = [parameter for name, parameter in model.decoder.named_parameters() if name.endswith("weight")]
    value = decoder_l2.penalty(PenaltyContext(model.encoder, model.decoder, model.bottleneck, *[torch.empty(0)] * 4))
    assert len(weights) == 4
    torch.testing.assert_close(value, sum(weight.square().sum() for weight in weights) / 2)


def test_matrix_l2_takes_the_layers_and_not_their_product():
    context = context_of(layers=3)
    for size, layer in enumerate(context.bottleneck.layers, start=1):
        layer.weight.data.copy_(size * torch.eye(2))
    value = matrix_l2.penalty(context)
    assert value.item() == (2 * 1 + 2 * 4 + 2 * 9) / 2
    value.backward()
    assert all(torch.equal(layer.weight.grad, layer.weight) for layer in context.bottleneck.layers)


def test_matrix_l2_needs_a_linear_layer():
    with pytest.raises(LoraeError, match="method='irmae' or lorae"):
        matrix_l2.penalty(context_of("identity"))
