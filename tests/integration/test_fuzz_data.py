"""Files of data that no honest program writes: arrays, archives, images, IDX, tables."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

from lorae.data.idx_format import idx_bytes, parse_idx
from tests.integration.attempts import attempt, refused
from tests.integration.fuzzing import Canary, counts, fuzz, npy_files, sings, zip_files

pytestmark = pytest.mark.usefixtures("blank_figures")

NAMES = st.sampled_from(["images", "train", "test", "labels", "train_labels", "x", "arr_0", "../../x", "a/b", ""])


@pytest.fixture
def canary(tmp_path, monkeypatch):
    monkeypatch.setenv("LORAE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "canary"


@pytest.fixture
def read(trained, canary, tmp_path):
    """`read(number, path)` reads a file of items by one of the commands that take one."""

    def read(number, path):
        words = [
            ["data", path, "--json"],
            ["data", path, "--skip-bad"],
            ["encode", trained.path, path, "--out", tmp_path / "codes.npy"],
            ["fid", path, path, "--features", "raw"],
            ["decode", trained.path, path, "--out", tmp_path / "decoded.npy"],
            ["train", path, "--dry-run", "--out", tmp_path / "run"],
        ][number]
        attempt(*words)
        assert not sings(canary)
        assert {found.name for found in tmp_path.iterdir()} <= {
            *("cache", "codes.npy", "decoded.npy", "folder", path.name),
        }

    return read


ways = st.integers(0, 5)


def fuzz_file(count, contents, read, path):
    """Read a file of many contents, each in one of the ways."""

    def check(made):
        way, content = made
        path.write_bytes(content)
        read(way, path)

    fuzz(count, st.tuples(ways, contents), check)


@counts
def test_npy_files(count, canary, read, tmp_path):
    fuzz_file(count, npy_files(canary), read, tmp_path / "items.npy")


@counts
def test_npz_files(count, canary, read, tmp_path):
    members = st.lists(st.tuples(NAMES.map(lambda name: f"{name}.npy"), npy_files(canary)), max_size=4)
    fuzz_file(count, zip_files(members), read, tmp_path / "items.npz")


# Pictures


@st.composite
def pictures(draw):
    """A picture of any format, mode and size, and the ending of its name, which may be another one."""
    kind = draw(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"]))
    mode = draw(st.sampled_from({"GIF": "LP", "JPEG": ["L", "RGB", "CMYK"]}.get(kind, ["L", "RGB", "1"])))
    if kind in ("PNG", "TIFF"):
        mode = draw(st.sampled_from([mode, "I;16", "P", "LA", "RGBA"]))
    picture = Image.new(mode, draw(st.tuples(st.integers(1, 30), st.integers(1, 30))))
    options: dict[str, Any] = {}
    if kind in ("JPEG", "PNG", "WEBP") and draw(st.booleans()):
        exif = Image.Exif()
        exif[0x0112] = draw(st.integers(0, 9))  # the orientation
        options["exif"] = exif
    if kind in ("TIFF", "GIF", "PNG", "WEBP") and draw(st.booleans()):
        options |= {"save_all": True, "append_images": [picture.copy()] * draw(st.integers(1, 5))}
    content = io.BytesIO()
    try:
        picture.save(content, kind, **options)
    except (OSError, ValueError):  # not every mode goes into every format
        content = io.BytesIO()
        picture.convert("L").save(content, kind)
    changed = draw(edited(content.getvalue(), kind))
    return draw(st.sampled_from([kind.lower(), kind.lower(), "png", "jpg", "tif", "gif"])), changed


@st.composite
def edited(draw, content, kind):
    """A picture whose sides, lengths and offsets are others, with checksums that are right."""
    changed = bytearray(content)
    numbers = st.sampled_from([0, 1, 2, 7, 255, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1])
    for _ in range(draw(st.integers(0, 3))):
        # Most numbers of a header are in its first bytes.
        start = draw(st.one_of(st.integers(0, 64), st.integers(0, len(changed))))
        size = draw(st.sampled_from([1, 2, 4]))
        order = draw(st.sampled_from(["little", "big"]))
        changed[start : start + size] = (draw(numbers) % 256**size).to_bytes(size, order)
    if kind == "PNG":
        return with_checksums(bytes(changed))
    if kind == "PPM" and draw(st.booleans()):
        return b"P%d\n%d %d\n%d\n" % tuple(draw(st.tuples(st.integers(1, 7), numbers, numbers, numbers))) + content[9:]
    return bytes(changed)


def with_checksums(content):
    """A PNG file whose chunks, as far as there are any, have the right checksums."""
    parts, place = [content[:8]], 8
    while place + 12 <= len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        body = content[place + 4 : place + 8 + length]
        parts += [content[place : place + 4], body, zlib.crc32(body).to_bytes(4, "big")]
        place += 12 + length
    return b"".join(parts)


@counts
def test_pictures(count, read, tmp_path, images):
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(images[number, 0]).save(folder / f"{number}.bmp")

    def check(made):
        way, (ending, content) = made
        path = folder / f"made.{ending}"
        path.write_bytes(content)
        read(way, folder)
        read(way, path)
        path.unlink()

    fuzz(count, st.tuples(ways, pictures()), check)


@counts
def test_zip_files_of_pictures(count, read, tmp_path):
    names = st.sampled_from(
        [
            *("0.png", "a/0.png", "../0.png", "/etc/0.png", "..\\..\\0.png", "a/../../0.png", "0.jpg", "x\0.png"),
            *("é.png", "train/a/1.png", "test/a/1.png", "C:\\0.png", "x" * 300 + ".png", "inner.zip", "folder/"),
            ".hidden.png",
        ]
    )
    members = st.lists(st.tuples(names, st.one_of(pictures().map(lambda made: made[1]), st.binary())), max_size=5)
    fuzz_file(count, zip_files(members), read, tmp_path / "images.zip")


# IDX


@st.composite
def idx_files(draw):
    sides = st.one_of(st.integers(0, 12), st.sampled_from([2**16, 2**31, 2**32 - 1]))
    shape = draw(st.one_of(st.lists(sides, max_size=6), st.lists(sides, min_size=200, max_size=255)))
    kind = draw(st.sampled_from([8, 8, 8, 8, 9, 13, 14, 0]))
    header = struct.pack(f">HBB{len(shape)}I", draw(st.sampled_from([0, 0, 0, 1])), kind, len(shape), *shape)
    exact = 1
    for side in shape:
        exact *= side
    data = bytes(exact if exact < 2000 and draw(st.booleans()) else draw(st.integers(0, 50)))
    return header + data


@counts
def test_idx_files(count):
    assert parse_idx(idx_bytes(np.ones((2, 3), np.uint8)), "file").tolist() == [[1] * 3] * 2

    def check(content):
        found = refused(lambda: parse_idx(content, "/file"))
        assert found is None or found.size <= len(content)

    fuzz(count, idx_files(), check)


# Tables


@st.composite
def tables(draw):
    """A text that may be a table: cells of any kind in rows of any length."""
    numbers = st.sampled_from(["1", "-2.5", "1e400", "nan", "inf", "", " ", "0x1", "1_0", "9" * 400, "None", "1,5"])
    cells = st.one_of(
        numbers, numbers, st.text(max_size=6), st.sampled_from(['"', "'", "=1+1", "\0", "\ud7ff", '"a\nb"'])
    )
    separator = draw(st.sampled_from([",", ",", ";", "\t", " "]))
    rows = draw(st.lists(st.lists(cells, min_size=1, max_size=5), max_size=8))
    text = draw(st.sampled_from(["\n", "\r\n", "\r"])).join(separator.join(row) for row in rows)
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-16", "latin1", "utf-8-sig"]))
    return text.encode(encoding, errors="replace")


@counts
def test_tables(count, read, tmp_path):
    def check(made):
        way, ending, content = made
        path = tmp_path / f"table.{ending}"
        path.write_bytes(content)
        read(way, path)
        path.unlink()

    fuzz(count, st.tuples(ways, st.sampled_from(["csv", "tsv"]), tables()), check)


def test_the_canary_sings(canary):
    """A reader that takes pickles would be noticed."""
    content = io.BytesIO()
    np.save(content, np.array([Canary(canary)], object), allow_pickle=True)
    content.seek(0)
    np.load(content, allow_pickle=True)
    assert sings(canary)
