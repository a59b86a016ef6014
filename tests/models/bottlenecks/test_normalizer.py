"""What stands before M: its closed forms, its gradient, and what it makes invariant."""

import copy
from typing import Any

import pytest
import torch
from torch.nn.functional import batch_norm

from lorae.errors import LoraeError
from lorae.models.autoencoder import Autoencoder, ModelSpec
from lorae.models.bottlenecks.normalizer import EPSILON, KINDS, MOMENTUM, Normalizer

WIDTH = 6
working = pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "none"])


def batch(seed=0, items=40):
    """Columns of different means and deviations, correlated."""
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.randn(items, WIDTH, generator=generator) @ torch.randn(WIDTH, WIDTH, generator=generator)
    return mixed * torch.tensor([0.1, 1, 1, 2, 5, 0.5]) + torch.arange(WIDTH)


def by_the_batch(h, kind):
    """Plain normalization by a batch, differentiated by autograd."""
    if kind == "coordinates":
        return batch_norm(h, None, None, training=True, eps=EPSILON)
    centred = h - h.mean(0)
    return centred / (centred.square().mean() + EPSILON).sqrt()


def gradient_of(function, h, direction):
    h = h.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(function(h), h, direction)
    return gradient


@working
def test_the_first_batch_is_normalized_by_itself(kind):
    n = Normalizer(WIDTH, kind)(batch())
    torch.testing.assert_close(n, by_the_batch(batch(), kind), atol=1e-5, rtol=1e-5)
    deviations = n.std(0, correction=0)
    torch.testing.assert_close(n.mean(0), torch.zeros(WIDTH), atol=1e-5, rtol=0)
    if kind == "coordinates":
        torch.testing.assert_close(deviations, torch.ones(WIDTH), atol=0, rtol=1e-4)
    else:  # one factor for all: what varies most still does
        torch.testing.assert_close(deviations.square().mean(), torch.tensor(1.0), atol=0, rtol=1e-4)
        torch.testing.assert_close(deviations / deviations[0], batch().std(0) / batch().std(0)[0], atol=0, rtol=1e-4)


def test_the_kind_none_does_nothing_and_has_nothing_to_store():
    normalizer = Normalizer(WIDTH)
    h = batch()
    assert normalizer(h) is h
    assert normalizer.state_dict() == {}  # runs of before there was a normalizer are read as they are


@working
def test_the_gradient_is_that_of_batch_normalization_where_statistics_are_the_batchs(kind):
    direction = batch(seed=1)
    ours = gradient_of(Normalizer(WIDTH, kind), batch(), direction)
    theirs = gradient_of(lambda h: by_the_batch(h, kind), batch(), direction)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


@working
def test_with_running_statistics_it_is_that_gradient_in_their_units(kind):
    normalizer = Normalizer(WIDTH, kind)
    for seed in range(1, 5):
        normalizer(3 * batch(seed))
    h, direction = batch(), batch(seed=9)
    ours = gradient_of(normalizer, h, direction)
    theirs = gradient_of(lambda x: by_the_batch(x, kind), h, direction)
    variance = h.var(0, correction=0)
    variance = variance if kind == "coordinates" else variance.mean()
    factor = (variance / normalizer.variance).sqrt()
    assert (factor < 0.8).all()  # the statistics do differ
    torch.testing.assert_close(ours, theirs * factor, atol=1e-5, rtol=1e-3)


@working
def test_no_gradient_shifts_or_stretches_a_batch(kind):
    normalizer = Normalizer(WIDTH, kind)
    for seed in range(5):
        normalizer(batch(seed))
    h = batch(seed=7)
    gradient = gradient_of(normalizer, h, batch(seed=8))
    size = gradient.abs().max() * h.abs().max() * len(h)
    assert gradient.sum(0).abs().max() < 1e-5 * size
    stretch = ((h - h.mean(0)) * gradient).sum(0)
    stretch = stretch if kind == "coordinates" else stretch.sum()
    assert stretch.abs().max() < 1e-5 * size
    assert gradient.abs().max() > 0


def autoencoder(kind, factor=1.0):
    """The same weights for every kind, with encoder outputs of about one times a factor, far above EPSILON."""
    torch.manual_seed(0)
    model = Autoencoder(
        ModelSpec("mlp", (WIDTH,), WIDTH, 0.125, "linear", {"init": "orthogonal", "normalize": kind})
    ).train()
    with torch.no_grad():
        output: Any = model.encoder.output
        output.weight.mul_(4 * factor)
        output.bias.mul_(4 * factor)
    return model


def passes(model):
    """Outputs and gradients of the last of some training passes."""
    for seed in range(4):
        model.zero_grad()
        x = batch(seed)
        x_hat = model(x).x_hat
        (x_hat - x).square().mean().backward()
    return x_hat.detach(), {name: parameter.grad for name, parameter in model.named_parameters()}


@working
@pytest.mark.parametrize("factor", [0.1, 10.0, 1000.0])
def test_the_size_of_the_encoders_outputs_makes_no_difference(kind, factor):
    x_hat, gradients = passes(autoencoder(kind))
    scaled_x_hat, scaled = passes(autoencoder(kind, factor))
    torch.testing.assert_close(scaled_x_hat, x_hat, atol=1e-4, rtol=1e-3)
    bias = scaled.pop("encoder.output.bias")  # nor does a shift: no gradient but rounding
    assert bias.abs().max() < 1e-4 * scaled["encoder.output.weight"].abs().max()
    for name, gradient in scaled.items():
        # The scaled layer itself: the same outputs for a change that is `factor` times as large.
        expected = gradients[name] / factor if name == "encoder.output.weight" else gradients[name]
        torch.testing.assert_close(gradient, expected, atol=2e-3 * float(expected.abs().max()), rtol=0)


def test_without_a_normalizer_it_does():
    assert not torch.allclose(passes(autoencoder("none"))[0], passes(autoencoder("none", 10.0))[0], atol=0.1)


@working
def test_training_and_evaluation_agree_once_the_statistics_have_settled(kind):
    normalizer = Normalizer(WIDTH, kind)
    for _ in range(20):
        normalizer(batch())
    trained = normalizer(batch())
    torch.testing.assert_close(normalizer.eval()(batch()), trained, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(trained, by_the_batch(batch(), kind), atol=1e-5, rtol=1e-5)


@working
def test_statistics_are_plain_averages_first_and_fading_ones_later(kind):
    normalizer = Normalizer(WIDTH, kind)
    batches = [batch(seed) for seed in range(30)]
    for h in batches:
        normalizer(h)
    variances = torch.stack([h.var(0, correction=0) for h in batches]).mean(0)
    variances = variances if kind == "coordinates" else variances.mean(0, keepdim=True)
    torch.testing.assert_close(normalizer.mean, torch.stack([h.mean(0) for h in batches]).mean(0))
    torch.testing.assert_close(normalizer.variance, variances)
    for _ in range(round(1 / MOMENTUM)):
        normalizer(batch())
    before = normalizer.mean.clone()
    normalizer(batch(seed=3))
    torch.testing.assert_close(normalizer.mean, before + MOMENTUM * (batch(seed=3).mean(0) - before))


@working
def test_a_batch_of_one_uses_what_was_seen_and_teaches_nothing(kind):
    normalizer = Normalizer(WIDTH, kind)
    normalizer(batch())
    before = copy.deepcopy(normalizer.state_dict())
    one = batch(seed=5, items=1)
    a, b = normalizer.affine()
    torch.testing.assert_close(normalizer(one), a * (one - b))
    gradient = gradient_of(normalizer, one, torch.ones(1, WIDTH))
    torch.testing.assert_close(gradient, a[None])
    assert all(torch.equal(value, before[name]) for name, value in normalizer.state_dict().items())


@working
def test_a_constant_coordinate_stays_finite(kind):
    h = batch()
    h[:, 2] = 7.0
    normalizer = Normalizer(WIDTH, kind)
    n = normalizer(h)
    assert n[:, 2].abs().max() < 1e-3
    assert gradient_of(normalizer, h, torch.ones_like(h)).isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_folding_into_the_encoder_changes_nothing(kind, dtype, close):
    model = autoencoder(kind)
    passes(model)  # statistics of its own
    model = model.to(dtype).eval()
    collapsed = model.collapse()
    assert collapsed.spec.bottleneck == "identity"
    x = batch(seed=11)
    torch.testing.assert_close(collapsed.encode(x), model.encode(x), atol=10 * close, rtol=close)
    torch.testing.assert_close(collapsed.reconstruct(x), model.reconstruct(x), atol=10 * close, rtol=close)


@pytest.mark.parametrize("kind", KINDS)
def test_folding_happens_where_the_module_is_and_in_its_dtype(kind):
    a, b = Normalizer(WIDTH, kind).double().affine()
    assert a.dtype == b.dtype == torch.float64
    assert a.shape == b.shape == (WIDTH,)
    for part in Normalizer(WIDTH, kind).to("meta").affine():
        assert part.device.type == "meta"


def test_an_unknown_kind_is_refused():
    with pytest.raises(LoraeError, match=r"normalize: got 'batch', expected one of none, scale, coordinates"):
        Normalizer(WIDTH, "batch")
