"""What every data source hands over: a `Dataset` of two `Split`s, decoded, resized and checked."""

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae.errors import LoraeError


def subsample_evenly(items: NDArray[Any], n: int) -> NDArray[Any]:
    """At least n of the items, fewer than 2 n, evenly spaced: a picture of all where they come sorted; a view.

    >>> subsample_evenly(np.arange(10), 3)
    array([0, 3, 6, 9])
    """
    return items[:: max(1, len(items) // n)]


@dataclass(frozen=True)
class Split:
    """One part of a data set.

    inputs: uint8 images (n, c, h, w) or float32 vectors (n, d); may be a copy-on-write memory map.
    labels: int64 (n,), or None where the source has none.
    """

    inputs: NDArray[Any]
    labels: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def at(self, indices: NDArray[np.int64]) -> "Split":
        """The items at `indices`, copied."""
        return Split(self.inputs[indices], None if self.labels is None else self.labels[indices])

    def first(self, n: int) -> "Split":
        """The first n items, as a view."""
        return Split(self.inputs[:n], None if self.labels is None else self.labels[:n])


@dataclass(frozen=True)
class Dataset:
    """A training and a test split, with their origin.

    fingerprint: hexadecimal digest of content and preparation settings; runs store it and `resume` compares it.
    checksums: file name -> digest, with the algorithm in front (`md5:...`), of what was read.
    intrinsic_dimension: the known number of continuous factors of synthetic data, else None.
    """

    name: str
    train: Split
    test: Split
    source: str
    fingerprint: str
    checksums: dict[str, str] = field(default_factory=dict)
    intrinsic_dimension: int | None = None

    @property
    def kind(self) -> str:
        """`images` or `vectors`."""
        return "images" if self.train.inputs.ndim == 4 else "vectors"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one item: (c, h, w) or (d,)."""
        return tuple(self.train.inputs.shape[1:])

    def held_out(self, n: int | None, seed: int) -> "Dataset":
        """The same data with n training items, drawn by `seed`, in the place of the test split (None: as it is).

        Settings chosen by measures on them have never seen the test split. Raises LoraeError where too few would be
        left to train on.
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
        """The same data with only the first n training items (all of them for None)."""
        return self if n is None else replace(self, train=self.train.first(n))

    def describe(self) -> dict[str, Any]:
        """Counts, shapes, source and checksums, as plain JSON values."""
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
            "checksums": self.checksums,
            "fingerprint": self.fingerprint,
        }
