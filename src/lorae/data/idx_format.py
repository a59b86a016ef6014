"""The IDX file format: a magic number, the sides as big-endian integers, then unsigned bytes."""

import math
import struct

import numpy as np
from numpy.typing import NDArray

from lorae.errors import LoraeError, shown
from lorae.system.faults import reason_of


def parse_idx(content: bytes, title: str) -> NDArray[np.uint8]:
    """Return the uint8 array of an IDX file; `title` names the file in the LoraeError for other content."""
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise LoraeError(f"{title}: not an IDX file of unsigned bytes")
    header = 4 + 4 * content[3]
    if len(content) < header:
        raise LoraeError(f"{title}: got {len(content)} bytes, expected a header of {header}")
    shape = struct.unpack(f">{content[3]}I", content[4:header])
    expected = header + math.prod(shape)
    if len(content) != expected:
        raise LoraeError(f"{title}: got {len(content)} bytes, expected {expected:,} for shape {shown(shape)}")
    try:
        return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
    except ValueError as error:  # of too many axes, or of sides that NumPy cannot count, one of them 0
        raise LoraeError(f"{title}: no array has shape {shown(shape)} ({reason_of(error)})") from None


def idx_bytes(array: NDArray[np.uint8]) -> bytes:
    """Return the content of an IDX file for a uint8 array."""
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + array.tobytes()
