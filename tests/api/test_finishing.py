"""Where a trained model is measured."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lorae.api import finishing


class MovedModel:
    def __init__(self):
        self.places = []

    def to(self, place):
        self.places.append(place)


@pytest.mark.parametrize(
    ("trained_on", "gpu_here", "moves"),
    [("cuda", True, ["cuda", "cpu"]), ("cuda", False, []), ("cpu", True, [])],
)
def test_a_model_is_measured_on_the_gpu_that_trained_it(trained_on, gpu_here, moves, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu_here)
    run: Any = SimpleNamespace(settings=SimpleNamespace(device=trained_on))
    model: Any = MovedModel()
    with finishing._on_gpu_of(run, model):
        assert model.places == moves[:1]
    assert model.places == moves
