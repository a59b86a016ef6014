"""Safetensors files that carry a checksum of all their bytes, so that damage is noticed."""

import json
import zlib
from pathlib import Path

from lorae.errors import LoraeError
from lorae.system.files import read_file

# Key of the checksum in the metadata. While it is computed, these digits are in its place.
KEY, BLANK = "crc32", "00000000"

# Bytes of the number before the header, which is its length.
PREFIX = 8


class DamagedFileError(LoraeError):
    """A file whose bytes have changed since it was written."""


def sealed(content: bytes) -> bytes:
    """Return a safetensors file with a checksum in its metadata, the entries of which are in alphabetical order.

    Any program that reads safetensors reads it, with the same tensors.

    >>> from safetensors.numpy import load, save
    >>> import numpy as np
    >>> sealed(save({"ones": np.ones(2)})) == sealed(sealed(save({"ones": np.ones(2)})))
    True
    >>> load(sealed(save({"ones": np.ones(2)})))["ones"]
    array([1., 1.])
    """
    header, start = _header(content)
    data = memoryview(content)[start:]
    metadata = {**header.pop("__metadata__", {}), KEY: BLANK}
    text = json.dumps({"__metadata__": dict(sorted(metadata.items())), **header}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % PREFIX)  # the data are aligned
    head = len(text).to_bytes(PREFIX, "little") + text
    return b"".join([head.replace(_field(BLANK), _field(_checksum(head, data)), 1), data])


def check_seal(content: bytes) -> None:
    """Raise DamagedFileError for a file of safetensors that is not what `sealed` returned; one without it passes."""
    try:
        header, start = _header(content)
        found = str(header.get("__metadata__", {})[KEY])
    except (ValueError, KeyError, TypeError, AttributeError):  # no checksum, or no file of safetensors
        return
    blank = content[:start].replace(_field(found), _field(BLANK), 1)
    if _checksum(blank, memoryview(content)[start:]) != found:
        raise DamagedFileError("the file is damaged: its checksum is another one")


def read_sealed(path: Path) -> bytes:
    """Return the content of a safetensors file; OSError as `read_file`, DamagedFileError as `check_seal`."""
    content = read_file(path)
    check_seal(content)
    return content


def metadata_of(content: bytes) -> dict[str, str]:
    """Return the metadata of a safetensors file; ValueError or KeyError if there are none."""
    return _header(content)[0]["__metadata__"]


def _header(content: bytes) -> tuple[dict[str, dict[str, str]], int]:
    """Return the header and the place where the data begin; ValueError if there is no header."""
    start = PREFIX + int.from_bytes(content[:PREFIX], "little")
    header = json.loads(content[PREFIX:start])
    if not isinstance(header, dict):
        raise ValueError("no header")
    return header, start


def _checksum(head: bytes, data: memoryview) -> str:
    return f"{zlib.crc32(data, zlib.crc32(head)):08x}"


def _field(digits: str) -> bytes:
    return f'"{KEY}":"{digits}"'.encode()
