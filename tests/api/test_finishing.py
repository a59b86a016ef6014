"""Where a trained model is measured."""

import shutil
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import lorae
from lorae.api import finishing


def test_a_run_that_was_killed_before_its_report_gets_it_when_it_is_resumed(trained, tmp_path, blank_figures):
    run = shutil.copytree(trained.path, tmp_path / "run")
    before = {path: path.read_bytes() for path in run.rglob("*.safetensors")}
    (run / "report.html").unlink()
    (run / ".report.html.abcdefgh.tmp").write_bytes(b"half")
    assert lorae.resume(run).finished
    assert b"</html>" in (run / "report.html").read_bytes()
    assert not list(run.rglob("*.tmp"))
    assert {path: path.read_bytes() for path in run.rglob("*.safetensors")} == before


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
