"""Loss and gradients of a step under autocast beside those in float32, for every method."""

from typing import Any

import pytest
import torch
from torch import nn

import lorae
from lorae.config.methods import METHODS
from lorae.config.resolution import resolve
from lorae.config.settings import Settings
from lorae.models.layers import Sigmoid, Tanh
from lorae.training.builders import build

# Half the distance of neighboring numbers of bfloat16, relative to them: the error of one rounding.
ROUNDING = 2.0**-9

# A product rounds its two factors and its result. A gradient passes the encoder's four convolutions, or as many of a
# discriminator, and the decoder's three, forward and backward.
BOUND = 3 * 2 * (4 + 3) * ROUNDING

# Logits at which the derivative of the last activation is 0 in bfloat16, and not yet small in float32.
SATURATED = {Tanh: 4.0, Sigmoid: 7.0}


@pytest.fixture(scope="module")
def dataset(images):
    return lorae.load_data(images)


def take_step(method, precision, dataset):
    """Loss, gradient, and size of the gradient's parts for each target of a step, with outputs near their limit."""
    settings = Settings.from_values({"method": method, "latent_dim": 8, "width": 0.125, "seed": 0}, str)
    settings = resolve(settings, dataset.kind, dataset.shape).with_machine("cpu", precision)
    objective: Any = build(settings, dataset)
    model = objective.model.train()
    *_, last, activation = model.decoder.features
    with torch.no_grad():
        last.bias.add_(SATURATED[type(activation)])
    x = model.scaling(torch.as_tensor(dataset.train.inputs[:8])).contiguous(memory_format=torch.channels_last)
    for target in objective.targets():
        torch.manual_seed(1)
        loss = target.compute_loss(x).loss
        gradient = flat_gradient(loss, target)
        if target.name == "discriminator":
            # The difference of the gradients of true and generated items, which nearly cancel at first.
            with objective.autocast(x):
                size = flat_gradient(objective.losses.real(objective._score(x)), target).norm()
        else:
            size = gradient.norm()
        yield loss.detach(), gradient, size


def flat_gradient(loss, target):
    gradients = torch.autograd.grad(loss, target.parameters, allow_unused=True)
    return torch.cat([part.flatten() for part in gradients if part is not None])


@pytest.mark.parametrize("method", METHODS)
def test_a_step_under_autocast_is_that_in_float32_up_to_the_rounding_of_its_convolutions(method, dataset):
    steps = (take_step(method, precision, dataset) for precision in ("float32", "bfloat16"))
    for (loss, gradient, size), (rounded_loss, rounded, _) in zip(*steps, strict=True):
        assert rounded.dtype == torch.float32
        assert (loss - rounded_loss).abs() <= BOUND * loss.abs()
        assert (gradient - rounded).norm() <= BOUND * size


@pytest.mark.parametrize(("kind", "plain"), [(Sigmoid, nn.Sigmoid), (Tanh, nn.Tanh)])
def test_the_last_activation_has_a_gradient_where_it_rounds_to_one(kind, plain):
    logits = torch.tensor([-8.0, -2.0, 0.5, 4.0, 7.0], dtype=torch.bfloat16, requires_grad=True)
    exact = logits.detach().float().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        ours = kind()(logits)
    theirs = plain()(exact)
    assert ours.dtype == torch.float32
    assert torch.equal(ours, theirs)
    (found,) = torch.autograd.grad(ours.sum(), logits)
    (expected,) = torch.autograd.grad(theirs.sum(), exact)
    assert (found - expected).abs().le(2 * ROUNDING * expected).all()
    assert (found > 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", [Sigmoid, Tanh])
def test_the_last_activation_keeps_other_precisions(kind, dtype):
    assert kind()(torch.zeros(2, dtype=dtype)).dtype == dtype


def test_every_step_uses_the_weights_of_that_step_also_within_another_autocast(dataset):
    settings = Settings.from_values({"method": "ae", "latent_dim": 8, "width": 0.125, "seed": 0}, str)
    settings = resolve(settings, dataset.kind, dataset.shape).with_machine("cpu", "bfloat16")
    objective = build(settings, dataset)
    x = objective.model.scaling(torch.as_tensor(dataset.train.inputs[:8])).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", enabled=False):
        before = objective.compute_loss(x).loss.item()
        with torch.no_grad():
            for parameter in objective.model.parameters():
                parameter.zero_()
        after = objective.compute_loss(x).loss.item()
    assert after == pytest.approx(float(x.square().mean()), rel=1e-6)
    assert after != before
