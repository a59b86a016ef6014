"""Trainings that choose their end: on pretended losses, and whole runs."""

import json
import math

import numpy as np
import pytest

import lorae
from lorae.config.resolution import resolve, with_epochs
from lorae.config.settings import Settings
from lorae.errors import LoraeError
from lorae.training.schedule_factory import schedule_of
from lorae.training.until_stalled import LONGEST
from tests.training.fake_training import EPOCH, WIDTH, Pretended
from tests.training.test_trainer import assert_same_weights

pytestmark = pytest.mark.usefixtures("blank_figures")

DEFAULT_STEPS = 2000


class WithLoss(Pretended):
    """A pretended training with a held-out loss as a function of the step at which its model was trained."""

    def __init__(self, loss):
        super().__init__()
        self.loss_at = loss

    def held_out_loss(self):
        return self.loss_at(self.model["trained"])


def schedule_with(**values):
    values = {"method": "lorae+", "data": "x.npy", "epochs": "auto", "patience": 5, "rank": WIDTH} | values
    settings = with_epochs(Settings.from_values(values, str), EPOCH)
    return schedule_of(resolve(settings, "vectors", (WIDTH,)), EPOCH)


def run_through(schedule, context, first=0, last=math.inf):
    """Take the steps of a training; return the rates."""
    rates, step = [], first
    while step < min(schedule.total_steps, last):
        now = schedule.step_config(step)
        rates.append(now.lr)
        step += 1
        context.train(now, step)
        if schedule.needs_update(step):
            schedule.update(step, context)
    return rates


def valley(step):
    """A loss that falls until step 400 and then rises."""
    return 1 + abs(step - 400) / 400


@pytest.mark.parametrize("rate", ["constant", "cosine"])
def test_it_returns_to_the_smallest_loss_after_the_patience(rate):
    schedule, context = schedule_with(schedule=rate), WithLoss(valley)
    rates = run_through(schedule, context)
    found = schedule.stopping()
    assert (found["best_epoch"], found["reason"], found["loss"]) == (20, "stalled", 1.0)
    assert context.model["trained"] == 400
    stop = 400 + 5 * EPOCH
    assert set(rates[:stop]) == {1.0}
    assert len(rates) == stop + (rate == "cosine") * 10 * EPOCH  # half of the epochs to the smallest loss
    assert rates[stop:] == sorted(rates[stop:], reverse=True)
    assert len(set(rates[stop:])) == len(rates[stop:])


def test_a_smaller_loss_at_a_falling_rate_is_kept():
    schedule, context = schedule_with(), WithLoss(lambda step: valley(step) if step <= 500 else 0.5)
    run_through(schedule, context)
    assert schedule.stopping()["loss"] == 0.5
    assert context.model["trained"] > 500


def test_a_loss_that_always_falls_ends_at_the_longest():
    schedule, context = schedule_with(schedule="constant"), WithLoss(lambda step: -step)
    assert len(run_through(schedule, context)) == LONGEST * DEFAULT_STEPS
    assert schedule.stopping()["reason"] == "longest"


def test_losses_count_only_at_the_penalty_and_rank_of_the_end():
    schedule, context = schedule_with(rank=3), WithLoss(lambda step: step)  # a larger rank had smaller losses
    run_through(schedule, context)
    assert schedule.stopping()["best_epoch"] * EPOCH > 0.1 * DEFAULT_STEPS
    assert schedule.step_config(schedule.best_step).max_rank == 3
    penalized, context = schedule_with(rank=None, penalty_warmup=30), WithLoss(lambda step: step)
    run_through(penalized, context)
    assert penalized.stopping()["best_epoch"] == 30


@pytest.mark.parametrize("stop", [3, 399, 400, 480, 520, 640])
def test_it_goes_on_from_its_state_at_any_step(stop):
    whole, context = schedule_with(), WithLoss(valley)
    rates = run_through(whole, context)
    first, trained = schedule_with(), WithLoss(valley)
    run_through(first, trained, last=stop)
    second = schedule_with()
    second.restore(json.loads(json.dumps(first.state())))
    assert run_through(second, trained, first=stop) == rates[stop:]
    assert second.stopping() == whole.stopping()
    assert trained.model == context.model


@pytest.mark.parametrize("method", ["lorae+", "vae"])
def test_a_killed_training_ends_at_the_same_weights(method, vectors, tmp_path, train_until):
    np.save(tmp_path / "x.npy", vectors)
    options = {"method": method, "epochs": "auto", "patience": 2, "lr": 1e-2, "checkpoint_every": 7, "quiet": True}
    options |= {"rank": 2} if method == "lorae+" else {}
    whole = lorae.train(tmp_path / "x.npy", out=tmp_path / "whole", **options)
    steps = whole.load_checkpoint()["step"]
    train_until(steps - 3, tmp_path / "x.npy", out=tmp_path / "cut", **options)
    assert_same_weights(whole, lorae.resume(tmp_path / "cut", quiet=True))
    assert whole.summary()["stopping"]["epochs"] == whole.summary()["epochs"]


def test_held_out_items_are_training_items_and_their_loss_changes_nothing(vectors, tmp_path):
    from lorae.api.training import _plan
    from lorae.runs.store import InMemoryRun
    from lorae.training.trainer import Trainer

    settings, dataset, _ = _plan(vectors, None, {"method": "vae", "epochs": "auto"})
    trainer = Trainer(InMemoryRun(settings, 1), dataset, quiet=True)
    seen, aside = trainer.items.tensor.numpy(), trainer.context.aside
    joined = np.concatenate([seen, aside])
    np.testing.assert_array_equal(np.unique(joined, axis=0), np.unique(dataset.train.inputs, axis=0))
    assert len(joined) == len(dataset.train)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    draws = trainer.generator.get_state()
    assert trainer.context.held_out_loss() == trainer.context.held_out_loss() > 0
    assert all((before[name] == value).all() for name, value in trainer.model.state_dict().items())
    assert (trainer.generator.get_state() == draws).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": "auto", "method": "lorae+"}, "epochs: got 'auto' beside rank"),
        ({"penalty_path": "1e-4:1e-1", "method": "lorae+"}, "epochs: got 'auto' beside penalty_path"),
        ({"method": "wae-gan"}, "epochs: got 'auto' beside method 'wae-gan'"),
        ({"patience": 3, "epochs": 5}, "patience: got 3, which needs epochs='auto'"),
        ({"epochs": "autos"}, "expected a whole number of at least 1, or auto"),
    ],
)
def test_it_is_refused_where_it_does_not_apply(options, message, vectors):
    with pytest.raises(LoraeError, match=message):
        lorae.plan(vectors, **{"epochs": "auto"} | options)


def test_the_command_line_says_where_it_ended(vectors, tmp_path, run_cli):
    np.save(tmp_path / "x.npy", vectors)
    words = ("--method", "ae", "--epochs", "auto", "--patience", "1", "--lr", "0.05")
    code, printed, _ = run_cli("train", tmp_path / "x.npy", "--out", tmp_path / "run", *words)
    assert code == 0
    assert "no smaller held-out loss in 1 epochs; weights of epoch" in printed
