import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lorae.evaluation.classification import classify, total_steps
from lorae.evaluation.classification.fitting import Part, accuracy, fit
from lorae.evaluation.classification.heads import Heads
from lorae.evaluation.classification.protocol import Plan

from .conftest import clusters


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_separable_clusters_are_learned(separable):
    result = classify(*separable, counts=[4, 100, "all", 1000], seeds=range(3), epochs=60)
    assert result["100"]["mean"] > 0.97
    assert result["all"]["mean"] > 0.98
    assert result["4"]["mean"] > 0.4  # from one example of each class, among noise; chance is 0.25
    assert (result["100"]["n"], result["all"]["n"]) == (100, 540)
    assert result["left_out"] == [1000]
    assert (result["100"]["epochs"], result["100"]["steps"], result["all"]["steps"]) == (60, 60, 360)
    assert result["protocol"]["validation"] == 60
    assert json.loads(json.dumps(result)) == result


def test_random_labels_give_chance(hopeless):
    result = classify(*hopeless, counts=[200], seeds=range(3), epochs=20)
    assert result["200"]["mean"] == pytest.approx(0.25, abs=0.03)


def test_ten_items_of_ten_classes():
    train, test = clusters(300, classes=10), clusters(200, classes=10, seed=1)
    result = classify(*train, *test, counts=[10], seeds=[0], epochs=300)
    assert result["10"]["mean"] > 0.4  # from one example of each; chance is 0.1
    assert result["10"]["sd"] == 0


def test_the_authors_code_keeps_the_best_test_accuracy(hopeless):
    options: dict[str, Any] = {"counts": [100, "all"], "seeds": range(3), "epochs": 30}
    ours = classify(*hopeless, **options)
    theirs = classify(*hopeless, protocol="authors_code", features="before M", **options)
    assert theirs["all"]["n"] == 600
    assert theirs["100"]["mean"] > ours["100"]["mean"]  # it picks the luckiest moment
    assert theirs["protocol"]["features"] == "before M"
    assert "TEST" in theirs["protocol"]["picked"]
    assert theirs["protocol"]["validation"] == 0


def test_the_authors_code_sees_the_first_items_only(separable):
    train, labels, test, test_labels = separable
    spoiled = labels.copy()
    spoiled[50:] = np.roll(labels[50:], 7)
    options: dict[str, Any] = {"counts": [50], "seeds": [0], "protocol": "authors_code", "epochs": 5}
    first, second = (classify(train, each, test, test_labels, **options) for each in (labels, spoiled))
    assert first["50"] == second["50"]


def test_progress_adds_up_to_the_announced_steps(separable):
    taken: list[int] = []
    options: dict[str, Any] = {"counts": [20, 150], "epochs": 3, "max_steps": 5}
    classify(*separable, seeds=range(2), advance=taken.append, **options)
    assert sum(taken) == total_steps(600, **options) == 3 + 5


def plain(heads, index):
    """One seed's head as PyTorch's own layers."""
    layers = []
    for weight, bias in zip(heads.weights, heads.biases, strict=True):
        layer = nn.Linear(*weight.shape[1:])
        layer.weight.data = weight[index].detach().T.clone()
        layer.bias.data = bias[index, 0].detach().clone()
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def test_the_stack_of_heads_trains_like_plain_ones():
    latents, labels = clusters(230)
    items, classes = torch.from_numpy(latents), torch.from_numpy(labels - 3)
    seeds, epochs = (5, 6, 7), 4
    rows = torch.stack([torch.randperm(230, generator=g)[:210] for g in generators(*seeds)])
    streams = generators(*seeds)
    heads = Heads(32, 4, streams, dropout=False)
    twins = [plain(heads, index) for index in range(3)]
    states = [stream.get_state() for stream in streams]
    part = Part(items, classes, rows)
    fit(heads, part, part, Plan(100, 3 * epochs, epochs, frozenset([3 * epochs])), streams)
    for index, twin in enumerate(twins):
        stream = torch.Generator()
        stream.set_state(states[index])
        optimizer = torch.optim.Adam(twin.parameters(), lr=1e-3)
        for _ in range(epochs):
            for batch in rows[index][torch.randperm(210, generator=stream)].split(100):  # 100, 100, 10
                optimizer.zero_grad()
                nn.functional.cross_entropy(twin(items[batch]), classes[batch]).backward()
                optimizer.step()
        for ours, theirs in zip(plain(heads, index).parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
        right = (twin(items[rows[index]]).argmax(1) == classes[rows[index]]).double().mean()
        assert accuracy(heads, part)[index] == pytest.approx(right.item())


def test_first_weights_are_spread_like_those_of_torch():
    heads = Heads(64, 10, generators(0, 1))
    layers = [nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 10)]
    for weight, bias, layer in zip(heads.weights, heads.biases, layers, strict=True):
        assert weight.shape == (2, *layer.weight.T.shape)
        assert weight.abs().max() <= 1 / 8
        assert weight.std().item() == pytest.approx(layer.weight.std().item(), rel=0.1)
        assert bias.abs().max() <= 1 / 8
        assert not torch.equal(weight[0], weight[1])


def test_dropout_keeps_half_and_the_expectation_and_is_off_in_evaluation():
    heads = Heads(32, 4, generators(0, 1))
    x = torch.randn(2, 100, 32, generator=torch.Generator().manual_seed(0))
    masks = heads._masks(x)
    assert masks.shape == (2, 2, 100, 32)
    assert masks.unique().tolist() == [0, 2]
    assert masks.mean((2, 3)).numpy() == pytest.approx(np.ones((2, 2)), abs=0.05)
    # No pattern by layer, item or unit: counts of fair coins stay within five standard deviations.
    for dims in ((0, 1, 2), (0, 1, 3)):
        kept = (masks > 0).sum(dims)
        coins = masks.numel() / len(kept)
        assert (kept - coins / 2).abs().max() < 5 * coins**0.5 / 2
    assert not torch.equal(masks, heads._masks(x))
    assert not torch.equal(heads(x), heads(x))
    heads.eval()
    assert torch.equal(heads(x), heads(x))


def test_a_seeds_draws_do_not_depend_on_the_others():
    together, alone = Heads(8, 3, generators(4, 9, 2)), Heads(8, 3, generators(9))
    for ours, theirs in zip(together.parameters(), alone.parameters(), strict=True):
        assert torch.equal(ours[1], theirs[0])
    for size in (100, 7):  # 7 x 2 x 8 is no multiple of 64
        assert torch.equal(together._masks(torch.zeros(3, size, 8))[1], alone._masks(torch.zeros(1, size, 8))[0])


def test_a_seeds_result_does_not_depend_on_the_others(hopeless):
    options: dict[str, Any] = {"counts": [120], "epochs": 10}
    together = classify(*hopeless, seeds=[4, 9, 2], **options)["120"]
    alone = classify(*hopeless, seeds=[9], **options)["120"]
    assert together["values"][1] == pytest.approx(alone["values"][0], abs=2e-3)  # sums may round differently
    again = classify(*hopeless, seeds=[4, 9, 2], **options)["120"]
    assert again == together


def test_torchs_own_generator_and_the_inputs_are_left_alone(separable):
    before = torch.get_rng_state()
    for array in separable:
        array.setflags(write=False)  # torch would warn, and warnings are errors
    classify(*separable, counts=[20], seeds=[0], epochs=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_first_of_the_best_moments_is_kept():
    latents, labels = clusters(40)
    items, classes = torch.from_numpy(latents), torch.from_numpy(labels - 3)
    part = Part(items, classes, torch.arange(40).expand(2, -1))
    moments = frozenset(range(10, 401, 10))

    def trained(steps):
        streams = generators(0, 1)
        heads = Heads(32, 4, streams)
        picked = fit(heads, part, part, Plan(40, steps, steps, moments), streams)
        return accuracy(heads, part), picked

    found, picked = trained(400)
    assert found.tolist() == [1, 1]
    for index, step in enumerate(picked):
        assert trained(step)[0][index] == 1
        assert trained(step - 10)[0][index] < 1
