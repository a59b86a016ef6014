"""The range of pixel values: one rule for files and arrays."""

import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from lorae.data import DataSettings, load_data
from lorae.data.collection import load_collection
from lorae.errors import LoraeError, LoraeWarning

RAMP = np.linspace(0, 1, 64).reshape(8, 8)
SOURCES = ["array", "npy", "png", "tif", "zip of tif", "collection"]


def load(tmp_path, source, values, **settings):
    """Two images of the same values, by one of the SOURCES; the first of them."""
    images = np.stack([values, values])
    if source == "array":
        return load_data(DataSettings.from_values({"data": "array", **settings}, str), images).train.inputs[0, 0]
    if source == "npy":
        np.save(tmp_path / "images.npy", images)
        data = tmp_path / "images.npy"
    else:
        data = tmp_path / "images"
        data.mkdir()
        for name in "ab":
            Image.fromarray(values).save(data / f"{name}.{'png' if source == 'png' else 'tif'}")
        if source == "collection":
            return load_collection(data, **settings).items[0, 0]
    return load_data(DataSettings.from_values({"data": str(data), "size": 8, **settings}, str)).train.inputs[0, 0]


FORMS = {
    "uint8": (np.uint8, 255, SOURCES),
    "uint16": (np.uint16, 65535, SOURCES),
    "float32": (np.float32, 1, ["array", "npy", "tif", "collection"]),
    "float64": (np.float64, 1, ["array", "npy"]),
    "int64": (np.int64, 255, ["array", "npy"]),
    "int32": (np.int32, 255, ["array", "npy", "tif", "collection"]),
}
CASES = [(name, source) for name, (_, _, sources) in FORMS.items() for source in sources if "zip" not in source]


def of_type(name, top):
    """The ramp from 0 to `top` in a type."""
    dtype = FORMS[name][0]
    values = RAMP * top
    return (values if np.dtype(dtype).kind == "f" else np.rint(values)).astype(dtype)


@pytest.mark.parametrize(("name", "source"), CASES)
def test_the_range_is_that_of_the_type_wherever_the_values_come_from(tmp_path, name, source):
    top = FORMS[name][1]
    values = of_type(name, top)
    expected = values >> 8 if name == "uint16" else np.rint(values * (255 / top))
    np.testing.assert_array_equal(load(tmp_path, source, values), expected.astype(np.uint8))


@pytest.mark.parametrize(("name", "source"), CASES)
def test_a_given_range_takes_its_place(tmp_path, name, source):
    """Of 12 bits in integers of 16, of floats around zero, of masks of 0 and 1."""
    low, high = {"uint8": (0, 1), "uint16": (0, 4095), "float32": (-1, 1), "float64": (-2, 5)}.get(name, (-1000, 3000))
    dtype = FORMS[name][0]
    values = low + RAMP * (high - low)
    values = (values if np.dtype(dtype).kind == "f" else np.rint(values)).astype(dtype)
    given = (low, high) if source == "collection" else f"{low}:{high}"
    found = load(tmp_path, source, values, value_range=given)
    expected = (values.astype(np.float64) - low) / (high - low) * 255
    assert np.abs(found - expected).max() <= 0.5 + 1e-4
    assert (found.min(), found.max()) == (0, 255)


@pytest.mark.parametrize("source", ["array", "npy", "png", "tif", "collection"])
@pytest.mark.parametrize("bits", [10, 12, 14])
def test_images_that_use_a_small_part_of_their_range_give_a_warning(tmp_path, source, bits):
    top = 2**bits - 1
    with pytest.warns(LoraeWarning, match=rf"no pixel is above {top >> 8} of 255.*pass value_range=LOW:HIGH"):
        load(tmp_path, source, of_type("uint16", top))


@pytest.mark.parametrize("source", ["npy", "tif"])
def test_the_warning_comes_again_from_the_cache(tmp_path, source):
    for copy in ("a", "b"):  # of the same content, so that the second is found in the cache
        (tmp_path / copy).mkdir()
        with pytest.warns(LoraeWarning, match="no pixel is above 15 of 255"):
            load(tmp_path / copy, source, of_type("uint16", 4095))


@pytest.mark.parametrize("source", ["array", "png"])
def test_masks_of_0_and_1_give_a_warning(tmp_path, source):
    with pytest.warns(LoraeWarning, match="no pixel is above 1 of 255"):
        load(tmp_path, source, (RAMP > 0.5).astype(np.uint8))


@pytest.mark.parametrize(("name", "top"), [("uint8", 40), ("uint16", 0), ("uint16", 2**15), ("float32", 0.5)])
def test_dark_images_that_may_have_the_range_of_their_type_give_none(tmp_path, name, top):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(tmp_path, "array", of_type(name, top))


@pytest.mark.parametrize(
    ("name", "source", "top", "got"),
    [
        ("float32", "array", 255, "4.04"),
        ("float32", "tif", 255, "4.04"),
        ("int32", "array", 4095, "260"),
        ("int32", "tif", 4095, "260"),
        ("float64", "npy", 2, "1.01"),
    ],
)
def test_values_outside_the_range_are_refused_with_the_setting(tmp_path, name, source, top, got):
    with pytest.raises(
        LoraeError, match=rf"got {got}.*expected numbers in 0\.\.\d+; pass value_range=LOW:HIGH"
    ) as caught:
        load(tmp_path, source, of_type(name, top))
    assert caught.value.settings["value_range"] == "LOW:HIGH"


@pytest.mark.parametrize("source", ["array", "npy", "png", "collection"])
def test_values_outside_a_given_range_are_refused(tmp_path, source):
    given = (0, 4000) if source == "collection" else "0:4000"
    with pytest.raises(LoraeError, match=r"got 40\d\d.*expected numbers in 0\.\.4000"):
        load(tmp_path, source, of_type("uint16", 4095), value_range=given)


def test_files_of_several_types_give_a_warning(tmp_path):
    Image.fromarray(of_type("uint8", 255)).save(tmp_path / "a.png")
    Image.fromarray(of_type("uint16", 65535)).save(tmp_path / "b.png")
    with pytest.warns(LoraeWarning, match=r"values of the types uint16, uint8.*value_range"):
        load_data(DataSettings(data=str(tmp_path), size=8))


@pytest.mark.parametrize("format", ["png", "tif"])
def test_16_bit_color_is_read_by_its_upper_bits_only(tmp_path, format):
    """Pillow drops the lower bits itself, so a range is refused rather than applied to what is left."""
    values = np.random.default_rng(0).integers(0, 65536, (8, 8, 3)).astype(np.uint16)
    if format == "png":

        def chunk(kind, content):
            return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
        header = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
        content = (
            b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
        )
    else:
        tags = [(256, 8), (257, 8), (258, None), (259, 1), (262, 2), (273, 8), (277, 3), (278, 8), (279, values.nbytes)]
        end = 8 + values.nbytes
        bits = end + 2 + 12 * len(tags) + 4
        entries = b"".join(
            struct.pack("<HHII", tag, 3, 3, bits) if value is None else struct.pack("<HHII", tag, 4, 1, value)
            for tag, value in tags
        )
        content = struct.pack("<2sHI", b"II", 42, end) + values.tobytes() + struct.pack("<H", len(tags)) + entries
        content += struct.pack("<I3H", 0, 16, 16, 16)
    for name in "ab":
        (tmp_path / f"{name}.{format}").write_bytes(content)
    found = load_data(DataSettings(data=str(tmp_path), size=8)).train.inputs[0]
    np.testing.assert_array_equal(found, (values >> 8).transpose(2, 0, 1))
    with pytest.raises(LoraeError, match=r"2 of 2 .*16-bit color is read as 8 bits.*use an \.npy file"):
        load_data(DataSettings(data=str(tmp_path), size=8, value_range=(0, 4095)))


@pytest.mark.parametrize("value", ["5", "1:0", "0:inf", "a:b", "0:1:2", (1, 1), "nan:1"])
def test_ranges_that_are_none_are_refused(value):
    with pytest.raises(LoraeError, match=r"value_range: got .*expected LOW:HIGH with two numbers, LOW < HIGH"):
        DataSettings.from_values({"data": "array", "value_range": value}, str)


@pytest.mark.parametrize("data", ["mnist", "celeba", "shapes"])
def test_data_sets_of_the_package_have_their_range(data):
    with pytest.raises(LoraeError, match=f"value_range: got .*{data} has a range of its own"):
        load_data(DataSettings(data=data, value_range=(0, 1)))


def test_vectors_have_no_range():
    with pytest.raises(LoraeError, match=r"value_range: got .*vectors, not images"):
        load_data(DataSettings(data="array", value_range=(0, 1)), np.zeros((5, 4)))
