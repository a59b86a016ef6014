"""What the project promises of real MNIST; about six minutes on 2 cores."""

from itertools import pairwise
from typing import Any

import pytest

import lorae

pytestmark = pytest.mark.slow
RUNS: dict[str, dict[str, Any]] = {
    "ae": {"method": "ae"},
    "1e-4": {"method": "lorae", "penalty": 1e-4},
    "1e-3": {"method": "lorae", "penalty": 1e-3},
}


@pytest.fixture(scope="module")
def evaluations(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mnist")
    return {
        name: lorae.train("mnist", epochs=3, out=folder / name, **settings).evaluation()
        for name, settings in RUNS.items()
    }


def cliff(evaluation):
    """The largest drop from one eigenvalue to the next among those above 1e-9 of the largest."""
    values = [
        value for value in evaluation["rank"]["eigenvalues"] if value > 1e-9 * evaluation["rank"]["eigenvalues"][0]
    ]
    return max(before / after for before, after in pairwise(values))


def test_lorae_finds_a_low_rank_with_a_cliff_and_still_reconstructs(evaluations):
    found = evaluations["1e-4"]
    assert 15 <= found["rank"]["rank"] <= 40
    assert found["reconstruction"]["mse"] <= 0.004
    assert cliff(found) > 100
    assert found["rank"]["ranks"]["0.001"] == pytest.approx(found["rank"]["ranks"]["0.0001"], abs=2)


def test_a_plain_autoencoder_has_no_cliff(evaluations):
    assert cliff(evaluations["ae"]) < 10
    ranks = evaluations["ae"]["rank"]["ranks"]
    assert ranks["1e-06"] > 2 * ranks["0.001"]


def test_a_larger_penalty_gives_a_lower_rank(evaluations):
    assert evaluations["1e-3"]["rank"]["rank"] < evaluations["1e-4"]["rank"]["rank"]
