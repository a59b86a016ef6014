"""Training loop of all classifiers: one network for each seed, with its own items in its own order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch users know
from numpy.typing import NDArray
from torch import Tensor, nn

from lorae.evaluation.classification.checkpoints import TrainingCheckpoint, TrainingCheckpoints, training_key
from lorae.evaluation.classification.protocol import LEARNING_RATE, LabeledData, Plan, Protocol, draw_rows, summary
from lorae.models.chunks import CHUNK
from lorae.optim.adam import FLUSH_EVERY, flush_denormal_moments

# Generators, one for each seed -> a network that maps items (seeds, n, ...) to scores (seeds, n, classes).
Build = Callable[[Sequence[torch.Generator]], nn.Module]


@dataclass(frozen=True)
class Part:
    """Items of each seed: rows, int64 (seeds, n), of items (N, ...) and labels, int64 (N,), shared by all seeds."""

    items: Tensor
    labels: Tensor
    rows: Tensor

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return items (seeds, n, ...) and labels (seeds, n) of rows (seeds, n)."""
        flat = rows.flatten()
        items = self.items.index_select(0, flat)  # four times as fast as items[rows]
        return items.view(*rows.shape, *self.items.shape[1:]), self.labels.index_select(0, flat).view(rows.shape)


def measure(
    data: LabeledData,
    build: Build,
    protocol: Protocol,
    groups: Sequence[list[int]],
    features: str,
    advance: Callable[[int], Any] | None = None,
    trainings: TrainingCheckpoints | None = None,
) -> dict[str, Any]:
    """Return the accuracies of a classifier for each count of labels, with the protocol and the counts left out.

    build: builds the untrained networks of some seeds from their generators
    groups: seeds that are trained side by side
    advance: called with the number of steps done
    trainings: keeps the trainings, so that the same call continues them after a kill
    """
    plans, left_out = protocol.plans(len(data.train), data.classes)
    kept = trainings or TrainingCheckpoints(None)
    rows: dict[str, Any] = {}
    for name, (n, plan) in plans.items():
        parts = [_train(data, build, n, seeds, protocol.protocol, plan, advance, kept) for seeds in groups]
        values, picked = ([each for part in parts for each in part[key]] for key in ("values", "picked"))
        rows[name] = parts[0] | summary(values, n) | {"picked": picked}
    return rows | {"protocol": protocol.describe(data, features), "left_out": left_out}


def _train(
    data: LabeledData,
    build: Build,
    n: int,
    seeds: list[int],
    protocol: str,
    plan: Plan,
    advance: Callable[[int], Any] | None,
    trainings: TrainingCheckpoints,
) -> dict[str, Any]:
    """Train one network for each seed side by side on n labeled items; return their test accuracies."""
    draws = [draw_rows(data.train_labels, n, seed, protocol) for seed in seeds]
    train, train_labels = as_tensor(data.train), as_tensor(data.train_labels)
    labeled, held_out = (Part(train, train_labels, torch.from_numpy(np.stack(r))) for r in zip(*draws, strict=True))
    test = Part(as_tensor(data.test), as_tensor(data.test_labels), torch.arange(len(data.test)).expand(len(seeds), -1))
    judge = test if protocol == "authors_code" else held_out
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    model = build(generators)
    unfinished = trainings.unfinished(n, lambda: training_key(data, model, n, seeds, protocol, plan))
    state = unfinished.read()
    if state is not None and "result" in state:
        if advance is not None:
            advance(plan.steps)
        return dict(state["result"])
    picked = fit(model, labeled, judge, plan, generators, advance, unfinished, state)
    result = summary(accuracy(model, test).tolist(), n) | {"epochs": plan.epochs, "steps": plan.steps, "picked": picked}
    unfinished.write({"result": result})
    return result


class Training:
    """State of a training; the model's parameters have a first dimension of seeds, unless there is only one seed."""

    STATE = ("step", "order", "best", "picked", "kept")

    def __init__(self, model: nn.Module, labeled: Part, batch: int, generators: Sequence[torch.Generator]) -> None:
        self.model = model
        self.optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)
        self.labeled, self.batch, self.generators = labeled, batch, generators
        self.step = 0
        self.order = labeled.rows[:, :0]  # remaining items of the epoch
        self.best = torch.full((len(generators),), -1.0, dtype=torch.float64)
        self.picked = torch.zeros(len(generators), dtype=torch.int64)
        self.kept = [parameter.detach().clone() for parameter in model.parameters()]

    def take_step(self) -> None:
        """Take one step of Adam on the cross entropy of the next items."""
        items, labels = self.labeled.batch(self._next_rows())
        # The mean over a batch and the sum over seeds: each seed's gradient is as if it were alone.
        loss = F.cross_entropy(self.model(items).flatten(0, 1), labels.flatten(), reduction="sum") / labels.shape[1]
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.step += 1
        if self.step % FLUSH_EVERY == 0:
            flush_denormal_moments(self.optimizer)

    def _next_rows(self) -> Tensor:
        """Return rows (seeds, batch), shuffled anew every epoch; the last batch of an epoch may be smaller."""
        if not self.order.shape[1]:
            rows = self.labeled.rows
            order = [torch.randperm(rows.shape[1], generator=generator) for generator in self.generators]
            self.order = rows.gather(1, torch.stack(order))
        batch, self.order = self.order[:, : self.batch], self.order[:, self.batch :]
        return batch

    def judge(self, part: Part) -> None:
        """Keep the weights of each seed whose accuracy on these items exceeds all earlier ones."""
        found = accuracy(self.model, part)
        better = found > self.best
        self.best = torch.where(better, found, self.best)
        self.picked = torch.where(better, self.step, self.picked)
        now = (parameter.detach() for parameter in self.model.parameters())
        self.kept = [
            torch.where(better.view(-1, *[1] * (new.ndim - 1)), new, old)
            for new, old in zip(now, self.kept, strict=True)
        ]

    def finish(self) -> list[int]:
        """Restore the kept weights and return the steps at which they were reached."""
        with torch.no_grad():
            for parameter, value in zip(self.model.parameters(), self.kept, strict=True):
                parameter.copy_(value)
        return [int(step) for step in self.picked]

    def state(self) -> dict[str, Any]:
        """Return everything except the items."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generators": [generator.get_state() for generator in self.generators],
            **{name: getattr(self, name) for name in self.STATE},
        }

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        for generator, found in zip(self.generators, state["generators"], strict=True):
            generator.set_state(found)
        for name in self.STATE:
            setattr(self, name, state[name])


def fit(
    model: nn.Module,
    labeled: Part,
    judge: Part,
    plan: Plan,
    generators: Sequence[torch.Generator],
    advance: Callable[[int], Any] | None = None,
    unfinished: TrainingCheckpoint | None = None,
    state: dict[str, Any] | None = None,
) -> list[int]:
    """Train from `state` on; leave each seed with its first most accurate weights on `judge`, and return their step."""
    training, unfinished = Training(model, labeled, plan.batch, generators), unfinished or TrainingCheckpoint(None)
    if state is not None:
        training.load(state)
    if advance is not None and training.step:
        advance(training.step)
    model.train()
    while training.step < plan.steps:
        training.take_step()
        if training.step in plan.judged_after:
            training.judge(judge)
        if unfinished.is_due:
            unfinished.write(training.state())
        if advance is not None:
            advance(1)
    return training.finish()


def accuracy(model: nn.Module, part: Part) -> Tensor:
    """Return the share of correctly classified items for each seed, float64 (seeds,), without dropout."""
    right = torch.zeros(len(part.rows), dtype=torch.float64)
    training = model.training
    model.eval()
    with torch.no_grad():
        for rows in torch.split(part.rows, CHUNK, dim=1):
            items, labels = part.batch(rows)
            right += (model(items).argmax(-1) == labels).sum(1)
    model.train(training)
    return right / part.rows.shape[1]


def as_tensor(values: NDArray[Any]) -> Tensor:
    """Return a tensor that shares the memory, or a copy of a read-only array, for which torch would warn."""
    return torch.from_numpy(values if values.flags.writeable else values.copy())
