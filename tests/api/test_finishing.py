"""Where a trained model is measured."""

import pytest
import torch

import lorae
from lorae.api import finishing
from lorae.runs.run import Run


class MovedModel:
    def __init__(self):
        self.places = []

    def to(self, place):
        self.places.append(place)


@pytest.mark.parametrize(
    ("trained_on", "gpu_here", "moves"),
    [("cuda", True, ["cuda", "cpu"]), ("cuda", False, []), ("cpu", True, [])],
)
def test_a_model_is_measured_on_the_gpu_that_trained_it(trained_on, gpu_here, moves, image_file, tmp_path, monkeypatch):
    run = Run.create(tmp_path / "run", lorae.plan(image_file, out=tmp_path / "run", latent_dim=4, width=0.125))
    monkeypatch.setattr(Run, "settings", run.settings.with_machine(trained_on, "float32"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu_here)
    model = MovedModel()
    with finishing._on_gpu_of(run, model):
        assert model.places == moves[:1]
    assert model.places == moves
