"""What holds for every bottleneck of the table."""

import copy

import pytest
import torch

from lorae.errors import LoraeError
from lorae.models.bottlenecks import BOTTLENECKS

LATENT_DIM = 32
# What the test of bad options tries, with the option that the message must name.
UNFIT = [
    ("narrow", {"rank": 33}),
    ("narrow", {"rank": 0}),
    ("truncated", {"rank": 33}),
    ("truncated", {"rank": 0.5}),
    ("truncated", {"decay": 1.0}),
    ("quantizer", {"groups": 5}),
    ("quantizer", {"groups": 0}),
    ("quantizer", {"codes": 0}),
    ("quantizer", {"decay": 1.0}),
    ("quantizer", {"threshold": 1.0}),
    ("flow", {"layers": 0}),
    ("nested", {"rate": 0.0}),
    ("nested", {"rate": 1.5}),
]

every_bottleneck = pytest.mark.parametrize("name", BOTTLENECKS)


def build(name):
    torch.manual_seed(0)
    return BOTTLENECKS[name](LATENT_DIM)


def batch(bottleneck, items=40, seed=1):
    return torch.randn(items, bottleneck.input_dim, generator=torch.Generator().manual_seed(seed))


def used(name):
    """A bottleneck after some training passes, with weights that are not those of the start."""
    bottleneck = build(name)
    for parameter in bottleneck.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    for seed in range(3):
        bottleneck(batch(bottleneck, seed=seed))
    return bottleneck


@every_bottleneck
@pytest.mark.parametrize("items", [1, 3, 40])
@pytest.mark.parametrize("training", [True, False])
def test_shape_dtype_and_terms(name, items, training):
    bottleneck = build(name).train(training)
    assert bottleneck.input_dim == bottleneck.input_width(LATENT_DIM)
    latent = bottleneck(batch(bottleneck, items))
    assert latent.z.shape == (items, LATENT_DIM)
    assert latent.z.dtype == torch.float32
    assert latent.z.isfinite().all()
    if training:
        assert tuple(latent.terms) == bottleneck.TERMS
    for term in latent.terms.values():
        assert term.shape == ()
        assert term.dtype == torch.float32
        assert term.isfinite()


@every_bottleneck
def test_evaluation_is_deterministic_and_changes_nothing(name):
    bottleneck = used(name).eval()
    before = copy.deepcopy(bottleneck.state_dict())
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    first, second = bottleneck(batch(bottleneck)).z, bottleneck(batch(bottleneck)).z
    assert torch.equal(torch.rand(2), expected)  # no random number was drawn
    assert torch.equal(first, second)
    for key, value in bottleneck.state_dict().items():
        assert torch.equal(value, before[key]), key


@every_bottleneck
def test_items_do_not_depend_on_each_other_in_evaluation(name):
    bottleneck = used(name).eval()
    h = batch(bottleneck)
    torch.testing.assert_close(bottleneck(h[:7]).z, bottleneck(h).z[:7])
    assert bottleneck(h[:0]).z.shape == (0, LATENT_DIM)


@every_bottleneck
def test_same_seed_gives_the_same_training_and_a_state_continues_it(name):
    first, second = used(name), build(name)
    second.load_state_dict(used(name).state_dict())
    results = []
    for bottleneck in (first, second):
        torch.manual_seed(7)
        latents = [bottleneck(batch(bottleneck, seed=seed)) for seed in (10, 11)]
        results.append([tensor for latent in latents for tensor in (latent.z, *latent.terms.values())])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    for key, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[key]), key


@every_bottleneck
def test_gradients_are_finite_and_reach_the_encoder_and_every_parameter(name):
    bottleneck = used(name)
    h = batch(bottleneck).requires_grad_()
    latent = bottleneck(h)
    (latent.z.square().sum() + sum(latent.terms.values())).backward()
    for gradient in (h.grad, *(parameter.grad for parameter in bottleneck.parameters())):
        assert gradient.isfinite().all()
        assert gradient.abs().max() > 0


@every_bottleneck
@pytest.mark.parametrize("training", [True, False])
def test_autocast_rounds_nothing(name, training):
    plain, cast = used(name).train(training), used(name).train(training)
    torch.manual_seed(7)
    expected = plain(batch(plain))
    torch.manual_seed(7)
    with torch.autocast("cpu", torch.bfloat16):
        latent = cast(batch(cast))
    assert torch.equal(latent.z, expected.z)
    for term, value in latent.terms.items():
        assert torch.equal(value, expected.terms[term]), term
    for key, value in plain.state_dict().items():
        assert torch.equal(value, cast.state_dict()[key]), key


@every_bottleneck
def test_matrix_is_what_happens_in_evaluation(name):
    bottleneck = used(name).eval()
    matrix = bottleneck.matrix()
    if matrix is not None:
        h = batch(bottleneck)
        torch.testing.assert_close(bottleneck(h).z, h @ matrix.mT)


@pytest.mark.parametrize(("name", "options"), UNFIT)
def test_options_that_do_not_fit_are_one_clear_error(name, options):
    ((option, _),) = options.items()
    with pytest.raises(LoraeError, match=rf"^bottleneck\.{option}: got .*, expected [^\n]*$"):
        BOTTLENECKS[name](LATENT_DIM, **options)
