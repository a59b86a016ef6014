"""Arguments of the estimator as the package takes them, and the package's errors as scikit-learn's."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
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
