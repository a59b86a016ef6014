"""The only training loop."""

import math
import time
from collections import deque
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from torch import Tensor

from lorae.config.methods import get_method
from lorae.data import Dataset
from lorae.errors import DivergedError, LoraeError
from lorae.metrics.spectrum import latent_spectrum
from lorae.models.autoencoder import Autoencoder
from lorae.optim.adam import FLUSH_EVERY, flush_denormal_moments, restore_optimizer, set_learning_rate
from lorae.optim.proximal_adam import SHRINK_EVERY
from lorae.runs.in_memory import InMemoryRun
from lorae.runs.run import Run
from lorae.system.hardware import keep_freed_memory, memory_format, threads
from lorae.system.progress import progress_bar
from lorae.system.signals import Interrupted, stop_requests
from lorae.training.builders import build_model, build_objective
from lorae.training.schedule_context import ScheduleContext, set_aside
from lorae.training.schedule_factory import build_schedule
from lorae.training.schedules import StepConfig
from lorae.training.step import build_optimizers, build_step

# Seconds since the last checkpoint below which the end of an epoch writes none, and the same as a multiple of the time
# that writing took: so it takes a twentieth of the training at most. On a GPU that holds for all but the last one: the
# default of 500 steps takes 0.3 s there, and the 390 MB of the network for faces longer to write.
CHECKPOINT_PAUSE, CHECKPOINT_SHARE = 1.0, 1 / 20

# Test items measured at the end of every epoch: enough to see the trend, about 1% of an epoch's time.
MONITORED = 2000


class Trainer:
    """Trains the model of a run from its last checkpoint, or from the start, to its last epoch.

    Order of batches depends on seed and epoch alone, so nothing of it has to be stored. A step's losses are checked
    to be finite before anything is written, so the checkpoint is always a good one.
    """

    def __init__(self, run: Run | InMemoryRun, dataset: Dataset, *, quiet: bool = False) -> None:
        self.run = run
        self.settings = run.settings
        self.dataset = dataset
        self.quiet = quiet
        self.device = torch.device(self.settings.device)
        layout = memory_format(self.settings.device, self.settings.precision)
        self.model = build_model(self.settings, dataset).to(self.device)
        self.model.to(memory_format=layout)  # type: ignore[call-overload]
        self.objective = build_objective(self.settings, self.model)
        assert self.settings.lr is not None
        self.optimizers = build_optimizers(self.objective, self.settings.lr, get_method(self.settings.method).beta1)
        self.take_step = build_step(
            self.objective,
            self.optimizers,
            layout,
            batch_size=self.settings.batch_size,
            capture=self.settings.capture == "auto" and not self.objective.reads_back,
        )
        inputs, aside = np.asarray(dataset.train.inputs), None
        if self.settings.measures_ranks:
            inputs, aside = set_aside(inputs, self.settings.split_seed)
        self.items = torch.from_numpy(inputs)
        self.context = ScheduleContext(run, self.model, self.optimizers, inputs, aside)
        if self.device.type == "cuda":
            self.items = self.items.to(self.device)
        else:
            keep_freed_memory()
        self.proximal = self.context.proximal
        self.step = 0
        self._now: StepConfig | None = None
        self.seconds = 0.0
        self._saved_at = -math.inf
        self._saving = 0.0
        self._stopping = False
        self._rows: list[Tensor] = []
        self._scales: list[float] = []
        self._items_since_line = 0
        self.schedule = build_schedule(self.settings, self.total_steps, self.steps_per_epoch)
        # Enough recent latents for a covariance of full rank.
        batches = math.ceil(4 * self.model.spec.latent_dim / self.settings.batch_size)
        self._recent: deque[Tensor] = deque(maxlen=max(2, batches))
        self._order: tuple[int, Tensor] | None = None

    @property
    def steps_per_epoch(self) -> int:
        """The last batch of an epoch may be smaller; it is trained on all the same."""
        return math.ceil(len(self.items) / self.settings.batch_size)

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        assert self.settings.epochs is not None
        return self.steps_per_epoch * self.settings.epochs

    @property
    def epoch(self) -> int:
        """The epoch, from 1, of the last step taken."""
        return max(1, math.ceil(self.step / self.steps_per_epoch))

    def fit(self) -> Autoencoder:
        """Train to the end and give back the model, on the CPU in evaluation mode.

        Raises DivergedError for a loss that is not finite and Interrupted after SIGINT or SIGTERM.
        """
        devices = [self.device] if self.device.type == "cuda" else []
        with (
            self.run.locked(),
            torch.random.fork_rng(devices=devices),
            threads(self.run.config["machine"]["threads"]),
            stop_requests() as stop,
            progress_bar(self.quiet) as bar,
        ):
            torch.manual_seed(self.settings.seed)
            self._restore()
            self.model.train()
            task = bar.add_task(self._title(), total=self.total_steps, completed=self.step, note="")
            self._started = self._line_started = time.perf_counter()
            while self.step < self.total_steps:
                self._one_step(bar, task)
                if stop:
                    self._stopping = True
                    self._checkpoint(bar, task)
                    raise Interrupted(
                        f"stopped after step {self.step} of {self.total_steps}; "
                        f"continue with `lorae resume {self.run.path}`"
                    )
        self.model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        return self.model.cpu().eval()

    def _one_step(self, bar: Progress, task: Any) -> None:
        self._follow_schedule()
        self.objective.before_step(self.step)
        items = self._batch()
        try:
            row, latents = self.take_step(items)
        except torch.OutOfMemoryError as error:
            raise self._out_of_memory(len(items)) from error
        self.step += 1
        self._rows.append(row)
        self._items_since_line += len(items)
        self._recent.append(latents)
        if self.step % FLUSH_EVERY == 0 and self.device.type == "cpu":
            for optimizer in self.optimizers:
                flush_denormal_moments(optimizer)
        end_of_epoch = self.step % self.steps_per_epoch == 0
        phase = self.schedule.needs_update(self.step)
        if self.proximal is not None and (phase or end_of_epoch or self.step % SHRINK_EVERY == 0):
            self._shrink()
        if phase:
            self.schedule.update(self.step, self.context)
            self.objective.relinearize()  # M may be another by now
        if end_of_epoch or self.step % self.settings.checkpoint_every == 0:
            self._checkpoint(bar, task, end_of_epoch=end_of_epoch)
        elif self.step % self.settings.log_every == 0:
            self._log(bar, task)

    def _batch(self) -> Tensor:
        epoch, position = divmod(self.step, self.steps_per_epoch)
        if self._order is None or self._order[0] != epoch:
            generator = torch.Generator().manual_seed(self.settings.seed * 1_000_003 + epoch)
            order = torch.randperm(len(self.items), generator=generator)
            self._order = epoch, order.to(self.device)
        start = position * self.settings.batch_size
        return self.items[self._order[1][start : start + self.settings.batch_size]]

    def _out_of_memory(self, items: int) -> LoraeError:
        smaller = f"try --batch-size {items // 2}" if items > 1 else "try a smaller --width"
        kept = self.run.last_checkpoint or "none"
        return LoraeError(
            f"batch_size: got {items}, but a step needs more memory than the GPU has left; {smaller} in a new run, or "
            f"--device cpu; last good checkpoint: {kept}"
        )

    def _follow_schedule(self) -> None:
        now = self.schedule.step_config(self.step)
        self._scales.append(now.penalty)
        if now == self._now:  # on a GPU each of the following is a launch
            return
        self._now = now
        assert self.settings.lr is not None
        for optimizer in self.optimizers:
            set_learning_rate(optimizer, self.settings.lr * now.lr)
        self.objective.penalty_scale.fill_(now.penalty)
        if self.proximal is not None:
            self.proximal.weight.fill_(self.settings.penalties["nuclear"] * now.penalty)

    def _shrink(self) -> None:
        """Proximal steps on M that have added up, within the bound that held for the step just taken."""
        assert self.proximal is not None
        assert self._now is not None
        self.proximal.shrink(self._now.max_rank)
        self.objective.proximal_norm.copy_(self.proximal.norm)

    def _log(self, bar: Progress, task: Any) -> None:
        """Check the losses since the last line, write their mean, show it."""
        if not self._rows:
            return
        rows = torch.stack(self._rows).double().cpu()
        self._refuse_non_finite(rows)
        now = time.perf_counter()
        speed = self._items_since_line / (now - self._line_started)
        loss, *values = rows.mean(0).tolist()
        terms = dict(zip(self.objective.weights, values, strict=True))
        scale = sum(self._scales) / len(self._scales)
        weights = {
            name: weight if name == "reconstruction" else weight * scale
            for name, weight in self.objective.weights.items()
        }
        rank = self._rank()
        self.run.append_stats(
            {
                "event": "step",
                "step": self.step,
                "epoch": self.epoch,
                "loss": loss,
                "terms": terms,
                "weights": weights,
                "rank": rank,
                "images_per_second": round(speed, 1),
                "seconds": round(self._total_seconds(), 3),
            }
        )
        self._rows.clear()
        self._scales.clear()
        self._items_since_line = 0
        self._line_started = time.perf_counter()
        note = f"{speed:,.0f}/s  " + "  ".join(f"{name} {value:.4g}" for name, value in terms.items())
        kind = "rank" if self.proximal is None else "exact rank"
        bar.update(task, completed=self.step, description=self._title(), note=f"{note}  {kind} {rank}")

    def _rank(self) -> int | None:
        """That of M where it is exact, else that of recent latents; None without any."""
        if self.proximal is not None:
            return self.proximal.rank
        latents = torch.cat([*self._recent]).float().cpu().numpy()
        encodes = self.model.spec.encodes
        return latent_spectrum(latents, "training").rank if encodes and len(latents) > 1 else None

    def _refuse_non_finite(self, rows: Tensor) -> None:
        bad = (~rows.isfinite().all(dim=1)).nonzero()
        if len(bad):
            index = int(bad[0])
            step = self.step - len(rows) + index + 1
            names = ["loss", *self.objective.weights]
            found = ", ".join(f"{n} {v:g}" for n, v in zip(names, rows[index].tolist(), strict=True))
            raise self._diverged(step, found)

    def _diverged(self, step: int, found: str) -> DivergedError:
        kept = self.run.last_checkpoint or "none"
        return DivergedError(
            f"loss: not finite at step {step} (epoch {math.ceil(step / self.steps_per_epoch)}): {found}; "
            f"try --lr below {self.settings.lr:g} in a new run; last good checkpoint: {kept}"
        )

    def _checkpoint(self, bar: Progress, task: Any, *, end_of_epoch: bool = False) -> None:
        self._log(bar, task)
        # The last update may have broken what the losses before it do not show yet.
        monitored = self.dataset.test.inputs[: MONITORED if end_of_epoch else self.settings.batch_size]
        error = self._test_error(monitored)
        finite = all(bool(parameter.isfinite().all()) for parameter in self.model.parameters())
        if not finite or (error is not None and not math.isfinite(error)):
            raise self._diverged(self.step, f"test error {error}")
        if end_of_epoch:
            self._log_epoch(monitored, error)
        if self._saves_now(end_of_epoch):
            self._save()
        # It counts as time of training, but not in the speed of the steps that follow.
        self._line_started = time.perf_counter()

    def _saves_now(self, end_of_epoch: bool) -> bool:
        if self.step == self.total_steps or self._stopping:
            return True
        asked = not end_of_epoch or self.step % self.settings.checkpoint_every == 0
        pause = max(CHECKPOINT_PAUSE, self._saving / CHECKPOINT_SHARE)
        return (asked and self.device.type == "cpu") or time.perf_counter() - self._saved_at >= pause

    def _save(self) -> None:
        started = time.perf_counter()
        state = {
            "model": self.model.state_dict(),
            "adversary": self.objective.modules.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "course": self.schedule.state(),
            "step": self.step,
            "seconds": self._total_seconds(),
            "data": self.dataset.fingerprint,
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state() if self.device.type == "cuda" else None,
        }
        self.run.save_checkpoint(state)
        self._saved_at = time.perf_counter()
        self._saving = self._saved_at - started

    def _total_seconds(self) -> float:
        return self.seconds + time.perf_counter() - self._started

    def _test_error(self, items: NDArray[Any]) -> float | None:
        """Mean squared error, or None for a generator, which reconstructs nothing."""
        return self.model.squared_error(items) if self.model.spec.encodes else None

    def _log_epoch(self, monitored: NDArray[Any], error: float | None) -> None:
        seconds = self._total_seconds()
        record = {
            "event": "epoch",
            "step": self.step,
            "epoch": self.epoch,
            "test_mse": error,
            "rank": self.model.spectrum(monitored, "test").rank if self.model.spec.encodes else None,
            "n": len(monitored),
            "images_per_second": round(self.epoch * len(self.items) / seconds, 1),
            "seconds": round(seconds, 3),
        }
        self.run.append_stats(record)

    def _restore(self) -> None:
        state = self.run.load_checkpoint()
        if state is None:
            self.run.truncate_stats(0)
            return
        if state["data"] != self.dataset.fingerprint:
            raise LoraeError(
                f"data: {self.dataset.name!r} has fingerprint {self.dataset.fingerprint[:12]}, "
                f"expected {state['data'][:12]} (from {self.run.last_checkpoint}): the files have changed"
            )
        try:
            self.model.load_state_dict(state["model"])
            self.objective.modules.load_state_dict(state["adversary"])
            for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                restore_optimizer(optimizer, saved)
        except (RuntimeError, ValueError, KeyError) as error:
            reason = str(error).splitlines()[0]
            raise LoraeError(f"{self.run.last_checkpoint}: does not hold this model ({reason})") from None
        self._now = None  # the optimizers' rates are the checkpoint's
        self.schedule.restore(state["course"])
        self.step, self.seconds = state["step"], state["seconds"]
        if self.proximal is not None:
            self.objective.proximal_norm.copy_(self.proximal.norm)
        torch.set_rng_state(state["rng"])
        if state["cuda_rng"] is not None:
            torch.cuda.set_rng_state(state["cuda_rng"])
        self.run.truncate_stats(self.step)

    def _title(self) -> str:
        return f"{self.settings.method} epoch {self.epoch}/{self.settings.epochs}"
