"""The training loop."""

import contextlib
import math
from collections.abc import Iterator
from functools import partial
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from lorae.config.methods import get_method
from lorae.data import Dataset, subsample_evenly
from lorae.errors import LoraeError, shell_command
from lorae.isolation import isolated
from lorae.models.autoencoder import Autoencoder
from lorae.models.linear_path import limit_corrections
from lorae.models.observed import squared_errors
from lorae.objectives.objective import Objective
from lorae.objectives.parts import Parts
from lorae.optim.adam import FLUSH_EVERY, flush_denormal_moments, set_learning_rate
from lorae.optim.proximal_adam import SHRINK_EVERY
from lorae.randomness import drawing_from
from lorae.runs.store import RunStore
from lorae.system.hardware import keep_freed_memory, memory_format, threads
from lorae.system.processes import ALONE, PeerLostError, Processes, lost_peers
from lorae.system.progress import progress_bar
from lorae.system.signals import Interrupted, stop_requests
from lorae.system.stored_items import take
from lorae.training.batches import Batches
from lorae.training.best_weights import BestWeights
from lorae.training.builders import build
from lorae.training.callbacks import CallbackError, Callbacks, Progress
from lorae.training.checkpointing import Checkpoints
from lorae.training.epoch_order import epoch_order
from lorae.training.schedule_context import ScheduleContext, split_training_items
from lorae.training.schedule_factory import schedule_of
from lorae.training.schedules import StepConfig
from lorae.training.shared_run import SharedRun
from lorae.training.statistics import Statistics
from lorae.training.step import build_optimizers, build_step

# Test items measured after every epoch: enough to show the trend, about 1% of an epoch's time.
MONITORED = 2000

# Steps between two records of a training with items aside of its own, one of many whose errors are measured otherwise.
# A short training has this number of records.
RECORDED, SHORT = 50, 10

# Asks all processes to stop for a callback that has failed, as the number of a signal asks for its sake.
FAILED = 1000

# Training items that set the limits of the corrections to a linear path.
LIMITING = 10_000


def limited(model: Autoencoder, dataset: Dataset) -> Autoencoder:
    """Return a trained model after limiting its corrections to a linear path to the range of training items."""
    limit_corrections(model, subsample_evenly(dataset.train.inputs, LIMITING))
    return model


def _request(failure: CallbackError | None, stop: list[int]) -> int:
    """Return what this process asks all of them for: to stop for a failure or a signal, or nothing, 0."""
    return FAILED if failure is not None else stop[-1] if stop else 0


class Trainer:
    """Training of a run's model from the last checkpoint, or from the start, to the last epoch.

    The order of batches depends on seed and epoch alone, so it is not stored. Losses are checked to be finite before
    anything is written, so every checkpoint holds a usable model. `objective` is the one that `build` gives.
    Several `processes` train one model: each has a trainer, computes its part of every batch, and takes the same
    steps; the first one writes the run.
    """

    @isolated()
    def __init__(
        self,
        run: RunStore,
        dataset: Dataset,
        objective: Objective | None = None,
        *,
        best: BestWeights | None = None,
        callbacks: Callbacks | None = None,
        quiet: bool = False,
        processes: Processes = ALONE,
    ) -> None:
        self.processes = processes
        self.run = run = run if processes.alone else SharedRun(run, processes)
        self.settings = run.settings
        self.dataset = dataset
        self.quiet = quiet or not processes.first
        self.best = best
        self.callbacks = callbacks or Callbacks()
        self._events: list[tuple[str, dict[str, Any]]] = []
        self.device = torch.device(self.settings.device)
        self.objective = objective or build(self.settings, dataset, run.networks)
        self.model = self.objective.model
        own = self.model.networks is not None
        parts = Parts(processes, self.settings.accumulate, foreign_networks=own, seed=self.settings.seed)
        self.objective.split(parts)
        assert self.settings.lr is not None
        self.optimizers = build_optimizers(self.objective, self.settings.lr, get_method(self.settings.method).beta1)
        self.take_step = build_step(
            self.objective,
            self.optimizers,
            memory_format(self.settings.device, self.settings.precision),
            batch_size=self.settings.batch_size,
            clip_gradients=self.settings.clip_gradients,
            capture=self.settings.capture == "auto" and not self.objective.reads_back,
        )
        inputs, aside = split_training_items(self.settings, dataset)
        self.items = Batches(inputs, self.device)
        targets = dataset.train.targets
        self.targets = None if targets is None else torch.from_numpy(np.asarray(targets)).to(self.device)
        weights, targets_aside = (None, None) if best is None else (best.item_weights, best.targets)
        self.context = ScheduleContext(
            run, self.objective, self.optimizers, inputs, aside, weights, targets_aside, processes
        )
        if self.device.type != "cuda":
            keep_freed_memory()
        self.proximal = self.context.proximal
        self.step = 0
        self.generator = torch.Generator("cpu").manual_seed(self.settings.seed)
        self.schedule = schedule_of(self.settings, self.steps_per_epoch)
        # Of few items an epoch is a few steps, which take less time than measuring the model.
        apart = 1 if dataset.aside is None else min(RECORDED, self.total_steps // SHORT)
        epochs = max(1, math.ceil(apart / self.steps_per_epoch))
        self.steps_per_record = epochs * self.steps_per_epoch
        self.statistics = Statistics(run, self.objective, self.proximal, self.steps_per_epoch, processes)
        self.checkpoints = Checkpoints(run, dataset, self.objective, self.optimizers, self.schedule, self.generator)
        self._config: StepConfig | None = None
        self._order: tuple[int, Tensor] | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch; its last batch may be smaller."""
        return math.ceil(len(self.items) / self.settings.batch_size)

    @property
    def total_steps(self) -> int:
        """Steps of the whole run; with `epochs` auto the largest number, until the schedule has chosen one."""
        return self.schedule.total_steps

    @isolated()
    def fit(self) -> Autoencoder:
        """Train to the end; return the model, on the CPU in evaluation mode.

        Raises DivergedError for a loss that is not finite, Interrupted after SIGINT or SIGTERM, and LoraeError for an
        exception in a callback; after the latter two the training can be resumed.
        """
        with (
            self.run.locked(),
            self._own_draws(),
            threads(self.run.threads),
            stop_requests() as stop,
            progress_bar(self.quiet) as bar,
            contextlib.closing(self.callbacks),
            contextlib.closing(self.items),
        ):
            self._restore()
            self.model.train()
            task = bar.add_task(self._title(), total=self.total_steps, completed=self.step, note="")
            self._show = partial(bar.update, task)
            self._steps_are_heard = self.processes.from_first(lambda: self.callbacks.listen_to("on_step_end"))
            failure: CallbackError | None = None
            request = 0
            while self.step < self.total_steps:
                self._one_step()
                failure = failure or self._call_back()
                request = self.processes.requested(_request(failure, stop))
                if request:
                    break
                if self.best is not None and self.best.stalled(self.step / self.total_steps):
                    break
            if request := request or self.processes.last_request(_request(failure, stop)):
                self._stop(request, failure)
        if self.best is not None:
            self.best.load_into(self.model)
        self.model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        return limited(self.model.cpu().eval(), self.dataset)

    def _call_back(self) -> CallbackError | None:
        """Call the callbacks for everything that happened in the last step; return the error of one."""
        events, self._events = self._events, []
        for name, values in events:
            place = (self.step, self.statistics.epoch(self.step), self.total_steps)
            try:
                self.callbacks.call(name, Progress(self.run, self.model, *place, values))
            except CallbackError as error:
                return error
        return None

    def _stop(self, request: int, failure: CallbackError | None) -> NoReturn:
        """Save the training and end it, for the number of a signal or for a callback that has failed."""
        self._checkpoint(last=True)
        self.processes.wait()  # torchrun ends the others as soon as one has ended
        if failure is not None:
            raise LoraeError(f"{failure}; {self._saved()}") from failure.__cause__
        if request == FAILED:
            raise PeerLostError("callbacks: one has failed in the first process")
        raise Interrupted(self._saved(), request)

    def _saved(self) -> str:
        return (
            f"after step {self.step} of {self.total_steps}, which is saved; "
            f"continue with `{shell_command('resume', self.run.path)}`"
        )

    @contextlib.contextmanager
    def _own_draws(self) -> Iterator[None]:
        """Draw from the generator of this training; on a GPU from torch's, which graphs record, restored after."""
        before = torch.cuda.get_rng_state() if self.device.type == "cuda" else None
        try:
            if before is not None:
                torch.cuda.manual_seed(self.settings.seed)
            with drawing_from(self.generator, everything=self.objective.has_foreign_parts):
                yield
        finally:
            if before is not None:
                torch.cuda.set_rng_state(before)

    def _one_step(self) -> None:
        config = self._follow_schedule()
        self.objective.before_step(self.step)
        batch = self._rows()
        rows = batch[self.objective.parts.begin(len(batch), self.step)]
        items = self.items[rows]
        if self.items.stored is not None and self.step + 1 < self.total_steps:
            ahead = self._rows_of(self.step + 1)
            self.items.expect(ahead[self.processes.share(len(ahead))])
        try:
            with contextlib.nullcontext() if self.processes.alone else lost_peers():
                result = self.take_step(items) if self.targets is None else self.take_step(items, self.targets[rows])
        except torch.OutOfMemoryError as error:
            raise self._out_of_memory(len(batch)) from error
        self.step += 1
        self._show(completed=self.step)
        self.statistics.add(result, len(batch), config.penalty)
        self.statistics.waited = self.items.waited
        if self._steps_are_heard:
            values = self.processes.summed(result.values)
            self._events.append(("on_step_end", dict(zip(result.names, values.unbind(), strict=True))))
        if self.step % FLUSH_EVERY == 0 and self.device.type == "cpu":
            for optimizer in self.optimizers:
                flush_denormal_moments(optimizer)
        end_of_epoch = self.step % self.steps_per_record == 0 or self.step == self.total_steps
        schedule_changes = self.schedule.needs_update(self.step)
        shrinks = schedule_changes or end_of_epoch or self.step % SHRINK_EVERY == 0
        if self.proximal is not None and shrinks:
            # Within the bound of the step just taken.
            self.proximal.shrink(config.max_rank)
            self.objective.proximal_norm.copy_(self.proximal.norm)
        if schedule_changes:
            self.schedule.update(self.step, self.context)
            self.objective.relinearize()  # the schedule may have changed M
            if self.proximal is not None:
                self.objective.proximal_norm.copy_(self.proximal.norm)
        if self.best is not None and shrinks and self.schedule.rank_is_final(self.step):
            self.best.update(self.step / self.total_steps, self.model)
        if end_of_epoch or self.step % self.settings.checkpoint_every == 0:
            self._checkpoint(end_of_epoch=end_of_epoch)
        elif self.step % self.settings.log_every == 0:
            self._log()

    def _follow_schedule(self) -> StepConfig:
        """Set learning rate and penalty weight for the next step."""
        config = self.schedule.step_config(self.step)
        if config != self._config:  # on a GPU each of the following is a launch
            self._config = config
            assert self.settings.lr is not None
            for optimizer in self.optimizers:
                set_learning_rate(optimizer, self.settings.lr * config.lr)
            self.objective.penalty_scale.fill_(config.penalty)
            if self.proximal is not None:
                self.proximal.weight.fill_(self.settings.penalties["nuclear"] * config.penalty)
        return config

    def _rows(self) -> Tensor:
        """Return the rows of the items of the next step."""
        return self._rows_of(self.step)

    def _rows_of(self, step: int) -> Tensor:
        epoch, position = divmod(step, self.steps_per_epoch)
        if self._order is None or self._order[0] != epoch:
            generator = torch.Generator("cpu").manual_seed(self.settings.seed * 1_000_003 + epoch)
            order = epoch_order(len(self.items), self.dataset.train.weights, generator)
            self._order = epoch, order.to(self.items.index_device)
        start = position * self.settings.batch_size
        return self._order[1][start : start + self.settings.batch_size]

    def _log(self) -> None:
        note = self.statistics.write_steps(self.step)
        if note is not None:
            self._show(completed=self.step, total=self.total_steps, description=self._title(), note=note)

    def _checkpoint(self, *, end_of_epoch: bool = False, last: bool = False) -> None:
        """Write statistics, and a checkpoint where one is due; DivergedError for a model that is not finite."""
        self._log()
        self.objective.parts.check_draws(self.generator, self.device)
        # The last update may have broken the model after its loss was computed.
        test, count = self.dataset.test, MONITORED if end_of_epoch else self.settings.batch_size
        monitored, targets = take(test.inputs, slice(count)), None if test.targets is None else test.targets[:count]
        error = None
        if self.model.spec.encodes:
            errors = self.processes.of_rows(partial(squared_errors, self.model), monitored, targets)
            error = float(errors.mean())
        finite = all(bool(parameter.isfinite().all()) for parameter in self.model.parameters())
        if not finite or (error is not None and not math.isfinite(error)):
            raise self.statistics.diverged(self.step, f"test error {error}")
        if end_of_epoch and self.processes.first:
            record = self.statistics.write_epoch(self.step, monitored, error, len(self.items))
            self._events.append(("on_epoch_end", record))
        scheduled = not end_of_epoch or self.step % self.settings.checkpoint_every == 0
        if last or self.step == self.total_steps or self.checkpoints.due(scheduled=scheduled):
            self.checkpoints.save(self.step, self.statistics.seconds)
            self._events.append(("on_checkpoint", {"path": self.run.last_checkpoint}))
        # Counted as time of training, but not in the speed of the steps that follow.
        self.statistics.restart_speed()

    def _restore(self) -> None:
        self.step, seconds = self.checkpoints.restore()
        self.statistics.start(seconds)
        self._config = None  # the optimizers have the rates of the checkpoint
        if self.step > 0 and self.processes.first:
            self.statistics.warn_of_gaps(self.step, self.steps_per_record)
        if self.step > 0 and self.proximal is not None:
            self.objective.proximal_norm.copy_(self.proximal.norm)

    def _out_of_memory(self, items: int) -> LoraeError:
        name, value = ("batch_size", f"{items // 2}") if items > 1 else ("width", f"{self.settings.width / 2:g}")
        parts = 2 * self.settings.accumulate
        return LoraeError(
            f"batch_size: got {items}, but a step needs more memory than the GPU has left; try {name}={value} or "
            f"accumulate={parts} (the same result) in a new run, or device='cpu'; "
            f"last good checkpoint: {self.run.last_checkpoint or 'none'}",
            settings={name: value, "accumulate": parts, "device": "cpu"},
        )

    def _title(self) -> str:
        return f"{self.settings.method} epoch {self.statistics.epoch(self.step)}/{self.settings.epochs}"
