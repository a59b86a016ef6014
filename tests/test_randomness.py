"""Random numbers of one computation, drawn beside torch's global generator."""

import threading

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from lorae.randomness import drawing_from, normal, randn_like, uniform

CPU = torch.device("cpu")
CHANNELS_LAST = torch.zeros(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)


def generator(seed):
    return torch.Generator().manual_seed(seed)


# What torch draws from its global generator; with `everything` the same numbers come from another.
DRAWS = {
    "linear": lambda: nn.Linear(5, 7).weight,
    "linear bias": lambda: nn.Linear(5, 7).bias,
    "convolution": lambda: nn.Conv2d(3, 4, 3).weight,
    "transposed convolution": lambda: nn.ConvTranspose2d(3, 4, 3).weight,
    "spectral norm": lambda: spectral_norm(nn.Linear(6, 4)).weight,
    "embedding": lambda: nn.Embedding(5, 3).weight,
    "lstm": lambda: nn.LSTM(3, 4).weight_hh_l0,
    "orthogonal": lambda: nn.init.orthogonal_(torch.empty(6, 6)),
    "xavier": lambda: nn.init.xavier_uniform_(torch.empty(6, 6)),
    "truncated": lambda: nn.init.trunc_normal_(torch.empty(50)),
    "randn": lambda: torch.randn(3, 40),
    "rand": lambda: torch.rand(3, 40),
    "randn_like": lambda: torch.randn_like(CHANNELS_LAST),
    "rand_like": lambda: torch.rand_like(CHANNELS_LAST),
    "randperm": lambda: torch.randperm(20),
    "randint": lambda: torch.randint(9, (4, 4)),
    "bernoulli": lambda: torch.bernoulli(torch.full((30,), 0.3)),
    "multinomial": lambda: torch.multinomial(torch.ones(9), 4),
    "method": lambda: torch.empty(30).exponential_(),
    "dropout": lambda: nn.functional.dropout(torch.ones(4, 30), 0.3),
    "dropout layer": lambda: nn.Dropout(0.5)(torch.ones(4, 30)),
    "no dropout": lambda: nn.Dropout(0.5).eval()(torch.ones(4)),
}


@pytest.mark.parametrize("name", DRAWS)
def test_with_everything_torch_draws_its_own_numbers_from_another_generator(name):
    torch.manual_seed(5)
    expected = [DRAWS[name]().detach().clone() for _ in range(2)]
    torch.manual_seed(6)
    before = torch.get_rng_state()
    with drawing_from(generator(5), everything=True):
        found = [DRAWS[name]().detach().clone() for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), before)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype
        assert ours.stride() == theirs.stride()
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("default", [torch.float32, torch.float64])
def test_with_everything_new_tensors_are_float32_whatever_the_default_is(default):
    torch.set_default_dtype(default)
    try:
        with drawing_from(generator(0), everything=True):
            made = [*nn.Linear(2, 3).parameters(), torch.ones(2), torch.full((2,), 255.0), torch.tensor(1.5)]
            kept = torch.zeros(2, dtype=torch.float64), torch.full((2,), 3), torch.arange(3), torch.tensor(True)
    finally:
        torch.set_default_dtype(torch.float32)
    assert {tensor.dtype for tensor in made} == {torch.float32}
    assert [tensor.dtype for tensor in kept] == [torch.float64, torch.int64, torch.int64, torch.bool]


def test_draws_are_those_of_torch_from_the_same_seed():
    torch.manual_seed(3)
    expected = torch.randn_like(CHANNELS_LAST), torch.randn(3, 4), torch.rand(5, 1)
    before = torch.get_rng_state()
    with drawing_from(generator(3)):
        found = randn_like(CHANNELS_LAST), normal(3, 4, device=CPU), uniform(5, 1, device=CPU)
    assert torch.equal(torch.get_rng_state(), before)
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours, theirs)
        assert ours.stride() == theirs.stride()


def test_without_a_generator_they_draw_from_the_global_one():
    torch.manual_seed(3)
    expected = torch.randn(4)
    torch.manual_seed(3)
    assert torch.equal(normal(4, device=CPU), expected)


def test_a_block_ends_with_the_generator_of_the_outer_one_after_an_exception_too():
    outer = generator(1)
    with drawing_from(outer):
        with pytest.raises(KeyboardInterrupt), drawing_from(generator(2), everything=True):
            raise KeyboardInterrupt
        assert torch.equal(normal(4, device=CPU), torch.randn(4, generator=generator(1)))
    before = torch.get_rng_state()
    nn.Linear(2, 2)
    assert not torch.equal(torch.get_rng_state(), before)


def test_threads_draw_from_their_own_generators():
    ready, found = threading.Barrier(2), {}

    def draw(seed):
        with drawing_from(generator(seed), everything=seed == 1):
            ready.wait(10)
            found[seed] = torch.cat([normal(5, device=CPU) for _ in range(20)])

    threads = [threading.Thread(target=draw, args=(seed,)) for seed in (0, 1)]
    with drawing_from(generator(2)):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found[2] = torch.cat([normal(5, device=CPU) for _ in range(20)])
    for seed, values in found.items():
        source = generator(seed)
        assert torch.equal(values, torch.cat([torch.randn(5, generator=source) for _ in range(20)]))
