"""Proximal steps in a loop of one's own: the two ways agree, ranks are exact, and states are restored."""

import copy
import functools
import io
from typing import Any

import pytest
import torch
from torch import nn

import lorae
from lorae import optim
from lorae.nn import LowRankLinear, ProximalAdam, proximal_step
from tests.nn.networks import LATENT, error, items, network, train


def by_proximal_adam(model, x, steps, every=10, **options):
    optimizer = ProximalAdam(model.parameters(), lr=1e-2, penalty=0.05, every=every, **options)
    train(model, optimizer, x, steps)
    optimizer.shrink()
    return model


def by_own_adam(model, x, steps, every=10, adam=torch.optim.Adam, **options):
    optimizer = adam(model.parameters(), lr=1e-2, **options)
    train(model, optimizer, x, steps, lambda: proximal_step(optimizer, 0.05, every=every))
    proximal_step(optimizer, 0.05, every=1)
    return model


@pytest.mark.parametrize("every", [1, 10])
def test_both_ways_take_the_path_of_the_optimizer_of_lorae_plus(every):
    x = items().double()
    model = network().double()
    others = [parameter for parameter in model.parameters() if parameter is not model[1].weight]
    reference = optim.ProximalAdam(others, model[1].weight, torch.tensor(0.05), lr=1e-2)
    count = iter(range(1, 1000))
    train(model, reference, x, 25, lambda: next(count) % every == 0 and reference.shrink())
    reference.shrink()
    for way in (by_proximal_adam, by_own_adam):
        other = way(network().double(), x, 25, every)
        for ours, theirs in zip(other.parameters(), model.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)  # 1 - beta2 ** t is float32


@pytest.mark.parametrize("way", [by_proximal_adam, by_own_adam])
@pytest.mark.parametrize("options", [{}, {"fused": True}])
def test_the_rank_becomes_exact(way, options):
    model = way(network(), items(), 123, **options)
    values = torch.linalg.svdvals(model[1].weight.detach().double())
    rank = model[1].rank()
    assert 0 < rank < LATENT
    assert values[rank:].max() < 1e-6 * values[0]
    assert error(model, items()) < 0.5 * items().var()


def test_the_decay_of_adamw_stays():
    matrices = []
    for adam in (torch.optim.Adam, functools.partial(torch.optim.AdamW, weight_decay=0.1)):
        model = network().double()
        optimizer = adam(model.parameters(), lr=1e-2)
        train(model, optimizer, items().double(), 1, lambda optimizer=optimizer: proximal_step(optimizer, 0.05))
        matrices.append(model[1].weight.detach())
    plain, decayed = matrices
    torch.testing.assert_close(decayed - plain, -1e-2 * 0.1 * torch.eye(LATENT).double(), atol=1e-9, rtol=0)


def test_several_layers_have_ranks_of_their_own_and_one_bound():
    torch.manual_seed(0)
    model: Any = nn.Sequential(
        nn.Linear(10, 6), LowRankLinear(6), nn.Tanh(), LowRankLinear(6, "default"), nn.Linear(6, 10)
    )
    other = copy.deepcopy(model)
    optimizer = ProximalAdam(model.parameters(), lr=1e-2, penalty=1e-3, max_rank=3)
    train(model, optimizer, items(), 20)
    values = optimizer.shrink()
    assert model[1].rank() == model[3].rank() == 3
    assert optimizer.rank == len(values) == 6
    optimizer.shrink(max_rank=2)
    assert model[1].rank() == model[3].rank() == 2
    adam = torch.optim.Adam(other.parameters(), lr=1e-2)
    train(other, adam, items(), 20, lambda: proximal_step(adam, max_rank=3))
    assert other[1].rank() == other[3].rank() == 3


def test_groups_keep_their_options_and_named_parameters_are_taken():
    model = network()
    groups = [{"params": model[0].parameters(), "lr": 0.0}, {"params": model[1:].parameters(), "weight_decay": 0.1}]
    optimizer = ProximalAdam(groups, lr=1e-2, penalty=0.05)
    assert [len(group["params"]) for group in optimizer.param_groups] == [4, 4, 1]
    assert [group["lr"] for group in optimizer.param_groups] == [0.0, 1e-2, 1e-2]
    optimizer.add_param_group({"params": [nn.Parameter(torch.ones(2))]})
    before = copy.deepcopy(model)
    train(model, optimizer, items(), 5)
    assert all(torch.equal(*pair) for pair in zip(before[0].parameters(), model[0].parameters(), strict=True))
    assert not torch.equal(before[1].weight, model[1].weight)
    assert len(ProximalAdam(model.named_parameters()).param_groups[0]["params"]) == 8


@pytest.mark.parametrize("way", ["proximal adam", "own adam"])
def test_a_training_continues_from_saved_states_to_the_same_bits(way):
    def start(model):
        if way == "proximal adam":
            return ProximalAdam(model.parameters(), lr=1e-2, penalty=0.05), lambda: None
        adam = torch.optim.Adam(model.parameters(), lr=1e-2)
        return adam, lambda: proximal_step(adam, 0.05)

    x, whole = items(), network()
    optimizer, after = start(whole)
    train(whole, optimizer, x, 13, after)
    file = io.BytesIO()
    torch.save({"model": whole.state_dict(), "optimizer": optimizer.state_dict()}, file)
    train(whole, optimizer, x, 9, after)

    saved = torch.load(io.BytesIO(file.getvalue()), weights_only=True)
    resumed = network(seed=5)
    optimizer, after = start(resumed)
    resumed.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    train(resumed, optimizer, x, 9, after)
    assert all(torch.equal(*pair) for pair in zip(whole.parameters(), resumed.parameters(), strict=True))


def test_a_model_that_is_converted_after_its_optimizer_was_made_trains_on():
    model = network()
    optimizer = ProximalAdam(model.parameters(), lr=1e-2, penalty=0.05)
    model.double()
    train(model, optimizer, items().double(), 20)
    expected = by_proximal_adam(network().double(), items().double(), 20)
    torch.testing.assert_close(model[1].weight, expected[1].weight, atol=1e-6, rtol=0)


def test_a_closure_computes_the_gradients_and_its_loss_is_returned():
    x, model, other = items(), network(), network()
    optimizer = ProximalAdam(model.parameters(), lr=1e-2, penalty=0.05)

    def closure():
        optimizer.zero_grad()
        loss = error(model, x)
        loss.backward()
        return loss

    with torch.no_grad():
        losses = [optimizer.step(closure).item() for _ in range(12)]
    optimizer.shrink()
    by_proximal_adam(other, x, 12)
    assert losses[-1] < losses[0] == error(network(), x).item()
    assert torch.equal(model[1].weight, other[1].weight)


def test_a_scheduler_sets_the_rate_of_m_too():
    model = network()
    optimizer = ProximalAdam(model.parameters(), lr=1e-2, penalty=0.05)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.0 if step else 1.0)
    train(model, optimizer, items(), 1, scheduler.step)
    before = copy.deepcopy(model)
    train(model, optimizer, items(), 5)
    assert all(torch.equal(*pair) for pair in zip(before.parameters(), model.parameters(), strict=True))


def test_gradients_with_a_scale_are_divided_by_it_and_overflows_are_left_out():
    x, model, plain = items(), network(), network()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    optimizer = ProximalAdam(model.parameters(), lr=1e-2, penalty=0.05, fused=True)
    for factor in [1.0] * 6 + [torch.inf] + [1.0] * 6:
        optimizer.zero_grad()
        scaler.scale(factor * error(model, x)).backward()
        scaler.step(optimizer)
        scaler.update()
    optimizer.shrink()
    by_proximal_adam(plain, x, 12)
    torch.testing.assert_close(model[1].weight, plain[1].weight, atol=1e-6, rtol=0)


def test_a_step_is_replaced_once_and_frozen_layers_stay():
    x, model, twice = items(), network(), network()
    by_own_adam(model, x, 8, every=1)
    optimizer = torch.optim.Adam(twice.parameters(), lr=1e-2)
    train(twice, optimizer, x, 8, lambda: [proximal_step(optimizer, 0.05, every=1) for _ in range(3)])
    torch.testing.assert_close(twice[1].weight, model[1].weight, atol=1e-6, rtol=0)
    frozen = network()
    frozen[1].requires_grad_(False)
    by_own_adam(frozen, x, 8, every=1)
    assert torch.equal(frozen[1].weight, torch.eye(LATENT))


NETWORK, HALF = network(), network().bfloat16()


def stepped(optimizer_of, **options):
    model = NETWORK
    optimizer = optimizer_of(model.parameters(), lr=1e-2, **options)
    train(model, optimizer, items(), 1)
    return optimizer


REFUSALS = {
    "no layer": (lambda: ProximalAdam(nn.Linear(3, 3).parameters()), "optimizer: got 2 parameters, none the matrix of"),
    "no layer, own": (lambda: proximal_step(torch.optim.Adam(nn.Linear(3, 3).parameters())), "got 2 parameters, none"),
    "penalty": (
        lambda: ProximalAdam(NETWORK.parameters(), penalty=-1),
        "penalty: got -1, expected a number of at least 0",
    ),
    "every": (lambda: proximal_step(stepped(torch.optim.Adam), every=0), "every: got 0, expected a whole number"),
    "rank": (lambda: ProximalAdam(NETWORK.parameters(), max_rank=0), "max_rank: got 0, expected a whole number"),
    "half": (lambda: ProximalAdam(HALF.parameters()), "torch.bfloat16, which rounds away .*float32"),
    "sgd": (lambda: proximal_step(stepped(torch.optim.SGD)), "optimizer: got SGD, expected torch.optim.Adam or AdamW"),
    "ours": (lambda: proximal_step(stepped(ProximalAdam)), "optimizer: got ProximalAdam, which takes its proximal"),
    "amsgrad": (lambda: proximal_step(stepped(torch.optim.Adam, amsgrad=True)), "got amsgrad=True, expected False"),
    "maximize": (lambda: ProximalAdam(NETWORK.parameters(), maximize=True), "maximize: got True, expected False"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_bad_input_is_refused_in_one_line(name):
    call, message = REFUSALS[name]
    with pytest.raises(lorae.LoraeError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
