"""Faults of the environment, such as a full disk, that must not cost the result of a long computation."""

import contextlib
import re
import warnings
from collections.abc import Iterator

from lorae.errors import LoraeWarning

# Beginnings of what torch and NumPy say of arrays with more entries than can be counted.
TOO_LARGE = ("Storage size calculation overflowed", "Maximum allowed dimension exceeded", "array is too big")


def reason_of(error: BaseException) -> str:
    """Return the reason of an error in one line."""
    reason = getattr(error, "reason", None) or error  # urllib wraps the error of the network
    refused = re.search(r"you tried to allocate (\d+) bytes", str(reason))  # torch on a CPU, within its own words
    if refused:
        return f"an array of {int(refused[1]) / 2**30:,.1f} GiB"
    if isinstance(reason, OSError) and reason.strerror:
        reason = reason.strerror
    return " ".join(str(reason).split())[:160] or type(error).__name__


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether NumPy, Python or torch could not get the memory that it asked for."""
    # torch raises RuntimeError on a CPU, and NumPy and torch other kinds for sizes that no memory has.
    return isinstance(error, MemoryError) or any(words in str(error) for words in ("DefaultCPUAllocator", *TOO_LARGE))


@contextlib.contextmanager
def tolerated(lost: str) -> Iterator[None]:
    """Turn any error inside the block into a warning of one line, which says what is lost by it."""
    try:
        yield
    except Exception as error:  # drawing runs code of matplotlib, Pillow and jinja2, whose errors are of many kinds
        warnings.warn(f"{lost}: {reason_of(error)}", LoraeWarning, stacklevel=4)
