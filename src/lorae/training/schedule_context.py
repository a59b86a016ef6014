"""The state of a training that schedules read and change: rank, errors, snapshots, models at points of a path."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lorae.config.resolution import has_pca_floor
from lorae.config.settings import Settings
from lorae.data import Dataset, subsample_evenly
from lorae.errors import LoraeError
from lorae.linalg import principal_axes, streamed_deviations
from lorae.metrics.linear_floor import mean_squares
from lorae.models.observed import squared_errors
from lorae.objectives.objective import Objective
from lorae.optim.proximal_adam import ProximalAdam
from lorae.runs.store import RunStore
from lorae.system.processes import ALONE, Processes
from lorae.system.stored_items import parts, take
from lorae.training.judging import FOLDS, MOST_ASIDE, Folds

# Items set aside to measure the errors that decide on a rank: a tenth, at most as many as give a mean to about 2%.
ASIDE_SHARE = 0.1

# Items to measure whether a model explains half of the variance: few suffice, as training soon passes that share.
PROBED = 256

# Entries of items whose variance is computed at once; of more, in parts, since they take ten times their bytes.
AT_ONCE = 10_000_000

# After fewer steps, a model worse than the mean of all items may only be at the start of learning.
STEPS_TO_JUDGE = 200
# A model has died if its error is this many times that of the mean of all items. A collapsed latent is as good as the
# mean, and may be intended; a small network that learns slowly may be a quarter worse; saturated outputs are far worse.
WORSE_THAN_THE_MEAN = 2.0


def split_training_items(settings: Settings, dataset: Dataset) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Return the inputs to train on, and those that choose the rank or the end of the training, if there are any."""
    inputs = dataset.train.inputs
    if dataset.aside is not None or not settings.holds_out:
        return inputs, dataset.aside
    if has_pca_floor(settings, dataset.kind) and len(inputs) >= FOLDS:
        folds = Folds(len(inputs), settings.split_seed)
        return take(inputs, folds.kept(0)), inputs[folds.held(0)]
    return set_aside(inputs, settings.split_seed)


def set_aside(inputs: NDArray[Any], seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Split training items into those to train on and those set aside, by `seed`; LoraeError for fewer than 3."""
    if len(inputs) < 3:
        raise LoraeError(f"data: {len(inputs)} training items, expected at least 3 to set one aside for a rank")
    count = min(MOST_ASIDE, max(1, round(ASIDE_SHARE * len(inputs))))
    order = np.random.default_rng(seed).permutation(len(inputs))
    return take(inputs, np.sort(order[count:])), inputs[np.sort(order[:count])]


@dataclass
class ScheduleContext:
    """Model, optimizers, some training items and the held-out items of one training, for its schedule.

    Several processes get the same numbers, so that they take the same decisions.
    """

    run: RunStore
    objective: Objective
    optimizers: list[torch.optim.Adam]
    items: NDArray[Any]
    aside: NDArray[Any] | None
    aside_weights: NDArray[np.float64] | None = None
    aside_targets: NDArray[Any] | None = None
    processes: Processes = ALONE

    def __post_init__(self) -> None:
        self.model = self.objective.model
        self.proximal = next((each for each in self.optimizers if isinstance(each, ProximalAdam)), None)
        self.items = subsample_evenly(self.items, MOST_ASIDE)

    def rank(self) -> int:
        """Return the rank of M."""
        assert self.proximal is not None
        return self.processes.from_first(lambda: self.proximal.rank)  # type: ignore[union-attr]

    def error(self) -> float:
        """Return the mean squared error on the held-out items."""
        assert self.aside is not None
        errors = self.processes.of_rows(partial(squared_errors, self.model), self.aside, self.aside_targets)
        return float(np.average(errors, weights=self.aside_weights))

    def held_out_loss(self) -> float:
        """Return the loss of the held-out items: reconstruction, the bottleneck's terms and weighted penalties."""
        assert self.aside is not None
        return self.objective.held_out_loss(self.aside, self.run.settings.batch_size)

    def variance(self) -> float:
        """Return the mean variance of an entry of the held-out items: the error of the best constant."""
        assert self.aside is not None
        of_aside = self.aside, self.aside_weights, self.aside_targets
        return self.processes.from_first(lambda: self._variance(*of_aside))

    def explained(self) -> float:
        """Return the share of the variance of some training items that the model explains."""
        return self.processes.from_first(lambda: self._explained_of(subsample_evenly(self.items, PROBED)))

    def death(self, steps: int) -> str | None:
        """Return the message for a network whose outputs have saturated after `steps` steps, or None."""
        if not self.model.spec.encodes or steps < STEPS_TO_JUDGE:
            return None
        ratio = 1 - self._explained_of(self.items)
        if ratio < WORSE_THAN_THE_MEAN:
            return None
        return (
            f"lr: got {self.run.settings.lr:g}, and training learned nothing: the error is {ratio:.2g} times that of "
            "the mean of all items"
        )

    def cut(self, rank: int) -> None:
        """Project M onto the leading `rank` principal axes of the latents, which singular values of M do not give."""
        assert self.proximal is not None
        _, axes, _ = principal_axes(np.asarray(self.model.encode(self.items)))
        kept = torch.from_numpy(axes[:, :rank].copy())
        matrix = self.proximal.matrix
        with torch.no_grad():
            matrix.copy_(kept @ (kept.mT @ matrix.double().cpu()))
        self.processes.broadcast([matrix.data])

    def snapshot(self) -> list[Tensor]:
        """Copy the weights and the state of the optimizers."""
        return [tensor.detach().clone() for tensor in self._tensors()]

    def restore(self, snapshot: list[Tensor]) -> None:
        """Load a snapshot in place, so that a step recorded as a CUDA graph stays valid."""
        with torch.no_grad():
            for tensor, saved in zip(self._tensors(), snapshot, strict=True):
                tensor.copy_(saved)

    def keep_point(self, name: str) -> None:
        """Store the model under a name, in addition to that of the run."""
        self.run.save_point(self.model, name)

    def return_to_point(self, name: str) -> None:
        """Load the weights of a stored model."""
        self.run.load_point(self.model, name)

    def _explained_of(self, items: NDArray[Any]) -> float:
        """Return the share of the variance of items that the model explains; 1 for items without variance."""
        variance = self._variance(items)
        return 1 - self.model.squared_error(items) / variance if variance > 0 else 1.0

    def _variance(
        self,
        items: NDArray[Any],
        weights: NDArray[np.float64] | None = None,
        targets: NDArray[Any] | None = None,
    ) -> float:
        if weights is None and targets is None and items.size > AT_ONCE:
            _, deviations = streamed_deviations(lambda: (self._scaled(items[rows]) for rows in parts(items)))
            return float(np.square(deviations).mean())
        rows = self._scaled(items)
        if weights is None and targets is None:
            return float(torch.from_numpy(rows).var(0, correction=0).mean())
        centered = rows - np.average(rows, axis=0, weights=weights)
        return float(np.average(mean_squares(centered, targets), weights=weights))

    def _scaled(self, items: NDArray[Any]) -> NDArray[np.float64]:
        """Return items as the networks take them, float64 (n, d)."""
        with torch.inference_mode():
            scaling = self.model.scaling
            scaled = scaling(torch.as_tensor(np.array(items), device=scaling.scale.device))
            rows: NDArray[np.float64] = scaled.double().flatten(1).cpu().numpy()
        return rows

    def _tensors(self) -> list[Tensor]:
        """Return all tensors that training changes, in a fixed order."""
        states = [state for optimizer in self.optimizers for state in optimizer.state.values()]
        moments = [value for state in states for _, value in sorted(state.items()) if isinstance(value, Tensor)]
        return [*self.model.state_dict(keep_vars=True).values(), *moments]
