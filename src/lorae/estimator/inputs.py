"""Arguments of the estimator as the package takes them, and the package's errors as scikit-learn's."""

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from lorae.data.collection import for_scikit_learn
from lorae.data.sources import is_source
from lorae.errors import LoraeError
from lorae.system.signals import Interrupted


@contextlib.contextmanager
def value_errors() -> Iterator[None]:
    """Raise LoraeError as ValueError, and Interrupted as KeyboardInterrupt, because no run can be resumed."""
    try:
        yield
    except LoraeError as error:
        raise ValueError(str(error)) from None
    except Interrupted:
        raise KeyboardInterrupt from None


def plain(X: Any) -> Any:
    """Return whatever training takes in a form that scikit-learn reads without dropping masks, units or names."""
    if type(X) is np.ndarray or isinstance(X, np.matrix) or not (isinstance(X, str | Path) or is_source(X)):
        return X
    with value_errors():
        return for_scikit_learn(X, "X")


def seed_of(random_state: Any) -> int:
    """Return a seed for a `random_state`; None draws one from the system, not from NumPy's global state."""
    random_state = np.random.RandomState() if random_state is None else check_random_state(random_state)
    return int(random_state.randint(2**31 - 1))


def floating(dtype: Any) -> Any:
    """Return the dtype of codes for items of a dtype: float64 for all but float32."""
    return dtype if dtype in (np.float32, np.float64) else np.float64


@dataclass(frozen=True)
class WeightedItems:
    """Different items (n, ...), their weights (n,) of mean 1 (None for equal ones), and the number they stand for.

    >>> WeightedItems.of(np.array([[1.0], [2.0], [1.0], [3.0]]), None).count
    4.0
    """

    items: NDArray[Any]
    weights: NDArray[np.float64] | None
    count: float

    @classmethod
    def of(cls, items: NDArray[Any], weights: NDArray[np.float64] | None) -> "WeightedItems":
        """Return items without those of weight zero, and with repeated ones as one item of their summed weight.

        So an item of weight 2 and an item that is there twice give the same fit, and no item is held out while its
        copy is trained on. Items of different weights are in the order of their hashes, whatever their order was.
        """
        weights = np.ones(len(items)) if weights is None else weights
        if not (weights > 0).any():
            raise ValueError("sample_weight: got zeros only, expected positive weights")
        items, weights = items[weights > 0], weights[weights > 0]
        numbers: dict[bytes, int] = {}
        groups = np.array([numbers.setdefault(each, len(numbers)) for each in digests(items, 16)])
        total = np.bincount(groups, weights)
        first = np.unique(groups, return_index=True)[1]
        count = max(float(weights.sum()), 2.0)
        equal = bool((total == total[0]).all())
        if equal and 2 < len(first) == len(items):
            return cls(items, None, count)
        order = np.arange(len(first)) if equal else np.argsort(np.array(list(numbers)))
        if len(order) == 2:  # of which none could be held out
            order = np.repeat(order, 2)
        return cls(items[first[order]], None if equal else total[order] / total[order].mean(), count)


def digests(items: NDArray[Any], size: int) -> Iterator[bytes]:
    """Yield the hash of each item in bytes of some size."""
    return (hashlib.blake2b(np.ascontiguousarray(row).data, digest_size=size).digest() for row in items)


def weighted_quantile(values: NDArray[np.float64], share: float, weights: NDArray[np.float64] | None) -> float:
    """Return the smallest value up to which the values have at least a share of the weights (n,).

    >>> weighted_quantile(np.array([3.0, 1.0, 2.0]), 0.5, np.array([1.0, 5.0, 1.0]))
    1.0
    """
    order = np.argsort(values)
    reached = np.cumsum(np.ones(len(values)) if weights is None else weights[order])
    # Without the rounding of a sum, which would pass over the value that just reaches the share.
    index = np.searchsorted(reached, share * reached[-1] * (1 - 1e-12))
    return float(values[order][min(int(index), len(values) - 1)])
