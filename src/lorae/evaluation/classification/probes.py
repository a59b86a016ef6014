"""Simple classifiers that show what latents hold without a network: logistic regression and nearest neighbours."""

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae.evaluation.classification.protocol import (
    COUNTS,
    SEEDS,
    LabeledData,
    Rows,
    check_latents,
    check_seeds,
    draw_evenly,
    labelled_data,
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
# float32 only, as directions do that a low-rank model has switched off: centred, but not blown up to unit variance.
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
    """Test accuracy of a logistic regression and of nearest neighbours on frozen latents, by number of labels.

    `logistic`: multinomial, C = 1, on latents standardised by mean and deviation of all training latents. `knn`: the
    majority of the five nearest labelled items (Euclidean, latents as they are), ties to the class whose item is
    nearest. Labelled items are drawn stratified by seed from all training items; `all` takes all, once.

    Parameters
    ----------
    train_latents, test_latents: float (n, l); train_labels, test_labels: whole numbers (n,).
    counts: numbers of labelled items, or `all`; those above what there is are named in the result's `left_out`.
    advance: told of every draw, measured by both: `total_draws` says how many there will be.

    Returns plain JSON values: for `logistic` and `knn`, for each count, mean, sample standard deviation, values
    (shares in [0, 1]) and n, for `logistic` also whether all fits `converged`; then `protocol` and `left_out`.
    Raises LoraeError as `classify` does.

    >>> x, y = np.array([[0.0], [0.1], [1.0], [1.1]]), np.array([0, 0, 1, 1])
    >>> probe(x, y, x, y, counts=["all"])["logistic"]["all"]["mean"]
    1.0
    """
    checked_seeds = check_seeds(seeds)
    train = check_latents(train_latents, "train_latents")
    data = labelled_data(train, train_labels, check_latents(test_latents, "test_latents"), test_labels)
    sizes, left_out = split_counts(counts, len(train), data.classes)
    standardised = _standardised(data)
    logistic: dict[str, Any] = {}
    neighbours: dict[str, Any] = {}
    for name, n in sizes.items():
        draws = [_draw(data.train_labels, n, seed) for seed in _used(checked_seeds, name)]
        found: list[tuple[float, bool]] = []
        shares: list[float] = []
        for rows in draws:
            found.append(_logistic(standardised, rows))
            shares.append(_neighbours(data, rows))
            if advance is not None:
                advance(1)
        converged = all(good for _, good in found)
        logistic[name] = summary([share for share, _ in found], n) | {"converged": converged}
        neighbours[name] = summary(shares, n)
    protocol = _describe(data, checked_seeds)
    return {"logistic": logistic, "knn": neighbours, "protocol": protocol, "left_out": left_out}


def total_draws(n_train: int, *, counts: Iterable[int | str] = COUNTS, seeds: Iterable[int] = SEEDS) -> int:
    """How many draws `probe` measures on n_train items; raises LoraeError as it does, but for counts below classes.

    >>> total_draws(60_000)
    21
    """
    checked_seeds = check_seeds(seeds)
    sizes, _ = split_counts(counts, n_train)
    return sum(len(_used(checked_seeds, name)) for name in sizes)


def _used(seeds: list[int], name: str) -> list[int]:
    """All items are the same items for every seed, and both classifiers have no randomness of their own."""
    return seeds[:1] if name == "all" else seeds


def _draw(labels: Rows, n: int, seed: int) -> Rows:
    order = np.random.default_rng(seed).permutation(len(labels))
    return draw_evenly(labels, order, n)


def _standardised(data: LabeledData) -> LabeledData:
    """The same data with columns of mean 0 and deviation 1 over all training items; constant ones only centred."""
    mean, deviation = column_deviations(data.train, tolerance=CONSTANT)
    deviation[deviation <= CONSTANT * deviation.max()] = 1.0
    train, test = (((part - mean) / deviation).astype(np.float32) for part in (data.train, data.test))
    return LabeledData(train, data.train_labels, test, data.test_labels, data.classes)


def _logistic(data: LabeledData, rows: Rows) -> tuple[float, bool]:
    """Test accuracy of a logistic regression on these training rows, and whether it converged."""
    # Here, so that `lorae --help` does not wait for scikit-learn.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=PENALTY, max_iter=MAX_ITERATIONS, tol=TOLERANCE)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(data.train[rows], data.train_labels[rows])
    converged = not any(issubclass(each.category, ConvergenceWarning) for each in caught)
    return float((model.predict(data.test) == data.test_labels).mean()), converged


def _neighbours(data: LabeledData, rows: Rows) -> float:
    """Test accuracy of the majority of the nearest of these training rows."""
    from sklearn.neighbors import NearestNeighbors

    labels = data.train_labels[rows]
    search = NearestNeighbors(n_neighbors=min(NEIGHBORS, len(rows)), algorithm="brute")
    nearest = search.fit(data.train[rows]).kneighbors(data.test, return_distance=False)
    return float((_vote(labels[nearest]) == data.test_labels).mean())


def _vote(labels: Rows) -> Rows:
    """The most frequent label of each row (n, k), ordered by distance; the earliest of ties (argmax takes the first).

    >>> _vote(np.array([[2, 1, 1, 2, 0]]))
    array([2])
    """
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
        "train": len(data.train),
        "test": len(data.test),
        "classes": data.classes,
    }
