"""Callbacks, gradient clipping and extensions of whole trainings."""

import json

import numpy as np
import pytest
import torch

import lorae
from lorae.errors import LoraeError
from lorae.runs.run import Run
from tests.training.test_trainer import assert_same_weights

pytestmark = pytest.mark.usefixtures("blank_figures")

STEPS_PER_EPOCH = 6  # 86 of the squares are for training, in batches of 16


class Recorder:
    """A callback that records its calls, evaluates the model and draws numbers."""

    def __init__(self):
        self.calls = []
        self.losses = []
        self.closed = 0

    def on_step_end(self, progress):
        self.calls.append(("step", progress.step))
        self.losses.append(float(progress.values["loss"]))

    def on_epoch_end(self, progress):
        torch.randn(3)
        progress.model.eval()
        self.calls.append(("epoch", progress.epoch))
        self.measured = dict(progress.values)

    def on_checkpoint(self, progress):
        assert torch.load(progress.values["path"], weights_only=True)["step"] == progress.step
        self.calls.append(("checkpoint", progress.step))

    def close(self):
        self.closed += 1


def test_callbacks_see_every_step_epoch_and_checkpoint_and_change_nothing(image_file, small, tmp_path):
    recorder = Recorder()
    options = small | {"log_every": 1, "checkpoint_every": 5, "method": "vae", "penalty": None}
    run = lorae.train(image_file, out=tmp_path / "run", callbacks=[recorder], **options)
    last = 2 * STEPS_PER_EPOCH
    assert [number for kind, number in recorder.calls if kind == "step"] == list(range(1, last + 1))
    assert [number for kind, number in recorder.calls if kind == "epoch"] == [1, 2]
    assert {5, 10, last} <= {number for kind, number in recorder.calls if kind == "checkpoint"}
    assert recorder.losses == pytest.approx([record["loss"] for record in run.stats("step")], rel=1e-6)
    assert recorder.measured["test_mse"] == list(run.stats("epoch"))[-1]["test_mse"]
    assert recorder.closed == 1
    assert_same_weights(run, lorae.train(image_file, out=tmp_path / "plain", **options))


@pytest.mark.parametrize("hook", ["on_step_end", "on_epoch_end", "on_checkpoint"])
def test_after_an_exception_in_a_callback_the_training_goes_on_exactly(hook, image_file, small, tmp_path):
    class Broken:
        def close(self):
            self.closed = True

    def fail(progress):
        if progress.step >= STEPS_PER_EPOCH:
            raise KeyError("lost")

    broken = Broken()
    setattr(broken, hook, fail)
    with pytest.raises(LoraeError, match=rf"callbacks: Broken\.{hook}: KeyError: 'lost'; after step 6 of 12") as error:
        lorae.train(image_file, out=tmp_path / "run", callbacks=[broken], **small)
    assert isinstance(error.value.__cause__, KeyError)
    assert "lorae resume" in str(error.value)
    assert broken.closed
    assert Run(tmp_path / "run").load_checkpoint()["step"] == STEPS_PER_EPOCH
    recorder = Recorder()
    resumed = lorae.resume(tmp_path / "run", quiet=True, callbacks=[recorder])
    assert recorder.calls[0] == ("step", STEPS_PER_EPOCH + 1)
    assert_same_weights(resumed, lorae.train(image_file, out=tmp_path / "whole", **small))


def test_an_object_that_is_no_callback_is_refused_before_anything_is_written(image_file, small, tmp_path):
    with pytest.raises(LoraeError, match="expected an object with one of on_step_end"):
        lorae.train(image_file, out=tmp_path / "run", callbacks=[object()], **small)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("limit", [1e-3, 1e6])
def test_a_clipped_gradient_has_at_most_the_norm(limit, vectors):
    from lorae.api.training import _plan
    from lorae.runs.store import InMemoryRun
    from lorae.training.trainer import Trainer

    def gradient(clip):
        settings, dataset, _ = _plan(vectors, None, {"method": "ae", "clip_gradients": clip, "epochs": 1})
        trainer = Trainer(InMemoryRun(settings, 1), dataset, quiet=True)
        trainer.model.train()
        trainer.take_step(trainer.items[:32])
        return torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None])

    free, clipped = gradient(None), gradient(limit)
    assert clipped.norm() <= limit * (1 + 1e-4)
    # The direction is kept, and a gradient below the limit is left as it is.
    torch.testing.assert_close(clipped, free * min(1.0, limit / float(free.norm())), rtol=1e-3, atol=1e-9)


def test_an_extension_at_a_constant_rate_is_the_longer_run(image_file, small, tmp_path):
    run = lorae.train(image_file, out=tmp_path / "run", **small)
    run.add_to_evaluation({"fid": {"of": "the old weights"}})
    lorae.sample(run, 4)
    lorae.interpolate(run, pairs=2)
    (run.path / "unfinished-probe").mkdir()
    (run.path / "unfinished-probe" / "state").touch()
    old = [*run.path.glob("samplers/*"), *run.path.glob("figures/[si]*-*"), run.path / "unfinished-probe"]
    assert len(old) == 8, old
    extended = lorae.resume(run.path, epochs=4, quiet=True)
    whole = lorae.train(image_file, out=tmp_path / "whole", **small | {"epochs": 4})
    assert_same_weights(extended, whole)
    assert extended.summary()["epochs"] == 4
    assert extended.summary()["test_mse"] == whole.summary()["test_mse"]
    assert "fid" not in extended.evaluation()
    assert [path for path in old if path.exists()] == []
    assert extended.config["extended"] == [{"epochs": 2}]


@pytest.mark.parametrize("goal", [{}, {"rank": 3}, {"rank": "auto"}], ids=str)
def test_an_interrupted_extension_goes_on_exactly(goal, vectors, tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", vectors)
    options = {"method": "lorae+", "epochs": 6, "batch_size": 16, "checkpoint_every": 3, "quiet": True, **goal}
    for name in ("whole", "cut"):
        lorae.train(tmp_path / "x.npy", out=tmp_path / name, **options)
    before = lorae.load(tmp_path / "whole").matrix_rank()

    class Stop:
        def on_step_end(self, progress):
            if progress.step == progress.total_steps - 5:
                raise InterruptedError

    whole = lorae.resume(tmp_path / "whole", epochs=9, quiet=True)
    with pytest.raises(LoraeError, match="Stop"):
        lorae.resume(tmp_path / "cut", epochs=9, quiet=True, callbacks=[Stop()])
    assert not Run(tmp_path / "cut").finished
    assert_same_weights(whole, lorae.resume(tmp_path / "cut", quiet=True))
    if goal:
        assert lorae.load(whole).matrix_rank() == before


def test_the_rate_rises_and_falls_anew_in_an_extension():
    from tests.training.fake_training import course_of

    for goal in ({}, {"rank": 3}):
        schedule = course_of(500, **goal)
        schedule.extend(400)
        rates = [schedule.step_config(step).lr for step in range(400, 500)]
        assert max(rates) == rates[10] > 0.9
        assert rates[10:] == sorted(rates[10:], reverse=True)
        assert rates[-1] < 0.03
        assert schedule.step_config(400).max_rank == goal.get("rank")


def test_what_cannot_be_extended_is_refused_in_one_line_and_stays(trained, vectors, tmp_path, run_cli):
    before = (trained.path / "config.json").read_text()
    for epochs, message in ((1, "has 2, expected more"), (0, "a whole number of at least 1")):
        code, _, error = run_cli("resume", trained.path, "--epochs", epochs)
        assert code == 2
        assert message in error
        assert error.count("\n") == 1
    assert trained.finished
    assert (trained.path / "config.json").read_text() == before
    auto = lorae.train(vectors, method="ae", epochs="auto", patience=1, lr=0.05, out=tmp_path / "auto", quiet=True)
    with pytest.raises(LoraeError, match="ended where its held-out loss had stopped falling"):
        lorae.resume(auto, data=vectors, epochs=5000)
    short = lorae.truncate(trained, rank=1, out=tmp_path / "short", data=trained.settings.data)
    with pytest.raises(LoraeError, match="no checkpoint to continue from"):
        lorae.resume(short, epochs=9)


def test_an_extension_of_changed_data_leaves_the_run_finished(images, small, tmp_path):
    np.save(tmp_path / "a.npy", images)
    run = lorae.train(tmp_path / "a.npy", out=tmp_path / "run", **small)
    np.save(tmp_path / "a.npy", images[::-1])
    with pytest.raises(LoraeError, match="the files have changed"):
        lorae.resume(run.path, epochs=4)
    assert Run(run.path).finished
    assert json.loads((run.path / "config.json").read_text())["settings"]["epochs"] == 2
