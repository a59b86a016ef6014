"""The range of pixel values, one rule for files and arrays.

Without the setting `value_range`, black and white are the ends of the type: 0 and 255 for integers, 0 and 65,535 for
unsigned integers of 16 bits, 0 and 1 for floats and truth values. No range is guessed from the values: those outside
raise an error, and a collection that uses only the lower quarter gives a warning.
"""

import warnings
from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae.documentation import PIXEL_VALUES, see
from lorae.errors import LoraeWarning

# Values of black and white.
Limits = tuple[float, float]

ADVICE = f"pass value_range=LOW:HIGH with the values of black and white{see(PIXEL_VALUES)}"
# Images of other types than bytes, all below this byte, use a quarter of their range: 14 bits of 16. Those of bytes
# have the full range as a rule; only masks of 0 and 1 are suspicious.
DARK = 64
# The setting in ADVICE, for messages of the command line.
SETTING = {"value_range": "LOW:HIGH"}


def type_limits(dtype: np.dtype[Any]) -> Limits:
    """Return the values of black and white of a type.

    >>> type_limits(np.dtype(np.uint16))
    (0, 65535)
    """
    if dtype.kind in "bf":
        return 0, 1
    return (0, 65535) if dtype == np.uint16 else (0, 255)


def outside(values: NDArray[Any], limits: Limits) -> NDArray[np.bool_]:
    """Return where values lie outside the limits, or are not numbers."""
    low, high = limits
    return ~((values >= low) & (values <= high))


def scaled_to_bytes(values: NDArray[Any], limits: Limits) -> NDArray[np.uint8]:
    """Return values as bytes from 0, the lower limit, to 255, the upper one; ValueError for values outside.

    >>> scaled_to_bytes(np.array([-1.0, 0.0, 1.0]), (-1, 1))
    array([  0, 128, 255], dtype=uint8)
    """
    low, high = limits
    beyond = outside(values, limits)
    if beyond.any():
        raise ValueError(f"got {values[beyond][0].item():g}, expected numbers in {low:g}..{high:g}; {ADVICE}")
    if values.dtype == np.uint16 and limits == type_limits(values.dtype):
        return (values >> 8).astype(np.uint8)  # the upper bits, as Pillow does for colors of 16 bits
    return np.rint((values.astype(np.float64) - low) * (255 / (high - low))).astype(np.uint8)


def range_key(limits: Limits | None, *, rule_changed: bool) -> dict[str, Any]:
    """Return the part of a cache key that tells the range.

    It is empty for the range of the type, as in earlier versions, unless their rule for that type was another.
    """
    if limits is None and not rule_changed:
        return {}
    return {"value_range": "type" if limits is None else list(limits)}


def warn_of_range(limits: Limits | None, dtypes: Collection[str], peak: int | None) -> None:
    """Warn of images that may have another range than their type, unless the limits were given.

    dtypes: types of the stored values, by their names; several mean that each file has its own range
    peak: the largest byte of all prepared images; 0, where all are black, gives no warning
    """
    if limits is not None:
        return
    if len(dtypes) > 1:
        message = f"data: the images hold values of the types {', '.join(dtypes)}, and each is scaled by its own range"
        _warn(f"{message}; if they share one, {ADVICE}")
    if peak is not None and 0 < peak < (DARK if set(dtypes) - {"uint8"} else 2):
        message = f"data: no pixel is above {peak} of 255, so the images are dark"
        _warn(f"{message}; if their range is not that of their type, such as 12 bits in files of 16, {ADVICE}")


def _warn(message: str) -> None:
    warnings.warn(LoraeWarning(message, settings=SETTING), stacklevel=3)
