import json
from typing import Any

import numpy as np
import pytest
import torch

from lorae.errors import LoraeError
from lorae.evaluation.classification import supervised, total_steps

SMALL: dict[str, Any] = {"network": "mnist", "latent_dim": 32, "width": 0.125}


def bars(n, seed):
    """Noisy images uint8 (n, 1, 16, 16) with an upright or a lying bar, and which."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 60, size=(n, 1, 16, 16)).astype(np.uint8)
    labels = rng.integers(2, size=n)
    for image, label in zip(images, labels, strict=True):
        place = rng.integers(2, 13)
        image[0, :, place : place + 2] = 255
        if label:
            image[0] = image[0].T
    return images, labels


@pytest.fixture(scope="module")
def data():
    return (*bars(300, 0), *bars(100, 1))


def test_bars_are_learned_from_scratch(data):
    result = supervised(*data, counts=[20, 200, 1000], seeds=range(2), epochs=100, **SMALL)
    assert result["200"]["mean"] > 0.9
    assert result["200"]["mean"] >= result["20"]["mean"]
    assert len(result["200"]["values"]) == len(result["200"]["picked"]) == 2
    assert (result["200"]["steps"], result["20"]["steps"]) == (200, 100)
    assert result["left_out"] == [1000]
    assert result["protocol"]["max_steps"] == 3000
    assert result["protocol"]["network"] == "mnist"
    assert json.loads(json.dumps(result)) == result


def test_a_seed_alone_decides_its_result(data):
    options: dict[str, Any] = {"counts": [40], "epochs": 5, **SMALL}
    before = torch.get_rng_state()
    together = supervised(*data, seeds=[0, 3], **options)["40"]
    assert supervised(*data, seeds=[3], **options)["40"]["values"] == together["values"][1:]
    assert torch.equal(torch.get_rng_state(), before)


def test_bfloat16_vectors_and_the_authors_code(data, vectors):
    told: list[int] = []
    options: dict[str, Any] = {"counts": [40], "epochs": 4, "max_steps": 3, "protocol": "authors_code"}
    result = supervised(*data, seeds=[0, 1], bfloat16=True, advance=told.append, **options, **SMALL)
    assert 0 <= result["40"]["mean"] <= 1
    assert sum(told) == 2 * total_steps(300, **options) == 6
    labels = (vectors[:, 0] > np.median(vectors[:, 0])).astype(int)
    result = supervised(vectors, labels, vectors, labels, counts=["all"], seeds=[0], network="mlp", latent_dim=4)
    assert result["all"]["mean"] > 0.9


def test_bad_items_are_refused(data):
    images, labels, test, test_labels = data
    with pytest.raises(LoraeError, match="train_labels: got None"):
        supervised(images, None, test, test_labels, **SMALL)
    with pytest.raises(LoraeError, match=r"items: got shape \(300,\)"):
        supervised(labels, labels, test, test_labels, **SMALL)
    with pytest.raises(LoraeError, match="not finite"):
        supervised(images * np.nan, labels, test, test_labels, **SMALL)
    with pytest.raises(LoraeError, match="counts: got 1"):
        supervised(*data, counts=[1], **SMALL)
