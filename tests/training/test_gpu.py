"""Behavior that needs a GPU (`pytest -m gpu`); skipped elsewhere."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import lorae
from lorae.config.methods import METHODS
from lorae.linalg import nuclear_norm, threshold_singular_values
from lorae.models.autoencoder import Autoencoder
from lorae.objectives.objective import Objective
from lorae.optim.adam import restore_optimizer
from lorae.runs.run import Run
from lorae.training.step import CapturedStep, EagerStep
from lorae.training.trainer import Trainer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU"),
]

READING_BACK = ["rrae", "lorae-log-det", "lorae-schatten", "lorae-mcp"]
CAPTURED = [name for name in METHODS if name not in READING_BACK]


@pytest.fixture(autouse=True)
def _repeatable(monkeypatch):
    """Convolutions that give the same bits each time, in full float32."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def trainer(image_file, folder, **settings):
    settings = {"latent_dim": 8, "width": 0.125, "batch_size": 16, "epochs": 3, "precision": "float32"} | settings
    config = lorae.plan(image_file, out=folder, **settings)
    return Trainer(Run.create(folder, config), lorae.load_data(image_file), quiet=True)


def fitted_both_ways(image_file, tmp_path, **settings):
    """The weights that captured and that eager steps come to."""
    captured = trainer(image_file, tmp_path / "captured", **settings)
    eager = trainer(image_file, tmp_path / "eager", **settings)
    assert isinstance(captured.take_step, CapturedStep)
    eager.take_step = eager.take_step.eager
    found = captured.fit().state_dict(), eager.fit().state_dict()
    assert captured.take_step.graphs
    return found


def assert_close(one, other):
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=1e-3, atol=1e-4, msg=f"{name}: {{}}".format)


@pytest.mark.parametrize("method", CAPTURED)
def test_the_step_of_a_method_is_captured_and_takes_the_eager_steps(method, image_file, tmp_path):
    assert_close(*fitted_both_ways(image_file, tmp_path, method=method, penalty_warmup=1, schedule="cosine"))


@pytest.mark.parametrize("method", READING_BACK)
def test_a_method_that_reads_values_back_trains_without_capture(method, image_file, tmp_path):
    run = trainer(image_file, tmp_path / "run", method=method)
    assert isinstance(run.take_step, EagerStep)
    assert all(value.isfinite().all() for value in run.fit().state_dict().values())


def test_proximal_steps_between_captured_ones_make_singular_values_exactly_zero(image_file, tmp_path):
    options = {"method": "lorae+", "rank": 3, "epochs": 10}
    captured, eager = fitted_both_ways(image_file, tmp_path, **options)
    assert_close(captured, eager)
    values = torch.linalg.svdvals(captured["bottleneck.layers.0.weight"].double())
    assert int((values > 1e-6 * values[0]).sum()) == 3


@pytest.mark.parametrize("every", [1, 5])
def test_a_penalty_beside_the_networks_is_that_within_the_loss(every, image_file, tmp_path, monkeypatch):
    options = {"method": "lorae", "penalty": 0.1, "penalty_every": every}
    beside = trainer(image_file, tmp_path / "beside", **options)
    monkeypatch.setattr(Objective, "compute_concurrently", lambda self: None)
    within = trainer(image_file, tmp_path / "within", **options)
    assert (beside.take_step.eager.concurrent is None, within.take_step.eager.concurrent is None) == (False, True)
    assert_close(beside.fit().state_dict(), within.fit().state_dict())
    assert len(beside.take_step.graphs) == (1 if every == 1 else 2)
    ours, theirs = (list(each.run.stats("step"))[-1]["loss"] for each in (beside, within))
    assert ours == pytest.approx(theirs, rel=1e-4)


def test_a_held_slope_is_captured_whatever_it_is_of(image_file, tmp_path):
    """Of itself `log_det` reads values back, which a CUDA graph cannot."""
    assert_close(*fitted_both_ways(image_file, tmp_path, penalties={"log_det": 1e-3}, penalty_every=5))


@pytest.mark.parametrize("method", ["lorae", "lorae+", "vae", "wae-gan", "ls-gan"])
def test_a_run_that_was_interrupted_resumes_to_the_same_weights(method, image_file, tmp_path, train_until):
    options = {"latent_dim": 8, "width": 0.125, "batch_size": 16, "epochs": 4, "precision": "float32"}
    options |= {"method": method, "checkpoint_every": 5, "quiet": True}
    whole = lorae.train(image_file, out=tmp_path / "whole", **options)
    assert whole.settings.device == "cuda"
    train_until(12, image_file, out=tmp_path / "broken", **options)
    resumed = lorae.resume(tmp_path / "broken", quiet=True)
    assert_close(*(lorae.load(run).state_dict() for run in (whole, resumed)))


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
@pytest.mark.parametrize("method", ["lorae", "lorae+", "vae", "wae-gan", "ls-gan"])
def test_two_gpus_train_what_one_does(method, image_file, tmp_path):
    options = ["--method", method, "--latent-dim", "8", "--width", "0.125", "--batch-size", "17", "--epochs", "3"]
    options += ["--precision", "float32", "--capture", "off", "--network", "mnist"]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for name, words in (("one", []), ("two", launcher)):
        command = [sys.executable, *words, "-m", "lorae", "train", image_file, *options, "--out", tmp_path / name]
        subprocess.run(list(map(str, command)), check=True, timeout=300)
    assert_close(*(lorae.load(tmp_path / name).state_dict() for name in ("one", "two")))


def test_a_checkpoint_of_a_gpu_is_read_on_a_cpu_and_back(image_file, images, tmp_path):
    options = {"method": "lorae+", "epochs": 2, "precision": "float32"}
    first = trainer(image_file, tmp_path / "run", **options)
    first.fit()
    state = first.run.load_checkpoint()
    assert all(value.device.type == "cpu" for value in state["model"].values())
    on_cpu = trainer(image_file, tmp_path / "cpu", device="cpu", **options)
    on_cpu.model.load_state_dict(state["model"])
    for optimizer, saved in zip(on_cpu.optimizers, state["optimizers"], strict=True):
        restore_optimizer(optimizer, saved)
    latents = on_cpu.model.encode(images)
    np.testing.assert_allclose(first.model.cuda().encode(images), latents, rtol=1e-4, atol=1e-5)
    on_cpu.take_step(on_cpu.items[:16])
    back = trainer(image_file, tmp_path / "back", **options)
    back.model.load_state_dict(on_cpu.model.state_dict())
    for optimizer, other in zip(back.optimizers, on_cpu.optimizers, strict=True):
        restore_optimizer(optimizer, other.state_dict())
    for _ in range(5):  # the last of them captured
        result = back.take_step(back.items[:16])
    assert result.values.isfinite().all()


def test_a_finished_training_is_measured_on_the_gpu(image_file, tmp_path, monkeypatch):
    places = []
    real = Autoencoder.in_chunks

    def in_chunks(self, *arguments):
        places.append(self.scaling.scale.device.type)
        return real(self, *arguments)

    monkeypatch.setattr(Autoencoder, "in_chunks", in_chunks)
    run = lorae.train(image_file, out=tmp_path / "run", latent_dim=8, width=0.125, batch_size=16, epochs=1, quiet=True)
    assert set(places) == {"cuda"}
    assert run.load_model().scaling.scale.device.type == "cpu"


@pytest.mark.parametrize("capture", ["auto", "off"])
def test_too_little_memory_is_said_in_one_line_with_a_batch_size_to_try(capture, tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (4096, 1, 64, 64)).astype(np.uint8)
    np.save(tmp_path / "large.npy", pictures)
    _, total = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 256 * 2**20) / total)
    try:
        with pytest.raises(lorae.LoraeError, match=r"batch_size: got 3686, .* try batch_size=1843 ") as caught:
            lorae.train(
                tmp_path / "large.npy", batch_size=3686, epochs=1, capture=capture, out=tmp_path / "run", quiet=True
            )
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("width", [1, 16, 64, 100, 128, 512, 1000, 1024, 1100])
def test_polar_agrees_with_the_cpu(width):
    generator = torch.Generator().manual_seed(0)
    U, V = (torch.linalg.qr(torch.randn(width, width, generator=generator))[0] for _ in range(2))
    M = U * torch.linspace(1, 0.05, width) @ V.mT
    theirs = M.clone().requires_grad_()
    nuclear_norm(theirs).backward()
    ours = M.cuda().requires_grad_()
    value = nuclear_norm(ours)
    value.backward()
    assert (ours.grad.cpu() - theirs.grad).abs().max() < 1e-5
    assert value.item() == pytest.approx(nuclear_norm(M).item(), rel=1e-5)


@pytest.mark.parametrize(("width", "rank"), [(128, 3), (300, 3), (300, 200)])
def test_thresholding_is_that_of_the_cpu(width, rank):
    generator = torch.Generator().manual_seed(1)
    factors = (torch.randn(width, rank, generator=generator) for _ in range(2))
    M = next(factors) @ next(factors).mT
    ours, values = threshold_singular_values(M.cuda(), 5.0)
    theirs, expected = threshold_singular_values(M, 5.0)
    torch.testing.assert_close(values.cpu(), expected)
    torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-4, atol=1e-3)


def test_distances_are_those_of_the_cpu():
    pictures = np.random.default_rng(0).integers(0, 256, (2, 300, 1, 32, 32)).astype(np.uint8)
    options = {"features": "digits", "quiet": True}
    ours, theirs = (lorae.fid(*pictures, device=device, **options)["fid"] for device in ("cuda", "cpu"))
    assert ours == pytest.approx(theirs, rel=1e-3)
