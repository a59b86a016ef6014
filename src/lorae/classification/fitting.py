"""The one training loop of all classifiers: a stack of them, one a seed, each on its own items in its own order."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch users know
from numpy.typing import NDArray
from torch import Tensor, nn

from lorae.classification.protocol import LEARNING_RATE, LabelledData, Plan, Rows, draw_rows, summary
from lorae.model import CHUNK
from lorae.steps import clear_faded_averages
from lorae.training import CLEAR_EVERY

# Generators, one a seed -> a network that maps items (seeds, n, ...) to scores (seeds, n, classes).
Build = Callable[[Sequence[torch.Generator]], nn.Module]


@dataclass(frozen=True)
class Part:
    """Items for each seed: rows, int64 (seeds, n), of items (N, ...) and of labels, int64 (N,), that seeds share."""

    items: Tensor
    labels: Tensor
    rows: Tensor

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Items (seeds, n, ...) and labels (seeds, n) of rows (seeds, n)."""
        flat = rows.flatten()
        items = self.items.index_select(0, flat)  # four times as fast as items[rows]
        return items.view(*rows.shape, *self.items.shape[1:]), self.labels.index_select(0, flat).view(rows.shape)


def accuracies(
    data: LabelledData,
    build: Build,
    n: int,
    seeds: Sequence[int],
    protocol: str,
    plan: Plan,
    advance: Callable[[int], Any] | None = None,
) -> dict[str, Any]:
    """Test accuracies of one network a seed, trained side by side on n labelled items, with how they came about.

    build: makes the untrained networks of all seeds; advance: told of every step.
    """
    draws = [draw_rows(data.train_labels, n, seed, protocol) for seed in seeds]
    train, train_labels = as_tensor(data.train), as_tensor(data.train_labels)
    labelled = Part(train, train_labels, _stacked([chosen for chosen, _ in draws]))
    test = Part(as_tensor(data.test), as_tensor(data.test_labels), torch.arange(len(data.test)).expand(len(seeds), -1))
    judge = test if protocol == "authors_code" else Part(train, train_labels, _stacked([held for _, held in draws]))
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    model = build(generators)
    picked = fit(model, labelled, judge, plan, generators, advance)
    return summary(accuracy(model, test).tolist(), n) | {"epochs": plan.epochs, "steps": plan.steps, "picked": picked}


def fit(
    model: nn.Module,
    labelled: Part,
    judge: Part,
    plan: Plan,
    generators: Sequence[torch.Generator],
    advance: Callable[[int], Any] | None = None,
) -> list[int]:
    """Train by Adam on cross entropy, and leave each seed with the weights that `judge` liked best, the first of ties.

    model: its parameters have a first dimension of seeds, unless there is one seed only; generators: one a seed, for
    the order of its items. Returns the steps after which those weights were reached.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)
    batches = _batches(labelled.rows, plan.batch, generators)
    best = torch.full((len(generators),), -1.0, dtype=torch.float64)
    picked = torch.zeros(len(generators), dtype=torch.int64)
    kept = [parameter.detach().clone() for parameter in model.parameters()]
    model.train()
    for step in range(1, plan.steps + 1):
        items, labels = labelled.batch(next(batches))
        # The mean over a batch and the sum over seeds: each seed's gradient is as if it were alone.
        loss = F.cross_entropy(model(items).flatten(0, 1), labels.flatten(), reduction="sum") / labels.shape[1]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step % CLEAR_EVERY == 0:
            clear_faded_averages(optimizer)
        if step in plan.judged_after:
            found = accuracy(model, judge)
            better = found > best
            best, picked = torch.where(better, found, best), torch.where(better, step, picked)
            kept = [_choose(better, new.detach(), old) for new, old in zip(model.parameters(), kept, strict=True)]
        if advance is not None:
            advance(1)
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), kept, strict=True):
            parameter.copy_(value)
    return [int(step) for step in picked]


def _choose(better: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(better.view(-1, *[1] * (new.ndim - 1)), new, old)


def _batches(rows: Tensor, size: int, generators: Sequence[torch.Generator]) -> Iterator[Tensor]:
    """Rows (seeds, size) without end, shuffled anew every epoch; the last batch of an epoch may be smaller."""
    while True:
        order = torch.stack([torch.randperm(rows.shape[1], generator=generator) for generator in generators])
        yield from torch.split(rows.gather(1, order), size, dim=1)


def accuracy(model: nn.Module, part: Part) -> Tensor:
    """Share of a part's items that each seed's network gets right, float64 (seeds,); dropout is off meanwhile."""
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
    """The same memory as a tensor; a copy where it is read-only, which torch warns of."""
    return torch.from_numpy(values if values.flags.writeable else values.copy())


def _stacked(rows: list[Rows]) -> Tensor:
    return torch.from_numpy(np.stack(rows))
