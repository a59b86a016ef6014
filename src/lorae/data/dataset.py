"""`Dataset`, two `Split`s of prepared items: the result of every data source."""

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae.errors import LoraeError
from lorae.system.stored_items import StoredItems, take


def subsample_evenly(items: NDArray[Any], n: int) -> NDArray[Any]:
    """Return a view of at least n and fewer than 2 n items, evenly spaced, which also represents sorted items.

    >>> subsample_evenly(np.arange(10), 3)
    array([0, 3, 6, 9])
    """
    chosen: NDArray[Any] = take(items, even_rows(len(items), n))
    return chosen


def even_rows(total: int, n: int) -> slice:
    """Return the rows of `subsample_evenly` among `total` ones."""
    return slice(None, None, max(1, total // n))


@dataclass(frozen=True)
class Split:
    """One part of a data set.

    inputs: uint8 images (n, c, h, w), vectors (n, d) or tensors (n, ...), float32 or, far from zero, float64. Those
        too large for memory are `lorae.system.stored_items.StoredItems`, which read the rows that are indexed.
    labels: int64 (n,), or None where the source has none.
    weights: float64 (n,) of mean 1, or None for items that weigh the same.
    targets: the inputs with NaN for entries that were filled in, of which no error is counted; None for none.
    """

    inputs: NDArray[Any]
    labels: NDArray[np.int64] | None = None
    weights: NDArray[np.float64] | None = None
    targets: NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def at(self, rows: NDArray[np.int64] | slice) -> "Split":
        """Return the items of some rows: a copy for indices, a view for a slice, and of items in a file."""
        labels = None if self.labels is None else self.labels[rows]
        weights = None if self.weights is None else self.weights[rows] / self.weights[rows].mean()
        targets = None if self.targets is None else self.targets[rows]
        return Split(take(self.inputs, rows), labels, weights, targets)

    @property
    def error_weights(self) -> NDArray[np.float64] | None:
        """Weights of the mean errors of items (n,), of mean 1: an item counts as often as it has observed entries."""
        if self.targets is None:
            return self.weights
        counts = (~np.isnan(self.targets)).reshape(len(self), -1).sum(axis=1)
        weights = counts if self.weights is None else self.weights * counts
        found: NDArray[np.float64] = weights / weights.mean()
        return found

    @property
    def stored(self) -> bool:
        """Whether the inputs are read from a file as they are needed."""
        return isinstance(self.inputs, StoredItems)

    def first(self, n: int) -> "Split":
        """Return a view of the first n items."""
        return self.at(slice(n))


@dataclass(frozen=True)
class Dataset:
    """A training and a test split, with their origin.

    fingerprint: hexadecimal digest of content and preparation settings; runs store it and `resume` compares it.
    checksums: file name -> digest, with the algorithm in front (`md5:...`), of what was read.
    intrinsic_dimension: the known number of continuous factors of synthetic data, else None.
    tensors: whether items are plain numbers of two or more axes, such as signals (c, t).
    left_out: sentences on what was not read: files that are no images, broken files, frames after the first.
    columns: names of the columns of a table, if all have one.
    aside: inputs that choose the rank or the end of a training; None lets the training take some of `train`.
    """

    name: str
    train: Split
    test: Split
    source: str
    fingerprint: str
    checksums: dict[str, str] = field(default_factory=dict)
    intrinsic_dimension: int | None = None
    left_out: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    aside: NDArray[Any] | None = None
    tensors: bool = False

    @property
    def kind(self) -> str:
        """`images`, `vectors` or `tensors`."""
        return "tensors" if self.tensors else "images" if self.train.inputs.ndim == 4 else "vectors"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one item: (c, h, w), (d,), or that of a tensor."""
        return tuple(self.train.inputs.shape[1:])

    def held_out(self, n: int | None, seed: int) -> "Dataset":
        """Return the data with n random training items in place of the test split (None: unchanged).

        Settings can then be chosen by measures that never see the test items. Raises LoraeError if fewer than two
        training items would be left.
        """
        if n is None:
            return self
        if n > len(self.train) - 2:
            raise LoraeError(f"holdout: got {n}, but there are {len(self.train)} training items, of which 2 must stay")
        order = np.random.default_rng(seed).permutation(len(self.train))
        digest = hashlib.sha256(f"{self.fingerprint} holdout {n} {seed}".encode()).hexdigest()
        return replace(
            self,
            train=self.train.at(np.sort(order[n:])),
            test=self.train.at(np.sort(order[:n])),
            source=f"{self.source}; the test split is {n:,} held-out training items",
            fingerprint=digest,
        )

    def limited(self, n: int | None) -> "Dataset":
        """Return the data with the first n training items only (None: all of them)."""
        return self if n is None else replace(self, train=self.train.first(n))

    def describe(self) -> dict[str, Any]:
        """Return counts, shapes, source and checksums as plain JSON values."""
        parts = {"train": self.train, "test": self.test}
        return {
            "name": self.name,
            "kind": self.kind,
            "shape": list(self.shape),
            "dtype": str(self.train.inputs.dtype),
            "splits": {key: len(part) for key, part in parts.items()},
            "labels": None if self.train.labels is None else len(np.unique(self.train.labels)),
            "intrinsic_dimension": self.intrinsic_dimension,
            "source": self.source,
            "left_out": list(self.left_out),
            **({"columns": list(self.columns)} if self.columns else {}),
            "checksums": self.checksums,
            "fingerprint": self.fingerprint,
        }
