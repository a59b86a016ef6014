"""How a run came to its rank, read from what its evaluation says."""

from typing import Any

import pytest

from lorae.reports.rank_selection import read_choice

SEARCH: dict[str, Any] = {
    "rank": 5,
    "mse": 0.02,
    "bound": 0.05,
    "reached": True,
    "tried": [{"rank": 20, "mse": 0.01}, {"rank": 10, "mse": 0.02}, {"rank": 5, "mse": 0.04}, {"rank": 2, "mse": 0.3}],
}
PATH = {
    "points": [
        {"point": "00", "penalty": 1e-3, "rank": 12, "mse": 0.01},
        {"point": "01", "penalty": 0.0316227766, "rank": 4, "mse": 0.0123456},
        {"point": "02", "penalty": 1.0, "rank": 0, "mse": 1.0},
    ],
    "knee": "01",
}


def test_a_search_is_its_trials_with_a_star_at_the_chosen_one():
    choice = read_choice(SEARCH)
    assert not choice.is_path
    assert (choice.header, choice.chosen, choice.bound) == (["rank", "error"], "5", 0.05)
    assert choice.rows == [["20", "0.01"], ["10", "0.02"], ["5", "0.04 *"], ["2", "0.3"]]
    assert "at most 0.05" in choice.sentence
    assert "smallest" in choice.sentence


def test_a_search_in_vain_says_so():
    choice = read_choice(SEARCH | {"rank": 20, "bound": 1e-3, "tried": SEARCH["tried"][:1], "reached": False})
    assert choice.sentence.endswith("None kept it.")


def test_a_path_is_its_penalties_with_a_star_at_the_knee():
    choice = read_choice(PATH)
    assert choice.is_path
    assert choice.rows == [["0.001", "12", "0.01"], ["0.0316", "4", "0.01235 *"], ["1", "0", "1"]]
    assert choice.header == ["penalty", "rank", "error"]
    assert choice.points[1] == {"label": "0.0316", "rank": 4, "mse": 0.0123456}
    assert "knee" in choice.sentence


@pytest.mark.parametrize("schedule", [None, {}, SEARCH | {"tried": []}])
def test_of_a_run_that_tried_nothing_there_is_nothing(schedule):
    assert read_choice(schedule) is None
