"""What only a GPU can show; skipped elsewhere."""

import pytest
import torch

import lorae
from lorae.linalg import nuclear_norm
from lorae.runs.run import Run
from lorae.training.step import CapturedStep, EagerStep
from lorae.training.trainer import Trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")


def trainer(image_file, folder, **settings):
    config = lorae.plan(image_file, out=folder, latent_dim=8, width=0.125, batch_size=16, epochs=3, **settings)
    return Trainer(Run.create(folder, config), lorae.load_data(image_file), quiet=True)


def test_the_step_is_captured_and_takes_the_eager_steps(image_file, tmp_path):
    captured = trainer(image_file, tmp_path / "captured", precision="float32", penalty_warmup=1, schedule="cosine")
    assert isinstance(captured.take_step, CapturedStep)
    eager = trainer(image_file, tmp_path / "eager", precision="float32", penalty_warmup=1, schedule="cosine")
    eager.take_step = eager.take_step.eager
    assert isinstance(eager.take_step, EagerStep)
    one, other = captured.fit().state_dict(), eager.fit().state_dict()
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=1e-3, atol=1e-4)


def test_a_held_slope_is_captured_whatever_it_is_of(image_file, tmp_path):
    """Of itself `log_det` reads values back, which a CUDA graph cannot."""
    weights = {"penalties": {"log_det": 1e-3}, "penalty_every": 5, "precision": "float32"}
    captured = trainer(image_file, tmp_path / "captured", **weights)
    eager = trainer(image_file, tmp_path / "eager", **weights)
    eager.take_step = eager.take_step.eager
    one, other = captured.fit().state_dict(), eager.fit().state_dict()
    assert captured.take_step.graph is not None
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=1e-3, atol=1e-4)


def test_auto_takes_the_gpu_and_a_run_resumes(image_file, tmp_path):
    first = trainer(image_file, tmp_path / "run")
    assert first.settings.device == "cuda"
    total, Trainer.total_steps = Trainer.total_steps, property(lambda self: self.steps_per_epoch)
    try:
        first.fit()
    finally:
        Trainer.total_steps = total
    again = Trainer(Run(tmp_path / "run"), lorae.load_data(image_file), quiet=True)
    assert again.fit()
    assert again.step == again.total_steps


def test_polar_needs_no_wait_and_agrees_with_the_svd():
    M = torch.randn(64, 64, device="cuda", requires_grad=True)
    value = nuclear_norm(M)
    value.backward()
    U, _, Vt = torch.linalg.svd(M.detach().double())
    assert torch.linalg.matrix_norm(M.grad.double() - U @ Vt, 2) < 1e-3
