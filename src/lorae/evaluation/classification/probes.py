"""Classifiers on latents without a network: logistic regression and nearest neighbors."""

import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae.evaluation.classification.protocol import (
    COUNTS,
    SEEDS,
    LabeledData,
    Rows,
    check_seeds,
    draw_evenly,
    labeled_latents,
    split_counts,
    summary,
)
from lorae.linalg import column_deviations

# scikit-learn's own default: enough to keep the weights finite where classes are separable.
PENALTY = 1.0

# On the 128 latents of 60,000 MNIST images it converges after 200 iterations of 15 ms to scikit-learn's own tolerance;
# a tenth of that precision costs one point of accuracy. The cap bounds strongly correlated latents, at 8 s a fit.
MAX_ITERATIONS = 500
TOLERANCE = 1e-4

# scikit-learn's default; odd, so that two classes alone never tie.
NEIGHBORS = 5

# Columns whose standard deviation is below this share of the largest one, or of their own mean, hold rounding noise of
# float32 only, as the unused directions of a low-rank model do: they are centered, not scaled to unit variance.
CONSTANT = 1e-6


def probe(
    train_latents: NDArray[Any],
    train_labels: NDArray[Any] | None,
    test_latents: NDArray[Any],
    test_labels: NDArray[Any] | None,
    *,
    counts: Iterable[int | str] = COUNTS,
    seeds: Iterable[int] = SEEDS,
    advance: Callable[[int], Any] | None = None,
) -> dict[str, Any]:
    """Measure the test accuracy of logistic regression and nearest neighbors on frozen latents, by number of labels.

    `logistic` is multinomial with C = 1, on latents standardized by all training latents. `knn` takes the majority of
    the five nearest labeled items (Euclidean, unscaled latents); ties go to the class of the nearest item. Labeled
    items are drawn stratified by seed from all training items; `all` takes all of them, once.

    counts: numbers of labeled items; those above the number of items are listed in the result's `left_out`
    advance: called after each draw of labeled items; `total_draws` gives their total

    Returns plain JSON values: for `logistic` and `knn` and each count mean, sample standard deviation, values (shares
    in [0, 1]) and n, for `logistic` also whether all fits `converged`; then `protocol` and `left_out`.
    """
    checked_seeds = check_seeds(seeds)
    data = labeled_latents(train_latents, train_labels, test_latents, test_labels)
    sizes, left_out = split_counts(counts, len(data.train), data.classes)
    standardized = _standardize(data)
    logistic: dict[str, Any] = {}
    neighbors: dict[str, Any] = {}
    for name, n in sizes.items():
        found: list[tuple[float, bool]] = []
        shares: list[float] = []
        for seed in _used(checked_seeds, name):
            order = np.random.default_rng(seed).permutation(len(data.train))
            rows = draw_evenly(data.train_labels, order, n)
            found.append(_logistic(standardized, rows))
            shares.append(_nearest_neighbors(data, rows))
            if advance is not None:
                advance(1)
        converged = all(good for _, good in found)
        logistic[name] = summary([share for share, _ in found], n) | {"converged": converged}
        neighbors[name] = summary(shares, n)
    protocol = _describe(data, checked_seeds)
    return {"logistic": logistic, "knn": neighbors, "protocol": protocol, "left_out": left_out}


def total_draws(n_train: int, *, counts: Iterable[int | str] = COUNTS, seeds: Iterable[int] = SEEDS) -> int:
    """Return the number of draws of labeled items in `probe`."""
    checked_seeds = check_seeds(seeds)
    sizes, _ = split_counts(counts, n_train)
    return sum(len(_used(checked_seeds, name)) for name in sizes)


def _used(seeds: list[int], name: str) -> list[int]:
    """Return one seed for all items: they do not depend on it, and neither classifier is random."""
    return seeds[:1] if name == "all" else seeds


def _standardize(data: LabeledData) -> LabeledData:
    """Return the data with columns standardized by all training items; constant ones are only centered."""
    mean, deviation = column_deviations(data.train, tolerance=CONSTANT)
    deviation[deviation <= CONSTANT * deviation.max()] = 1.0
    train, test = (((part - mean) / deviation).astype(np.float32) for part in (data.train, data.test))
    return replace(data, train=train, test=test)


def _logistic(data: LabeledData, rows: Rows) -> tuple[float, bool]:
    """Return the test accuracy of a logistic regression on these training rows, and whether it converged."""
    # Imported here, so that `lorae --help` does not wait for scikit-learn.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=PENALTY, max_iter=MAX_ITERATIONS, tol=TOLERANCE)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(data.train[rows], data.train_labels[rows])
    converged = not any(issubclass(each.category, ConvergenceWarning) for each in caught)
    return float((model.predict(data.test) == data.test_labels).mean()), converged


def _nearest_neighbors(data: LabeledData, rows: Rows) -> float:
    """Return the test accuracy of the majority of the nearest of these training rows."""
    from sklearn.neighbors import NearestNeighbors

    labels = data.train_labels[rows]
    search = NearestNeighbors(n_neighbors=min(NEIGHBORS, len(rows)), algorithm="brute")
    nearest = search.fit(data.train[rows]).kneighbors(data.test, return_distance=False)
    return float((_vote(labels[nearest]) == data.test_labels).mean())


def _vote(labels: Rows) -> Rows:
    """Return the most frequent label of each row (n, k), ordered by distance; ties go to the earliest."""
    votes = (labels[:, :, None] == labels[:, None, :]).sum(axis=2)
    return np.take_along_axis(labels, votes.argmax(axis=1)[:, None], axis=1)[:, 0]


def _describe(data: LabeledData, seeds: list[int]) -> dict[str, Any]:
    return {
        "labelled": "stratified by seed, equal numbers of each class, from all training items",
        "accuracy": "share of test items",
        "logistic": {
            "C": PENALTY,
            "solver": "lbfgs",
            "max_iter": MAX_ITERATIONS,
            "tol": TOLERANCE,
            "latents": "standardised by all training latents",
        },
        "knn": {"k": NEIGHBORS, "distance": "euclidean", "ties": "nearest", "latents": "as they are"},
        "seeds": seeds,
        **data.sizes(),
    }
