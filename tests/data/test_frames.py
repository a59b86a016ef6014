"""One image file as data: its frames are the items, of the values that are stored."""

import io

import numpy as np
import pytest
from PIL import Image

import lorae
from lorae.data import pictures
from lorae.data.sources import read_items
from lorae.errors import LoraeError

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (5, 8, 16), dtype=np.uint8)


def save(path, frames, mode=None, **options):
    images = [Image.fromarray(frame) for frame in frames]
    images = images if mode is None else [image.convert(mode) for image in images]
    images[0].save(path, save_all=True, append_images=images[1:], **options)
    return path


STACKS: dict[str, np.ndarray] = {
    "bytes": GRAY,
    "color": RNG.integers(0, 256, (5, 8, 16, 3), dtype=np.uint8),
    "16 bits": RNG.integers(0, 65536, (5, 8, 16), dtype=np.uint16),
    "32 bits": RNG.integers(0, 256, (5, 8, 16), dtype=np.int32),
    "floats": RNG.random((5, 8, 16), dtype=np.float32),
}


@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_frames_of_a_tiff_file_are_items_in_the_type_of_their_values(tmp_path, name, compression):
    path = save(tmp_path / "a.tif", STACKS[name], compression=compression)
    found = read_items(path, "data").inputs
    np.testing.assert_array_equal(found, STACKS[name])
    assert found.dtype == STACKS[name].dtype
    data, expected = lorae.load_data(path), lorae.load_data(STACKS[name])
    np.testing.assert_array_equal(data.train.inputs, expected.train.inputs)


def test_a_given_range_scales_a_stack_as_its_array(tmp_path):
    stack = RNG.integers(0, 4096, (5, 8, 16), dtype=np.uint16)
    path = save(tmp_path / "a.tif", stack)
    data, expected = (lorae.load_data(source, value_range=(0, 4095)) for source in (path, stack))
    np.testing.assert_array_equal(data.train.inputs, expected.train.inputs)
    assert data.train.inputs.max() > 250


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_frames_of_other_formats_are_items_too(tmp_path, suffix):
    path = save(tmp_path / f"a.{suffix}", np.repeat(GRAY[..., None], 3, axis=3), lossless=True)
    found = read_items(path, "data").inputs
    assert len(found) == len(GRAY)
    np.testing.assert_array_equal(found[..., 0] if found.ndim == 4 else found, GRAY)


def test_one_picture_can_be_encoded_but_not_trained_on(tmp_path):
    Image.fromarray(GRAY[0]).save(tmp_path / "a.png")
    assert read_items(tmp_path / "a.png", "items").inputs.shape == (1, 8, 16)
    with pytest.raises(LoraeError, match="found 1 item, expected at least 2"):
        lorae.load_data(tmp_path / "a.png")


def test_a_folder_of_stacks_holds_one_item_for_each_file(tmp_path, capsys):
    for number in range(3):
        save(tmp_path / f"{number}.tif", GRAY)
    assert len(lorae.load_data(tmp_path, size=8).train) == 2
    assert "12 frames after the first of 3 files" in capsys.readouterr().err


def unlike(path):
    save(path, [GRAY[0], GRAY[1][:, :8]])


def described(path):
    Image.fromarray(GRAY[0]).save(path, tiffinfo={270: "ImageJ=1.53t\nimages=3\nslices=3\n"})


def cut(path):
    save(path, GRAY)
    path.write_bytes(path.read_bytes()[:-40])


def no_picture(path):
    path.write_bytes(b"not a picture")


def postscript(path):
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n")


def huge(path):
    Image.new("1", (20000, 10000)).save(path, compression="group4")


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (unlike, "frame 1 is 8x8 uint8, frame 0 is 8x16 uint8, expected frames alike"),
        (described, "ImageJ's stack of 3 images in 1 frame"),
        (cut, "truncated"),
        (no_picture, "not an image"),
        (postscript, "EPS files are not read"),
        (huge, "more than 89,478,485 pixels"),
    ],
)
def test_other_files_are_refused_in_one_line_with_the_way_out(tmp_path, make, expected):
    path = tmp_path / "a.tif"
    make(path)
    with pytest.raises(LoraeError, match=rf"a\.tif: cannot be read as images \(.*{expected}") as caught:
        read_items(path, "data")
    assert "\n" not in str(caught.value)
    assert "convert it to an .npy file" in str(caught.value)


def test_a_stack_that_memory_cannot_hold_is_refused_before_it_is_decoded(monkeypatch):
    monkeypatch.setattr(pictures, "MOST_BYTES", 500)
    buffer = io.BytesIO()
    images = [Image.fromarray(frame) for frame in GRAY]
    images[0].save(buffer, "TIFF", save_all=True, append_images=images[1:])
    with pytest.raises(ValueError, match="5 frames"):
        pictures.read_frames(buffer.getvalue())
