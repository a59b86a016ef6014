"""Losses, ranks and speed of a training: the lines of `stats.jsonl` and of the progress bar."""

import math
import time
import warnings
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from lorae.errors import DivergedError, LoraeWarning
from lorae.metrics.spectrum import latent_spectrum
from lorae.objectives.objective import Objective
from lorae.optim.proximal_adam import ProximalAdam
from lorae.runs.store import RunStore
from lorae.system.processes import ALONE, Processes
from lorae.training.step import StepResult


@dataclass
class Statistics:
    """Collected results of steps, written as means, and a record for each epoch."""

    run: RunStore
    objective: Objective
    proximal: ProximalAdam | None
    steps_per_epoch: int
    processes: Processes = ALONE
    waited: float | None = None  # seconds so far in which steps waited for items of a file
    _waited_before: float = 0.0
    _results: list[StepResult] = field(default_factory=list)
    _penalty_factors: list[float] = field(default_factory=list)
    _items: int = 0

    def __post_init__(self) -> None:
        self.model = self.objective.model
        # Enough recent latents for a covariance of full rank.
        batches = math.ceil(4 * self.model.spec.latent_dim / self.run.settings.batch_size)
        self._latents: deque[Tensor] = deque(maxlen=max(2, batches))

    def start(self, seconds: float) -> None:
        """Start the clock; `seconds` of training came before."""
        self._started = time.perf_counter() - seconds
        self.restart_speed()

    def restart_speed(self) -> None:
        """Measure the speed of the steps that follow only."""
        self._line_started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds of training so far."""
        return time.perf_counter() - self._started

    def epoch(self, step: int) -> int:
        """Return the epoch, from 1, of the last of `step` steps."""
        return max(1, math.ceil(step / self.steps_per_epoch))

    def add(self, result: StepResult, items: int, penalty_factor: float) -> None:
        """Add a step on `items` items; `penalty_factor` is the schedule's, on the weights of the penalties."""
        self._results.append(result)
        self._penalty_factors.append(penalty_factor)
        self._items += items
        self._latents.append(result.latents)

    def write_steps(self, step: int) -> str | None:
        """Write the means since the last call; return them for the progress bar, None without a step in between.

        Raises DivergedError for a loss that is not finite.
        """
        if not self._results:
            return None
        names = self._results[0].names
        # Of all processes at once, since no step needs to wait for a sum.
        rows = self.processes.summed(torch.stack([result.values for result in self._results]).double().cpu())
        broken = (~rows.isfinite().all(dim=1)).nonzero()
        if len(broken):
            index = int(broken[0])
            found = ", ".join(f"{name} {value:g}" for name, value in zip(names, rows[index].tolist(), strict=True))
            raise self.diverged(step - len(rows) + index + 1, found)
        elapsed = time.perf_counter() - self._line_started
        speed, waiting = self._items / elapsed, None
        if self.waited is not None:
            waiting, self._waited_before = (self.waited - self._waited_before) / elapsed, self.waited
        terms = dict(zip(names, rows.mean(0).tolist(), strict=True))
        loss = terms.pop("loss")
        factor = sum(self._penalty_factors) / len(self._penalty_factors)
        weights = {
            name: weight if name == "reconstruction" else weight * factor
            for name, weight in self.objective.weights.items()
        }
        rank = self._rank()
        values = {"loss": loss, "terms": terms, "weights": weights, "rank": rank}
        if waiting is not None:
            values["data_wait"] = round(waiting, 4)
        self._append("step", step, values, speed, self.seconds)
        self._results.clear()
        self._penalty_factors.clear()
        self._items = 0
        self.restart_speed()
        kind = "rank" if self.proximal is None else "exact rank"
        means = "  ".join(f"{name} {value:.4g}" for name, value in terms.items())
        data = "" if waiting is None else f"  waiting for data {waiting:.0%}"
        return f"{kind} {rank}  {speed:,.0f}/s{data}  {means}"

    def write_epoch(self, step: int, monitored: NDArray[Any], error: float | None, items: int) -> dict[str, Any]:
        """Write error and rank on the monitored test items after an epoch, and return them.

        `items` is the number of items of an epoch.
        """
        seconds = self.seconds
        spectrum = self.model.spectrum(monitored, "test") if self.model.spec.encodes else None
        rank = None if spectrum is None or spectrum.limited else spectrum.rank
        values = {"test_mse": error, "rank": rank, "n": len(monitored)}
        self._append("epoch", step, values, self.epoch(step) * items / seconds, seconds)
        return values

    def diverged(self, step: int, found: str) -> DivergedError:
        """Return the error for values that are not finite after a step."""
        assert self.run.settings.lr is not None
        smaller = f"{self.run.settings.lr / 10:g}"
        return DivergedError(
            f"loss: not finite at step {step} (epoch {self.epoch(step)}): {found}; try lr={smaller} in a new run; "
            f"last good checkpoint: {self.run.last_checkpoint or 'none'}",
            settings={"lr": smaller},
        )

    def _append(self, event: str, step: int, values: dict[str, Any], speed: float, seconds: float) -> None:
        place = {"event": event, "step": step, "epoch": self.epoch(step)}
        self.run.append_stats(
            place | values | {"images_per_second": round(speed, 1), "seconds": round(seconds, 3)},
        )

    def _rank(self) -> int | None:
        """Return the rank of M where it is exact, else that of recent latents; None without any."""
        if self.proximal is not None:
            return self.proximal.rank
        latents = torch.cat([*self._latents]).float().cpu().numpy()
        encodes = self.model.spec.encodes
        return latent_spectrum(latents, "training").rank if encodes and len(latents) > 1 else None

    def warn_of_gaps(self, step: int, apart: int) -> None:
        """Warn of epochs before a step without a record, as in a file that was cut; one is due every `apart` steps."""
        recorded = {record["step"] for record in self.run.stats("epoch")}
        ends = range(apart, step + 1, apart)
        missing = [end for end in ends if end not in recorded]
        if missing:
            warnings.warn(
                f"stats.jsonl: {len(missing)} of {len(ends)} epochs before step {step} have no record, from step "
                f"{missing[0]} on; the training goes on from its checkpoint, but curves and reports have a gap there",
                LoraeWarning,
                stacklevel=4,
            )
