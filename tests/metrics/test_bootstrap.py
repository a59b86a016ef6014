import json

import numpy as np
import pytest

from lorae.errors import LoraeError
from lorae.metrics.spectrum import bootstrap_ranks, latent_spectrum

RANKS = ["rank", "energy_99", "entropy_rank", "stable_rank"]


@pytest.fixture(scope="module")
def latents():
    """A Gaussian of rank 4 in 12 dimensions, with a little noise."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(500, 4)) * [3, 2, 1, 0.5] @ rng.normal(size=(4, 12)) + 1e-4 * rng.normal(size=(500, 12))


def point_estimates(latents):
    return latent_spectrum(latents, "test").to_json()


@pytest.mark.parametrize("name", RANKS)
def test_interval_holds_the_estimate(latents, name):
    low, high = bootstrap_ranks(latents)[name]
    assert low <= point_estimates(latents)[name] <= high


def test_interval_of_a_clear_rank_is_one_number_and_others_are_not(latents):
    found = bootstrap_ranks(latents)
    assert found["rank"] == [4.0, 4.0]
    low, high = found["entropy_rank"]
    assert 0 < high - low < 0.5


def test_interval_narrows_with_the_items(latents):
    def width(rows):
        low, high = bootstrap_ranks(rows)["stable_rank"]
        return high - low

    assert width(latents) < 0.6 * width(latents[:60])


def test_interval_is_that_of_resampled_covariances(latents):
    ordered = latents[np.lexsort(latents.T[::-1])]
    rng = np.random.default_rng(3)
    values = []
    for _ in range(20):
        eigenvalues = np.linalg.eigvalsh(np.cov(ordered[rng.integers(0, 500, 500)], rowvar=False))
        values.append(eigenvalues.sum() / eigenvalues.max())
    found = bootstrap_ranks(latents, resamples=20, seed=3)["stable_rank"]
    assert found == pytest.approx(list(np.percentile(values, [2.5, 97.5])), rel=1e-9)


def test_not_changed_by_the_order_of_the_items(latents):
    shuffled = np.random.default_rng(1).permutation(latents)
    assert bootstrap_ranks(shuffled, resamples=20) == bootstrap_ranks(latents, resamples=20)


def test_seeded(latents):
    first, same, other = (bootstrap_ranks(latents, resamples=20, seed=seed) for seed in (0, 0, 1))
    assert first == same
    assert first["entropy_rank"] != other["entropy_rank"]


def test_plain_values_with_their_protocol(latents):
    found = bootstrap_ranks(latents, resamples=10, seed=5, tolerance=1e-2)
    assert json.loads(json.dumps(found)) == found
    assert set(found) == {*RANKS, "protocol"}
    assert found["protocol"] == {"resamples": 10, "share": 0.95, "tolerance": 1e-2, "seed": 5}


def test_tolerance_decides_the_rank(latents):
    assert bootstrap_ranks(latents, resamples=5, tolerance=0.9)["rank"] == [1.0, 1.0]
    assert bootstrap_ranks(latents, resamples=5, tolerance=1e-12)["rank"] == [12.0, 12.0]


def test_one_dimension_and_equal_items():
    assert bootstrap_ranks(np.arange(20.0)[:, None], resamples=5)["rank"] == [1.0, 1.0]
    assert bootstrap_ranks(np.ones((20, 3)), resamples=5)["rank"] == [0.0, 0.0]


def test_latents_without_ranks_are_named():
    with pytest.raises(LoraeError, match="got 1 items"):
        bootstrap_ranks(np.ones((1, 3)))
    with pytest.raises(LoraeError, match="not finite"):
        bootstrap_ranks(np.full((9, 3), np.nan))
