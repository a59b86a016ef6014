"""Protocols of classification: labeled items, validation items, length of a training, stored description."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae.errors import DivergedError, LoraeError, NotApplicableError
from lorae.validation import choice, optional, whole

Rows = NDArray[np.int64]

# The columns of the paper's table 6; its last one, 60,000, is all training items.
COUNTS: tuple[int | str, ...] = (10, 100, 1000, 10_000, "all")

# The paper's table has no spread; five seeds give a standard deviation at a bearable cost.
SEEDS = range(5)

# `validation` is ours: the accuracy that a model was picked by is biased. `authors_code` serves comparisons.
PROTOCOLS = ("validation", "authors_code")

# Items set aside to pick the epoch: the standard error of an accuracy is below 0.7% then. Smaller data give a tenth.
VALIDATION = 5000
SMALL = 50_000

# The three of the authors' code; the paper only says that an MLP is trained.
EPOCHS = 500
BATCH = 100
LEARNING_RATE = 1e-3

# 500 epochs are 300,000 steps with 60,000 labels. A tenth, 50 epochs of it, takes a minute instead of ten.
MAX_STEPS = 30_000

# Largest number of validations. With n = 10 an epoch is one step, and validating each would dominate the cost.
JUDGED = 100


@dataclass(frozen=True)
class LabeledData:
    """Latents or raw items, and labels as class numbers: int64 (n,), in the order of the original labels."""

    train: NDArray[Any]
    train_labels: Rows
    test: NDArray[Any]
    test_labels: Rows
    classes: int

    def sizes(self) -> dict[str, int]:
        """Return the numbers of items and classes, for a protocol."""
        return {"train": len(self.train), "test": len(self.test), "classes": self.classes}


@dataclass(frozen=True)
class Plan:
    """Length of a training: items of a batch, steps, epochs, and the steps after which it is validated."""

    batch: int
    steps: int
    epochs: float
    judged_after: frozenset[int]


def plan(n: int, epochs: int, max_steps: int | None, judged: int = JUDGED) -> Plan:
    """Return the plan for n labeled items: all epochs or `max_steps`, and at most `judged` validations, evenly."""
    batch = min(BATCH, n)
    steps_per_epoch = math.ceil(n / batch)
    steps = epochs * steps_per_epoch
    steps = steps if max_steps is None else min(steps, max_steps)
    times = min(judged, steps)
    judged_after = frozenset(math.ceil(steps * time / times) for time in range(1, times + 1))
    return Plan(batch, steps, round(steps / steps_per_epoch, 3), judged_after)


@dataclass
class Protocol:
    """The way in which classifiers are trained and judged; creating one raises LoraeError for invalid values.

    protocol ({"validation", "authors_code"}): `validation` sets 5000 training items aside (a tenth of fewer than
        50,000), draws the labeled ones stratified from the rest, and reports the test accuracy at the best validation
        accuracy. `authors_code` takes the first items and the best TEST accuracy, as the released code does: its
        numbers are too good, because they are picked on the test set. It serves comparisons only, on latents before M.
    counts: numbers of labeled items; those above the number of items are listed in the result's `left_out`
    seeds: seeds of the labeled items, the initial weights and the order of the items
    max_steps: largest number of gradient steps; None trains all epochs, as in the paper
    """

    counts: Iterable[int | str] = COUNTS
    seeds: Iterable[int] = SEEDS
    protocol: str = "validation"
    epochs: int = EPOCHS
    max_steps: int | None = MAX_STEPS
    judged: int = JUDGED

    def __post_init__(self) -> None:
        self.seeds = check_seeds(self.seeds)
        choice(*PROTOCOLS).check("protocol", self.protocol, "the call")
        self.epochs = whole(1).check("epochs", self.epochs, "the call")
        self.max_steps = optional(whole(1)).check("max_steps", self.max_steps, "the call")

    def plans(self, n_train: int, classes: int = 1) -> tuple[dict[str, tuple[int, Plan]], list[int | str]]:
        """Return number of labels and plan by the name of each count, and the counts left out, as `split_counts`."""
        available = n_train if self.protocol == "authors_code" else n_train - validation_size(n_train)
        sizes, left_out = split_counts(self.counts, available, classes)
        return {name: (n, plan(n, self.epochs, self.max_steps, self.judged)) for name, n in sizes.items()}, left_out

    def describe(self, data: LabeledData, features: str) -> dict[str, Any]:
        """Return the description that is stored with a number of this protocol, as plain JSON values."""
        ours = {
            "labelled": "stratified by seed, equal numbers of each class",
            "validation": validation_size(len(data.train)),
            "picked": "by the best validation accuracy, the first of ties",
        }
        theirs = {
            "labelled": "the first items of the training data, not stratified",
            "validation": 0,
            "picked": "by the best TEST accuracy, the first of ties: the number is too good",
        }
        capped = self.max_steps is not None
        return {
            "name": self.protocol,
            **(theirs if self.protocol == "authors_code" else ours),
            "accuracy": "share of test items",
            "features": features,
            "head": "2 x (linear, ReLU, dropout 0.5), linear",
            "optimizer": "Adam",
            "lr": LEARNING_RATE,
            "batch": BATCH,
            "epochs": self.epochs,
            "max_steps": self.max_steps,
            "trained": "all epochs (the paper) or max_steps, if less" if capped else "all epochs, as in the paper",
            "judged": f"at most {self.judged} times, evenly spread",
            "seeds": self.seeds,
            **data.sizes(),
        }


def total_steps(n_train: int, **protocol: Any) -> int:
    """Return the steps of `classify` by a `Protocol` on n_train items, all seeds at once; `supervised`'s for one."""
    plans, _ = Protocol(**protocol).plans(n_train)
    return sum(length.steps for _, length in plans.values())


def check_seeds(seeds: Iterable[int]) -> list[int]:
    """Return the seeds; raise LoraeError for none, and for one given twice, which would understate the spread."""
    checked = [int(whole(0).check("seeds", seed, "the call")) for seed in seeds]
    if not checked or len(set(checked)) < len(checked):
        raise LoraeError(f"seeds: got {checked}, expected at least one, and none twice")
    return checked


def labeled_latents(
    train: NDArray[Any], train_labels: NDArray[Any] | None, test: NDArray[Any], test_labels: NDArray[Any] | None
) -> LabeledData:
    """Return `labeled_data` of latents, float32 (n, l); raise LoraeError also for values that are not finite."""
    latents = [np.asarray(part, dtype=np.float32) for part in (train, test)]
    for name, checked in zip(("train_latents", "test_latents"), latents, strict=True):
        if checked.ndim != 2 or not checked.size:
            raise LoraeError(f"{name}: got shape {checked.shape}, expected (n, latent_dim)")
        if not np.isfinite(checked).all():
            raise DivergedError(f"{name}: got values that are not finite, expected finite ones; the model has diverged")
    return labeled_data(latents[0], train_labels, latents[1], test_labels)


def labeled_data(
    train: NDArray[Any], train_labels: NDArray[Any] | None, test: NDArray[Any], test_labels: NDArray[Any] | None
) -> LabeledData:
    """Return items and labels that fit each other, with the labels of at least two classes, all of them in training."""
    if train.shape[1:] != test.shape[1:] or not len(test):
        raise LoraeError(f"test items: got shape {test.shape}, expected (n, {', '.join(map(str, train.shape[1:]))})")
    checked = _check_labels(train_labels, len(train), "train_labels")
    checked_test = _check_labels(test_labels, len(test), "test_labels")
    names, numbers = np.unique(checked, return_inverse=True)
    if len(names) < 2:
        raise NotApplicableError(f"train_labels: got {len(names)} class, expected at least 2")
    unknown = np.setdiff1d(checked_test, names)
    if len(unknown):
        raise NotApplicableError(f"test_labels: got class {unknown[0]}, expected classes that training items have")
    return LabeledData(train, numbers.astype(np.int64), test, np.searchsorted(names, checked_test), len(names))


def _check_labels(labels: NDArray[Any] | None, n: int, name: str) -> NDArray[Any]:
    if labels is None:
        raise NotApplicableError(f"{name}: got None, expected one label an item; this data set has no labels")
    labels = np.asarray(labels)
    if labels.shape != (n,):
        raise LoraeError(f"{name}: got shape {labels.shape}, expected ({n},), one label an item")
    if not np.issubdtype(labels.dtype, np.integer):
        raise NotApplicableError(f"{name}: got dtype {labels.dtype}, expected whole numbers")
    return labels


def validation_size(n_train: int) -> int:
    """Return `VALIDATION`, or a tenth of fewer than `SMALL` items, at least one."""
    return VALIDATION if n_train >= SMALL else max(1, n_train // 10)


def split_counts(counts: Iterable[int | str], limit: int, classes: int = 1) -> tuple[dict[str, int], list[int | str]]:
    """Return label counts by name (`all` is `limit` items), and the counts above `limit`, which are left out.

    Raises LoraeError for other words, and for fewer labels than classes.
    """
    if limit < classes:
        raise NotApplicableError(
            f"items: got {limit} that may be labeled, expected at least one for each of {classes} classes"
        )
    sizes: dict[str, int] = {}
    left_out: list[int | str] = []
    for count in counts:
        if count == "all":
            sizes["all"] = limit
        elif (number := int(whole(1).check("counts", count, "the call"))) < classes:
            raise NotApplicableError(
                f"counts: got {number}, expected a whole number of at least {classes}, one item a class"
            )
        elif number > limit:
            left_out.append(number)
        else:
            sizes[str(number)] = number
    return sizes, left_out


def draw_rows(labels: Rows, n: int, seed: int, protocol: str) -> tuple[Rows, Rows]:
    """Return the rows of n labeled items, and of those for validation (none with `authors_code`).

    The same seed sets the same items aside for every n, and its smaller sets are part of its larger ones.
    """
    if protocol == "authors_code":
        return np.arange(n), np.arange(0)
    order = np.random.default_rng(seed).permutation(len(labels))
    validation = _first_of_each(order, labels, _in_proportion(np.bincount(labels), validation_size(len(labels))))
    rest = order[~np.isin(order, validation)]
    return draw_evenly(labels, rest, n), validation


def draw_evenly(labels: Rows, order: Rows, n: int) -> Rows:
    """Return the first n rows of the shuffled `order` with numbers of each class as equal as its items allow."""
    have = np.bincount(labels[order], minlength=int(labels.max()) + 1)
    return _first_of_each(order, labels, _evenly(have, n, first=labels[order]))


def _first_of_each(order: Rows, labels: Rows, quotas: Rows) -> Rows:
    """Return the earliest rows of each class in `order`, as many as its quota."""
    ordered = labels[order]
    chosen = [np.flatnonzero(ordered == number)[:quota] for number, quota in enumerate(quotas)]
    return order[np.sort(np.concatenate(chosen))]


def _in_proportion(have: Rows, n: int) -> Rows:
    """Return quotas for n items in proportion to the classes; equal ones would use up rare classes."""
    exact: NDArray[np.float64] = have * (n / have.sum())
    quotas: Rows = np.floor(exact).astype(np.int64)
    quotas[np.argsort(quotas - exact, kind="stable")[: n - quotas.sum()]] += 1
    return quotas


def _evenly(have: Rows, n: int, first: Rows) -> Rows:
    """Return equal quotas for n items; the remainder goes to the first classes in `first`."""
    numbers, places = np.unique(first, return_index=True)
    by_appearance = numbers[np.argsort(places)]
    quotas = np.zeros_like(have)
    while (left := n - int(quotas.sum())) > 0:
        unfilled = by_appearance[quotas[by_appearance] < have[by_appearance]]
        share = left // len(unfilled)
        if share == 0:
            quotas[unfilled[:left]] += 1
        else:
            quotas[unfilled] = np.minimum(quotas[unfilled] + share, have[unfilled])
    return quotas


def summary(values: Sequence[float], n: int) -> dict[str, Any]:
    """Return mean, sample standard deviation (0 for one value) and values of accuracies in [0, 1], with n."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return {"mean": statistics.fmean(values), "sd": deviation, "values": list(values), "n": n}
