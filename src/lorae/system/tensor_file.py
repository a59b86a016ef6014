"""Safetensors files that carry a checksum of all their bytes, so that damage is noticed."""

import json
import zlib

from lorae.errors import LoraeError

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
    header, data = _parts(content)
    metadata = {**header.pop("__metadata__", {}), KEY: BLANK}
    text = json.dumps({"__metadata__": dict(sorted(metadata.items())), **header}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % PREFIX)  # the data are aligned
    blank = len(text).to_bytes(PREFIX, "little") + text + data
    return blank.replace(_field(BLANK), _field(f"{zlib.crc32(blank):08x}"), 1)


def check_seal(content: bytes) -> None:
    """Raise DamagedFileError for a file of safetensors that is not what `sealed` returned; one without it passes."""
    try:
        found = str(_parts(content)[0].get("__metadata__", {})[KEY])
    except (ValueError, KeyError, TypeError, AttributeError):  # no checksum, or no file of safetensors
        return
    if f"{zlib.crc32(content.replace(_field(found), _field(BLANK), 1)):08x}" != found:
        raise DamagedFileError("the file is damaged: its checksum is another one")


def _parts(content: bytes) -> tuple[dict[str, dict[str, str]], bytes]:
    """Return the header and the data; ValueError if there is no header."""
    start = PREFIX + int.from_bytes(content[:PREFIX], "little")
    header = json.loads(content[PREFIX:start])
    if not isinstance(header, dict):
        raise ValueError("no header")
    return header, content[start:]


def _field(digits: str) -> bytes:
    return f'"{KEY}":"{digits}"'.encode()
