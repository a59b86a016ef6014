"""Penalties on Jacobians, estimated by random projections, and second derivatives through the package's own layers."""

import copy
import dataclasses

import pytest
import torch

from lorae.models.autoencoder import Autoencoder, ModelSpec
from lorae.objectives.objective import Objective
from lorae.penalties import PenaltyContext, penalty_function

# The part of the model whose Jacobian is penalised.
PARTS = {"contractive": "encoder", "decoder_gradient": "decoder"}


def build(dtype=torch.float64, width=0.125):
    """A model of 16 x 16 images in training mode, where its convolutions are the package's own."""
    torch.manual_seed(0)
    model = Autoencoder(ModelSpec("mnist", (1, 16, 16), 6, width, "linear", {"layers": 1})).to(dtype)
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def context_of(model, items):
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(items, 1, 16, 16, generator=generator, dtype=model.encoder.output.weight.dtype)
    result = model(x.contiguous(memory_format=torch.channels_last))
    return PenaltyContext(model.encoder, model.decoder, model.bottleneck, x, result.h, result.latent.z, result.x_hat)


def seeded_penalty(name, context):
    torch.manual_seed(3)  # the same projection each time
    return penalty_function(name)(context)


def gradients(name, model):
    parameters = [p for key, p in getattr(model, PARTS[name]).named_parameters() if key != "output.bias"]
    return torch.autograd.grad(seeded_penalty(name, context_of(model, 3)), parameters)


@pytest.mark.parametrize("name", PARTS)
def test_mean_over_projections_is_the_squared_norm_of_the_jacobian(name):
    model = build(width=0.03)
    context = context_of(model, 1)
    function, point = {
        "contractive": (model.encoder, context.inputs),
        "decoder_gradient": (model.decoder, context.latents.detach()),
    }[name]
    jacobian = torch.autograd.functional.jacobian(function, point)
    jacobian = jacobian.reshape(function(point).numel(), point.numel())
    # Many copies of the item: each gets a projection of its own, and the penalty is the mean over them.
    n = 4000
    copies = dataclasses.replace(
        context,
        inputs=context.inputs.expand(n, -1, -1, -1),
        encoder_outputs=context.encoder_outputs.expand(n, -1),
        latents=context.latents.expand(n, -1),
        reconstructions=context.reconstructions.expand(n, -1, -1, -1),
    )
    estimate, exact = seeded_penalty(name, copies).item(), jacobian.square().sum().item()
    # The variance of |J^T v|^2 is 2 |J^T J|^2.
    deviation = (2 * (jacobian.T @ jacobian).square().sum().item() / n) ** 0.5
    assert deviation < 0.03 * exact
    assert abs(estimate - exact) < 3 * deviation


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_second_derivatives_agree_with_those_of_torchs_layers(name, dtype, tolerance):
    model = build(dtype)
    ours = gradients(name, model)
    theirs = gradients(name, copy.deepcopy(model).eval())  # in evaluation mode the layers are torch's
    assert sum(gradient.abs().max() > 0 for gradient in ours) >= 4  # the Jacobian of ReLUs hardly sees the biases
    for one, other in zip(ours, theirs, strict=True):
        assert one.isfinite().all()
        assert (one - other).norm() <= tolerance * other.norm()


@pytest.mark.parametrize("name", PARTS)
def test_second_derivatives_agree_with_finite_differences(name):
    model = build()
    part = getattr(model, PARTS[name])
    weights = [parameter for parameter in part.parameters() if parameter.ndim > 1]
    # Fixed inputs of the part: a change of the encoder would move the decoder's.
    context = context_of(model, 3)
    derivatives = torch.autograd.grad(seeded_penalty(name, context), weights)
    for weight, derivative in zip(weights, derivatives, strict=True):
        direction = torch.randn(weight.shape, generator=torch.Generator().manual_seed(2), dtype=weight.dtype)
        values = []
        for size in (1e-6, -2e-6):
            weight.data.add_(direction, alpha=size)
            values.append(seeded_penalty(name, context).item())
        weight.data.add_(direction, alpha=1e-6)
        expected = (values[0] - values[1]) / 2e-6
        assert (derivative * direction).sum().item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", PARTS)
def test_only_the_weights_of_one_part_feel_it(name):
    model = build()
    seeded_penalty(name, context_of(model, 3)).backward()
    reached = {key.split(".")[0] for key, parameter in model.named_parameters() if parameter.grad is not None}
    assert reached == {PARTS[name]}


def test_contraction_does_not_depend_on_the_precision_of_the_step():
    values = []
    for bfloat16 in (False, True):
        model = build(torch.float32)
        _, terms, _ = Objective(model, {"contractive": 1.0}, bfloat16=bfloat16)(context_of(model, 3).inputs)
        values.append(terms["contractive"].item())
    assert values[0] == values[1]
