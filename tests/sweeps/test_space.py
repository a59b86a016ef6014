"""The search space of a command line: choices, ranges and fixed settings, by the rules of `lorae train`."""

from typing import Any

import pytest

from lorae.errors import LoraeError
from lorae.sweeps.definition import space_of
from lorae.sweeps.space import Choices, Range, key_of, parse_space


def parsed(**values):
    return parse_space(values, lambda name: f"argument {name}")


def test_lists_are_choices_and_pairs_are_ranges():
    space = parsed(method="lorae,lorae+", penalty="1e-5:1e-2:log", latent_dim="4:16", batch_size=[16, 32], epochs=3)
    assert space.fixed == {"epochs": 3}
    assert space.searched == {
        "method": Choices(("lorae", "lorae+")),
        "penalty": Range(1e-5, 1e-2, log=True),
        "latent_dim": Range(4, 16),
        "batch_size": Choices((16, 32)),
    }
    assert not space.finite


def test_values_have_the_types_of_their_settings():
    space = parsed(penalty="1,2", latent_dim="4,8", lr="1e-3:1e-2", rank="4:16", network="mlp,residual")
    assert space.searched["penalty"] == Choices((1.0, 2.0))
    assert all(isinstance(value, int) for value in space.searched["latent_dim"].values)
    assert isinstance(space.searched["rank"].low, int)
    assert type(space.searched["lr"].distribution()).__name__ == "FloatDistribution"
    assert type(space.searched["rank"].distribution()).__name__ == "IntDistribution"


def test_parts_of_mappings_are_searched_by_their_name():
    space = parsed(penalties={"l1": "0,1e-3", "nuclear": 1e-2}, bottleneck={"rank": "2:4"})
    assert space.fixed == {"penalties.nuclear": 0.01}
    values = {"penalties.l1": 1e-3, "bottleneck.rank": 3}
    assert space.settings(values) == {"penalties": {"nuclear": 0.01, "l1": 1e-3}, "bottleneck": {"rank": 3}}


def test_colons_and_commas_that_are_part_of_a_value_stay():
    space = parsed(network="/a/b.py:make", penalty_path="1e-4:1e-2:5", value_range="0:255", track="tensorboard,wandb")
    assert not space.searched
    assert space.fixed["network"] == "/a/b.py:make"
    assert space.fixed["penalty_path"] == "1e-4:1e-2:5"
    assert parsed(penalty_path="1e-4:1e-2,1e-5:1e-2").searched["penalty_path"].values == ("1e-4:1e-2", "1e-5:1e-2")


def test_the_cells_are_all_combinations():
    space = parsed(penalty="1,2", latent_dim="4,8,16")
    assert len(list(space.cells())) == space.size == 6
    assert len({key_of(cell) for cell in space.cells()}) == 6


def test_a_space_is_the_same_after_it_was_written():
    space = parsed(penalty="1e-5:1e-2:log", method="lorae,lorae+", epochs=3)
    written: Any = {"settings": space.fixed, "space": {n: v.to_json() for n, v in space.searched.items()}}
    found = space_of(written)
    assert found == space


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"penalty": "1e-5,-1"}, "penalty: got '-1', expected a number of at least 0 (from argument penalty)"),
        ({"latent_dim": "4,1.5"}, "latent_dim: got '1.5', expected a whole number of at least 1"),
        ({"method": "lorae,lorea"}, "did you mean lorae?"),
        ({"latent_dims": "1,2"}, "latent_dims: unknown setting (from argument latent_dims); did you mean latent_dim?"),
        ({"penalties": {"l3": "1,2"}}, "penalties: got 'l3', expected one of"),
        ({"penalty": "1:0.1"}, "expected LOW:HIGH or LOW:HIGH:log with LOW < HIGH"),
        ({"penalty": "0:1:log"}, "above 0 for log"),
        ({"penalty": "1:2:3"}, "expected LOW:HIGH or LOW:HIGH:log"),
        ({"latent_dim": "4,8,4"}, "expected different values"),
        ({"size": "28,32"}, "size: got '28,32', expected one value: errors on other data do not compare"),
        ({"rank": "0.5:4"}, "expected two whole numbers or two fractions"),
        ({"penalty": []}, "expected different values"),
    ],
)
def test_invalid_values_are_named(values, words):
    with pytest.raises(LoraeError) as caught:
        parsed(**values)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
