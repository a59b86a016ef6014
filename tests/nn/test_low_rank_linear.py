"""The layer itself: what it computes, copies, devices and precisions."""

import copy
import doctest
import importlib
import io
import pickle

import pytest
import torch
from torch import nn

import lorae
from lorae.nn import LowRankLinear, ProximalAdam, nuclear_norm_penalty
from tests.nn.networks import LATENT, WIDTH, error, items, network


@pytest.mark.parametrize("name", ["models.low_rank", "nn.folding", "nn.penalty", "nn.proximal"])
def test_the_examples_in_docstrings_run(name):
    result = doctest.testmod(importlib.import_module(f"lorae.{name}"))
    assert result.attempted
    assert not result.failed


def test_the_module_is_an_attribute_of_the_package():
    assert lorae.nn.LowRankLinear is LowRankLinear


@pytest.mark.parametrize("shape", [(5,), (7, 5), (2, 3, 5), (2, 3, 4, 5)])
def test_it_is_a_product_with_m_along_the_last_dimension(shape):
    layer = LowRankLinear(5, "default")
    h = torch.randn(shape)
    torch.testing.assert_close(layer(h), torch.einsum("ij,...j->...i", layer.weight, h))


@pytest.mark.parametrize("shape", [(2, 5, 7), (2, 5, 3, 4), (2, 5, 2, 3, 4)])
def test_along_channels_it_is_a_convolution_of_kernel_one(shape):
    layer = LowRankLinear(5, "default", dim=1)
    h = torch.randn(shape)
    convolution = getattr(nn.functional, f"conv{len(shape) - 2}d")
    weight = layer.weight.reshape(5, 5, *[1] * (len(shape) - 2))
    torch.testing.assert_close(layer(h), convolution(h, weight))


def test_inits_are_what_they_are_called():
    eye = torch.eye(6)
    assert torch.equal(LowRankLinear(6).weight, eye)
    Q = LowRankLinear(6, init="orthogonal").weight
    torch.testing.assert_close(Q @ Q.T, eye)
    torch.manual_seed(3)
    ours = LowRankLinear(6, init="default").weight
    torch.manual_seed(3)
    assert torch.equal(ours, nn.Linear(6, 6, bias=False).weight)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"latent_dim": 0}, "latent_dim: got 0, expected a whole number of at least 1"),
        ({"latent_dim": 2.5}, "latent_dim: got 2.5, expected a whole number of at least 1"),
        ({"latent_dim": 4, "init": "idntity"}, "init: got 'idntity', expected one of .*; did you mean identity?"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(arguments, message):
    with pytest.raises(lorae.LoraeError, match=message) as caught:
        LowRankLinear(**arguments)
    assert "\n" not in str(caught.value)


def test_rank_counts_singular_values_above_rounding():
    layer = LowRankLinear(6)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(6, 2) @ torch.randn(2, 6))
    assert layer.rank() == 2
    nn.init.zeros_(layer.weight)
    assert layer.rank() == 0


def test_a_state_dict_holds_m_alone_and_is_restored():
    model, other = network(init="default"), network(seed=1)
    nuclear_norm_penalty(model, every=5).backward()  # its tangent is no part of the state
    assert list(model[1].state_dict()) == ["weight"]
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    other.load_state_dict(torch.load(io.BytesIO(file.getvalue()), weights_only=True))
    x = items()
    assert torch.equal(model(x), other(x))
    plain = nn.Linear(LATENT, LATENT, bias=False)
    plain.load_state_dict(model[1].state_dict())
    assert torch.equal(plain.weight, model[1].weight)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_are_found_by_optimizers(copied):
    model = copied(network())
    optimizer = ProximalAdam(model.parameters())
    assert [matrix is model[1].weight for matrix in optimizer.matrices] == [True]


def test_latents_are_float32_under_autocast_and_training_works():
    model = network()
    optimizer = ProximalAdam(model.parameters(), lr=2e-2, penalty=0.1)
    x = items()
    before = error(model, x).item()
    for _ in range(100):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            h = model[0](x)
            assert h.dtype == torch.bfloat16
            z = model[1](h)
            assert z.dtype == torch.float32
            assert nuclear_norm_penalty(model).dtype == torch.float32
            loss = error(model, x)
        loss.backward()
        optimizer.step()
    torch.testing.assert_close(model[1](h), h.float() @ model[1].weight.T)
    assert error(model, x) < before
    assert model[1].rank() == optimizer.rank < LATENT


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_it_moves_with_its_network_to_other_dtypes(dtype):
    model = network(init="default")
    expected = nuclear_norm_penalty(model)
    model.to(dtype)
    assert model(items().to(dtype)).dtype == dtype
    penalty = nuclear_norm_penalty(model)
    penalty.backward()
    assert penalty.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    torch.testing.assert_close(penalty.float(), expected, rtol=1e-2, atol=0)
    assert model[1].weight.grad.dtype == dtype


def test_it_is_made_and_kept_on_other_devices():
    with torch.device("meta"):
        layer = LowRankLinear(6)
    made = layer.to_empty(device="cpu")
    nn.init.eye_(made.weight)
    assert ProximalAdam(made.parameters()).matrices == [made.weight]
    assert repr(LowRankLinear(6, dim=1)) == "LowRankLinear(6, dim=1)"
    assert network()(torch.zeros(0, WIDTH)).shape == (0, WIDTH)
