"""Inputs that hypothesis makes up and, where one falls, makes smaller.

`make test` takes a few of each kind, always the same; the marker `fuzz` takes a thousand, which are others each time.
"""

import io
import json
import pickle
import struct
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, configuration, given, settings
from hypothesis import strategies as st

from tests.integration.attempts import bounded

FEW, MANY = 4, 1000
counts = pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.fuzz)])

configuration.set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "hypothesis")  # and not in the checkout


def fuzz(count, strategy, check):
    """Check inputs of a strategy, each within bounds of memory and time; report the smallest that falls."""

    @settings(
        max_examples=count,
        derandomize=count == FEW,
        database=None,
        deadline=None,  # `bounded` has its own
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    @given(strategy)
    def run(value):
        with bounded():
            check(value)

    run()


class Canary:
    """An object whose pickle makes a file where it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def sings(path):
    """Return whether code of a file was executed."""
    return path.exists()


# Values

NUMBERS = st.one_of(
    st.integers(-3, 20),
    st.sampled_from([2**31 - 1, 2**31, 2**32, 2**53, 2**62, 2**63, 2**64, -(2**63), 10**30]),
    st.sampled_from([0.5, -0.0, 1e-300, 1e30, 1e308, float("inf"), float("-inf"), float("nan")]),
)
WORDS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["", "auto", "lorae", "../../x", "/dev/zero", "x" * 5000, "[red]", "\x1b[31m", "~", "a:b"]),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(WORDS, inner, max_size=4)),
    max_leaves=8,
)


@st.composite
def changed(draw, value):
    """A plain value with a few of its parts replaced, moved, removed or repeated."""
    changed = json.loads(json.dumps(value))
    for _ in range(draw(st.integers(1, 4))):
        places = list(_places(changed))
        if not places:
            break
        container, key = places[draw(st.integers(0, len(places) - 1))]
        match draw(st.sampled_from(["replace", "wrap", "near", "move", "remove", "add", "double"])):
            case "replace":
                container[key] = draw(VALUES)
            case "wrap":
                container[key] = draw(st.sampled_from([[container[key]], {"a": container[key]}, str(container[key])]))
            case "near" if isinstance(container[key], (int, float)) and not isinstance(container[key], bool):
                container[key] = draw(st.sampled_from([container[key] + 1, -container[key], container[key] * 1000]))
            case "move":
                other, place = places[draw(st.integers(0, len(places) - 1))]
                container[key] = json.loads(json.dumps(other[place]))
            case "remove":
                del container[key]
            case "add" if isinstance(container, dict):
                container[draw(WORDS)] = draw(VALUES)
            case "double" if isinstance(container, list):
                container *= draw(st.sampled_from([2, 100]))
    return changed


def _places(value):
    """Yield container and key of every value within a value."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from _places(value[key])


@st.composite
def json_texts(draw, value):
    """JSON of a changed value, perhaps with a key twice, or with words that are JSON for some readers only."""
    text = json.dumps(draw(changed(value)))
    if draw(st.booleans()) and text.startswith('{"'):
        key = text[1 : text.index(":")]
        text = text[:-1] + f", {key}: {json.dumps(draw(VALUES))}" + "}"
    return text.encode(errors="surrogatepass")


# Files

SIDES = st.one_of(st.integers(-2, 40), st.sampled_from([2**16, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**63, 10**25]))
DTYPES = st.sampled_from(
    [
        "|u1",
        "<u2",
        ">u4",
        "<i8",
        "<f2",
        "<f4",
        ">f8",
        "<f16",
        "<c8",
        "|b1",
        "|O",
        "|S3",
        "<U2",
        "<M8[ns]",
        "|V5",
        "x",
        "",
    ]
)


@st.composite
def npy_files(draw, canary):
    """An .npy file: an array of any type and values, a pickle, or a header that does not fit what follows."""
    kind = draw(st.sampled_from(["array", "array", "header", "header", "objects", "fields", "text"]))
    content = io.BytesIO()
    if kind == "array":
        shape = draw(st.lists(st.integers(0, 9), max_size=5))
        dtype = draw(st.sampled_from([">f8", "<f4", "<f2", "|u1", "<i8", "<u8", "|b1", "<c16", "<U2", "<M8[s]"]))
        raw = draw(st.binary(min_size=0, max_size=64)) or b"\0"
        size = int(np.prod(shape, dtype=int)) * np.dtype(dtype).itemsize
        if dtype == "<U2":
            raw = b"a\0\0\0"
        filled = (raw * (size // len(raw) + 1))[:size]
        np.save(content, np.frombuffer(filled, np.uint8).view(dtype).reshape(shape) if size else np.zeros(shape, dtype))
        return content.getvalue()
    if kind == "objects":
        np.save(content, np.array([Canary(canary)] * draw(st.integers(1, 3)), object), allow_pickle=True)
        return content.getvalue()
    if kind == "fields":
        fields = draw(st.lists(st.tuples(st.text("ab", min_size=1, max_size=2), st.sampled_from(["<f4", "|O", "|u1"]))))
        described = fields or "<f4"
    else:
        described = draw(DTYPES)
    shape = tuple(draw(st.lists(SIDES, max_size=5)))
    header = {"descr": described, "fortran_order": draw(st.sampled_from([False, True, 2, None])), "shape": shape}
    if draw(st.booleans()):
        header = draw(changed({"descr": str(described), "fortran_order": False, "shape": list(shape)}))
    words = repr(header) if kind != "text" else draw(st.sampled_from(["__import__('os')", "(" * 500, "[" * 9000, "{}"]))
    text = words.encode("latin1", errors="replace") + b"\n"
    length = draw(st.sampled_from([len(text), len(text), len(text) + 5, 0, 65535]))
    data = draw(st.one_of(st.binary(max_size=100), st.just(pickle.dumps(Canary(canary)))))
    return (
        b"\x93NUMPY"
        + draw(st.sampled_from([b"\1\0", b"\2\0", b"\3\0", b"\7\7"]))
        + (struct.pack("<H", min(length, 65535)) + text + data)
    )


@st.composite
def zip_files(draw, members):
    """A zip file of some members by name, with names, sizes, kinds and flags that an honest program does not write."""
    content = io.BytesIO()
    packing = st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    with zipfile.ZipFile(content, "w") as archive:
        for name, member in draw(members):
            entry = zipfile.ZipInfo(name or "x")
            entry.compress_type = draw(packing)
            # A link, a device, a folder, or a plain file.
            entry.external_attr = draw(st.sampled_from([0o100644, 0o120777, 0o020666, 0o040755])) << 16
            entry.flag_bits = 0
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of a name that is there twice
                archive.writestr(entry, member)
    changed = bytearray(content.getvalue())
    for _ in range(draw(st.integers(0, 3))):  # fields of the directory, and of the members
        signature = draw(st.sampled_from([b"PK\1\2", b"PK\3\4", b"PK\5\6"]))
        start = changed.find(signature, draw(st.integers(0, max(0, len(changed) - 1))))
        if start >= 0:
            offset, size = draw(st.sampled_from([(6, 2), (8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (42, 4)]))
            number = draw(st.sampled_from([0, 1, 9, 99, 2**15, 2**16 - 1, 2**31, 2**32 - 1])) % 256**size
            if start + offset + size <= len(changed):
                changed[start + offset : start + offset + size] = number.to_bytes(size, "little")
    return bytes(changed)
