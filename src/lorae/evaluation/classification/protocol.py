"""Which items carry labels, which ones pick the epoch, how long a head is trained, and what is stored of it."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae.errors import LoraeError
from lorae.validation import choice, optional, whole

Rows = NDArray[np.int64]

# The columns of the paper's Table 6; its last one, 60,000, is all there is.
COUNTS: tuple[int | str, ...] = (10, 100, 1000, 10_000, "all")

# The paper's table has one value a cell and no spread; five give a standard deviation at a bearable cost.
SEEDS = range(5)

# `validation` is ours: one cannot report the accuracy that the model was picked by. `authors_code` compares with it.
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

# How often the model is judged at most. With every epoch of n = 10, a step each, judging would be all the cost.
JUDGED = 100


@dataclass(frozen=True)
class LabeledData:
    """Checked items with labels as class numbers.

    train, test: float32 latents (n, l), or raw items as they came; train_labels, test_labels: int64 (n,), from 0 to
    `classes` - 1 in the order of the original labels.
    """

    train: NDArray[Any]
    train_labels: Rows
    test: NDArray[Any]
    test_labels: Rows
    classes: int


@dataclass(frozen=True)
class Plan:
    """How one head is trained on n items: items in a batch, steps, epochs that they make, and when it is judged."""

    batch: int
    steps: int
    epochs: float
    judged_after: frozenset[int]


def plan(n: int, epochs: int, max_steps: int | None, judged: int = JUDGED) -> Plan:
    """The `Plan` for n labelled items: all epochs or `max_steps` steps, judged `judged` times at most, evenly spread.

    >>> plan(60_000, epochs=500, max_steps=30_000).epochs
    50.0
    """
    batch = min(BATCH, n)
    steps_per_epoch = math.ceil(n / batch)
    steps = epochs * steps_per_epoch
    steps = steps if max_steps is None else min(steps, max_steps)
    times = min(judged, steps)
    judged_after = frozenset(math.ceil(steps * time / times) for time in range(1, times + 1))
    return Plan(batch, steps, round(steps / steps_per_epoch, 3), judged_after)


def total_steps(
    n_train: int,
    *,
    counts: Iterable[int | str] = COUNTS,
    protocol: str = "validation",
    epochs: int = EPOCHS,
    max_steps: int | None = MAX_STEPS,
) -> int:
    """How many steps `classify` takes on n_train items, all seeds at once; `supervised` takes as many for each seed.

    Raises LoraeError as they do, but for counts below the number of classes.

    >>> total_steps(60_000, counts=[10, 1000])
    5500
    """
    check_protocol(protocol)
    epochs, max_steps = check_length(epochs, max_steps)
    sizes, _ = split_counts(counts, available(n_train, protocol))
    return sum(plan(n, epochs, max_steps).steps for n in sizes.values())


def check_protocol(name: str) -> str:
    """The name of a protocol, or a LoraeError with the known ones."""
    return str(choice(*PROTOCOLS).check("protocol", name, "the call"))


def check_length(epochs: int, max_steps: int | None) -> tuple[int, int | None]:
    """Whole numbers of at least 1 (None for no cap), or a LoraeError."""
    cap = optional(whole(1)).check("max_steps", max_steps, "the call")
    return int(whole(1).check("epochs", epochs, "the call")), cap


def check_seeds(seeds: Iterable[int]) -> list[int]:
    """At least one seed, none twice (it would make the spread too small), or a LoraeError."""
    checked = [int(whole(0).check("seeds", seed, "the call")) for seed in seeds]
    if not checked or len(set(checked)) < len(checked):
        raise LoraeError(f"seeds: got {checked}, expected at least one, and none twice")
    return checked


def check_latents(latents: NDArray[Any], name: str) -> NDArray[np.float32]:
    """float32 (n, l), or a LoraeError for another shape, no items, or values that are not finite."""
    checked = np.asarray(latents, dtype=np.float32)
    if checked.ndim != 2 or not checked.size:
        raise LoraeError(f"{name}: got shape {checked.shape}, expected (n, latent_dim)")
    if not np.isfinite(checked).all():
        raise LoraeError(f"{name}: got values that are not finite, expected finite ones; the model has diverged")
    return checked


def labelled_data(
    train: NDArray[Any], train_labels: NDArray[Any] | None, test: NDArray[Any], test_labels: NDArray[Any] | None
) -> LabeledData:
    """Items and labels that fit each other.

    Raises LoraeError where labels are missing, are not whole numbers, are not one an item or have a single class,
    where test labels have a class that training has not, and where the shapes of training and test items differ.
    """
    if train.shape[1:] != test.shape[1:] or not len(test):
        raise LoraeError(f"test items: got shape {test.shape}, expected (n, {', '.join(map(str, train.shape[1:]))})")
    checked = _check_labels(train_labels, len(train), "train_labels")
    checked_test = _check_labels(test_labels, len(test), "test_labels")
    names, numbers = np.unique(checked, return_inverse=True)
    if len(names) < 2:
        raise LoraeError(f"train_labels: got {len(names)} class, expected at least 2")
    unknown = np.setdiff1d(checked_test, names)
    if len(unknown):
        raise LoraeError(f"test_labels: got class {unknown[0]}, expected classes that training items have")
    return LabeledData(train, numbers.astype(np.int64), test, np.searchsorted(names, checked_test), len(names))


def _check_labels(labels: NDArray[Any] | None, n: int, name: str) -> NDArray[Any]:
    if labels is None:
        raise LoraeError(f"{name}: got None, expected one label an item; this data set has no labels")
    labels = np.asarray(labels)
    if labels.shape != (n,):
        raise LoraeError(f"{name}: got shape {labels.shape}, expected ({n},), one label an item")
    if not np.issubdtype(labels.dtype, np.integer):
        raise LoraeError(f"{name}: got dtype {labels.dtype}, expected whole numbers")
    return labels


def available(n_train: int, protocol: str) -> int:
    """How many training items may be labelled: all, less those set aside for validation."""
    return n_train if protocol == "authors_code" else n_train - validation_size(n_train)


def validation_size(n_train: int) -> int:
    """`VALIDATION`, or a tenth of fewer than `SMALL` items, at least one."""
    return VALIDATION if n_train >= SMALL else max(1, n_train // 10)


def split_counts(counts: Iterable[int | str], limit: int, classes: int = 1) -> tuple[dict[str, int], list[int | str]]:
    """Label counts by name (`all` is `limit` items), and the ones left out because there are not that many.

    Raises LoraeError for a count that is neither `all` nor a whole number of at least the number of classes, and
    for a `limit` below it.
    """
    if limit < classes:
        raise LoraeError(
            f"items: got {limit} that may be labelled, expected at least one for each of {classes} classes"
        )
    rule = whole(classes)
    sizes: dict[str, int] = {}
    left_out: list[int | str] = []
    for count in counts:
        if count == "all":
            sizes["all"] = limit
        elif (number := int(rule.check("counts", count, f"the call; classes: {classes}"))) > limit:
            left_out.append(number)
        else:
            sizes[str(number)] = number
    return sizes, left_out


def draw_rows(labels: Rows, n: int, seed: int, protocol: str) -> tuple[Rows, Rows]:
    """Rows of the n labelled items, and of those set aside for validation (none with `authors_code`).

    `validation`: a stratified part is set aside, and the labelled ones are as equal a number of each class as the
    rest has; the same seed sets the same items aside for every n, and its smaller sets are part of its larger ones.
    `authors_code`: the first n rows, whatever their classes and the seed.
    """
    if protocol == "authors_code":
        return np.arange(n), np.arange(0)
    order = np.random.default_rng(seed).permutation(len(labels))
    validation = _first_of_each(order, labels, _in_proportion(np.bincount(labels), validation_size(len(labels))))
    rest = order[~np.isin(order, validation)]
    return draw_evenly(labels, rest, n), validation


def draw_evenly(labels: Rows, order: Rows, n: int) -> Rows:
    """The first n of `order` with as equal a number of each class as there is: a class that runs out takes no more.

    labels: class numbers of all items; order: shuffled rows of the items to draw from; result in the order's order.
    """
    have = np.bincount(labels[order], minlength=int(labels.max()) + 1)
    return _first_of_each(order, labels, _evenly(have, n, first=labels[order]))


def _first_of_each(order: Rows, labels: Rows, quotas: Rows) -> Rows:
    """As many of each class as its quota says, the earliest in `order`."""
    ordered = labels[order]
    chosen = [np.flatnonzero(ordered == number)[:quota] for number, quota in enumerate(quotas)]
    return order[np.sort(np.concatenate(chosen))]


def _in_proportion(have: Rows, n: int) -> Rows:
    """n items shared out like the classes themselves: an even share would use up the rare ones."""
    exact: NDArray[np.float64] = have * (n / have.sum())
    quotas: Rows = np.floor(exact).astype(np.int64)
    quotas[np.argsort(quotas - exact, kind="stable")[: n - quotas.sum()]] += 1
    return quotas


def _evenly(have: Rows, n: int, first: Rows) -> Rows:
    """n items shared out evenly; what does not divide goes to the classes that come up first in `first`."""
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
    """Accuracies in [0, 1] of several seeds with n labels: mean, sample standard deviation (0 of one), all of them."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return {"mean": statistics.fmean(values), "sd": deviation, "values": list(values), "n": n}


def describe(
    data: LabeledData,
    protocol: str,
    seeds: list[int],
    epochs: int,
    max_steps: int | None,
    features: str,
    judged: int = JUDGED,
) -> dict[str, Any]:
    """What a number made with this protocol has to say of itself, as plain JSON values."""
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
    trained = "all epochs, as in the paper" if max_steps is None else "all epochs (the paper) or max_steps, if less"
    return {
        "name": protocol,
        **(theirs if protocol == "authors_code" else ours),
        "accuracy": "share of test items",
        "features": features,
        "head": "2 x (linear, ReLU, dropout 0.5), linear",
        "optimizer": "Adam",
        "lr": LEARNING_RATE,
        "batch": BATCH,
        "epochs": epochs,
        "max_steps": max_steps,
        "trained": trained,
        "judged": f"at most {judged} times, evenly spread",
        "seeds": seeds,
        "train": len(data.train),
        "test": len(data.test),
        "classes": data.classes,
    }
