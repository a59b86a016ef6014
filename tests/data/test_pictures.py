"""Picture files of users: which are read, which are refused, and which are counted."""

import contextlib
import io
import os
import shutil
import stat
import struct
import sys
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, features

from lorae.data import DataSettings, load_data
from lorae.data import image_files as files_module
from lorae.data.collection import load_collection
from lorae.data.pictures import FORMATS, open_picture, readable_formats
from lorae.errors import LoraeError

Image.init()

ENTRANCES = ["folder", "zip", "celeba", "collection", "collection of a zip"]
POSTSCRIPT = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(planted) (w) file closefile\nshowpage\n%%EOF\n"
)


def picture(shape=(8, 8, 3), seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))


def encoded(format, image=None, **options) -> bytes:
    buffer = io.BytesIO()
    (image or picture()).save(buffer, format, **options)
    return buffer.getvalue()


def fill(folder: Path, contents: dict[str, bytes]) -> Path:
    """Write files beside four good pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(4):
        (folder / f"good{number}.png").write_bytes(encoded("PNG", picture(seed=number)))
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def load(tmp_path):
    """Load a folder by one of the ENTRANCES; all items as one array."""

    def load(folder: Path, entrance="folder", **settings):
        archive = tmp_path / "pictures.zip"
        with zipfile.ZipFile(archive, "w") as file:
            for path in sorted(folder.iterdir()):
                if path.is_file():
                    file.write(path, path.name)
        if entrance.startswith("collection"):
            return load_collection(folder if entrance == "collection" else archive, size=8, **settings).items
        if entrance == "celeba":
            shutil.copytree(folder, tmp_path / "root" / "img_align_celeba", dirs_exist_ok=True)
            settings |= {"data_root": str(tmp_path / "root")}
        data = {"folder": str(folder), "zip": str(archive), "celeba": "celeba"}[entrance]
        dataset = load_data(DataSettings(data=data, size=8, **settings))
        return np.concatenate([dataset.train.inputs, dataset.test.inputs])

    return load


@pytest.fixture
def ghostscript(tmp_path, monkeypatch):
    """A program in the place of Ghostscript; the file that it writes."""
    written, program = tmp_path / "written", tmp_path / "programs" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {written}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    return written


@pytest.mark.skipif(sys.platform == "win32", reason="the program is a shell script")
@pytest.mark.parametrize("entrance", ENTRANCES)
@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x"])
def test_postscript_is_never_run(tmp_path, load, ghostscript, entrance, name):
    folder = fill(tmp_path / "pictures", {name: POSTSCRIPT})
    if name != "x":  # without a suffix, the content decides that it is no image
        with pytest.raises(
            LoraeError, match=rf"1 of 5 image files .*{name}: EPS files are not read, expected PNG, JPEG"
        ):
            load(folder, entrance)
    assert len(load(folder, entrance, skip_bad=True)) == 4
    assert not ghostscript.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="the program is a shell script")
def test_pillow_alone_would_run_it(ghostscript):
    """The test above can fail."""
    with pytest.raises(OSError):  # noqa: PT011 - the program makes no picture
        Image.open(io.BytesIO(POSTSCRIPT)).load()
    assert ghostscript.exists()


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_no_other_decoder_of_pillow_sees_a_file(tmp_path, load, entrance, monkeypatch):
    """Even if it accepts everything; among them are those that start programs or read further files."""
    seen = []
    for name in set(Image.OPEN) - set(FORMATS):
        monkeypatch.setitem(Image.OPEN, name, (lambda *_, name=name: seen.append(name), lambda _: True))
    folder = fill(tmp_path / "pictures", {"x.png": b"something", "y.jpg": POSTSCRIPT, "z.tif": b""})
    with pytest.raises(LoraeError, match="3 of 7 image files"):
        load(folder, entrance)
    assert len(load(folder, entrance, skip_bad=True)) == 4
    assert seen == []


def encoded_in_some_mode(format) -> bytes:
    """A picture in a format that may have only some modes; empty where Pillow cannot write it."""
    for mode in ("RGB", "L", "1", "P", "RGBA"):
        with contextlib.suppress(OSError, ValueError, NotImplementedError), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return encoded(format, picture().resize((16, 16)).convert(mode))
    return b""


@pytest.mark.parametrize("format", sorted(set(Image.SAVE) & set(Image.OPEN) - set(FORMATS)))
def test_files_of_other_formats_are_refused(tmp_path, load, format):
    content = encoded_in_some_mode(format)
    if not content:
        pytest.skip("Pillow cannot write it")
    with pytest.raises(LoraeError, match=r"1 of 5 image files cannot be decoded .*x\.png: .*not (read|an image)"):
        load(fill(tmp_path / "pictures", {"x.png": content}))


def test_every_format_of_the_documentation_is_read():
    docs = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
    for name in FORMATS:
        assert name in docs.upper()
    for name in readable_formats():
        assert open_picture(encoded(name)).size == (8, 8)


@pytest.mark.parametrize(
    "suffix", ["jpg", "JPEG", "jpe", "jfif", "png", "apng", "bmp", "gif", "tif", "tiff", "webp", "ppm", "pnm", "avif"]
)
def test_every_usual_name_is_read(tmp_path, load, suffix):
    format = {"j": "JPEG", "p": "PNG", "b": "BMP", "g": "GIF", "t": "TIFF", "w": "WEBP", "a": "AVIF"}[suffix[0].lower()]
    format = {"ppm": "PPM", "pnm": "PPM", "apng": "PNG"}.get(suffix, format)
    if format == "AVIF" and "AVIF" not in readable_formats():
        pytest.skip("this Pillow reads no AVIF")
    assert len(load(fill(tmp_path / "pictures", {f"x.{suffix}": encoded(format)}))) == 5


@pytest.mark.parametrize("entrance", ["folder", "zip"])
@pytest.mark.parametrize("format", [name for name in FORMATS if name != "PPM"])
def test_files_without_a_suffix_are_read_if_they_are_images(tmp_path, load, capsys, entrance, format):
    if format not in readable_formats():
        pytest.skip("this Pillow does not read it")
    folder = fill(tmp_path / "pictures", {"x": encoded(format), "README": b"BM: words, no image"})
    assert len(load(folder, entrance)) == 5
    assert "left out 1 file whose name and content are not of an image (1 without a suffix)" in capsys.readouterr().err


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_files_left_out_are_counted_by_kind(tmp_path, load, capsys, entrance):
    others = {"a.heic": b"", "b.heic": b"", "c.TXT": b"", "d.svg": b"<svg/>", ".hidden": b""}
    load(fill(tmp_path / "pictures", others), entrance)
    line = "data: left out 4 files whose name and content are not of an image (2 .heic, 1 .txt, 1 .svg)"
    assert line in capsys.readouterr().err.splitlines()


def test_what_was_left_out_is_part_of_the_description(tmp_path):
    frames = [picture(seed=number) for number in range(3)]
    contents = {
        "notes.txt": b"",
        "x.png": b"no image",
        "y.gif": encoded("GIF", frames[0], save_all=True, append_images=frames[1:]),
    }
    folder = fill(tmp_path / "pictures", contents)
    described = load_data(DataSettings(data=str(folder), size=8, skip_bad=True)).describe()
    assert described["left_out"] == [
        "1 file whose name and content are not of an image (1 .txt)",
        "1 image file: x.png: not an image",
        "2 frames after the first of 1 file: y.gif: 2 frames",
    ]


@pytest.mark.parametrize("format", ["TIFF", "GIF", "WEBP", "PNG"])
def test_frames_after_the_first_are_counted(tmp_path, load, capsys, format):
    frames = [picture(seed=number) for number in range(10, 14)]
    content = encoded(format, frames[0], save_all=True, append_images=frames[1:], lossless=True)
    items = load(fill(tmp_path / "pictures", {f"x.{format.lower()}": content}))
    assert f"left out 3 frames after the first of 1 file: x.{format.lower()}: 3 frames" in capsys.readouterr().err
    if format != "GIF":  # whose colors are reduced
        assert any(np.array_equal(item.transpose(1, 2, 0), np.asarray(frames[0])) for item in items)


def png_of_sides(width: int, height: int) -> bytes:
    """A PNG file whose header claims a size, with hardly any content."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize("entrance", ENTRANCES)
@pytest.mark.parametrize("sides", [(10_000, 10_000), (50_000, 50_000)])
def test_pictures_of_too_many_pixels_are_refused_in_one_line(tmp_path, load, entrance, sides):
    folder = fill(tmp_path / "pictures", {"x.png": png_of_sides(*sides)})
    with pytest.raises(LoraeError, match=r"x\.png: more than 89,478,485 pixels$"):
        load(folder, entrance)
    assert len(load(folder, entrance, skip_bad=True)) == 4


@pytest.mark.parametrize("entrance", ["folder", "zip", "collection"])
def test_files_of_too_many_bytes_are_refused(tmp_path, load, entrance, monkeypatch):
    folder = fill(tmp_path / "pictures", {"x.png": encoded("PNG") + bytes(2**16)})
    monkeypatch.setattr(files_module, "MOST_BYTES", 2**16)
    with pytest.raises(LoraeError, match=r"x\.png: has \d+ bytes, expected at most 65536"):
        load(folder, entrance)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes and links are others there")
@pytest.mark.parametrize("skip_bad", [False, True])
@pytest.mark.parametrize("name", ["x.png", "x"])
def test_pipes_devices_and_broken_links_are_not_read(tmp_path, load, skip_bad, name):
    for kind in ("pipe", "device", "broken"):
        folder = fill(tmp_path / kind, {})
        if kind == "pipe":
            os.mkfifo(folder / name)
        else:
            (folder / name).symlink_to("/dev/zero" if kind == "device" else tmp_path / "missing")
        if name == "x" or skip_bad:
            assert len(load(folder, skip_bad=skip_bad)) == 4
            continue
        expected = "link to a missing file" if kind == "broken" else "not a regular file"
        with pytest.raises(LoraeError, match=rf"x\.png: {expected}"):
            load(folder)


def test_a_folder_named_like_a_picture_is_a_folder(tmp_path, load):
    folder = fill(tmp_path / "pictures", {})
    fill(folder / "x.png", {})
    assert len(load(folder)) == 8


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_in_archives_are_not_followed(tmp_path):
    """They would name any file of the machine."""
    secret = tmp_path / "secret.png"
    secret.write_bytes(encoded("PNG"))
    path = tmp_path / "pictures.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(4):
            archive.writestr(f"good{number}.png", encoded("PNG"))
        link = zipfile.ZipInfo("x.png")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, str(secret))
    with pytest.raises(LoraeError, match=r"1 of 5 image files .*x\.png: not an image"):
        load_data(DataSettings(data=str(path), size=8))


def test_gray_palettes_are_gray(tmp_path):
    gray = picture((8, 8)).convert("P")
    colored = picture().convert("P", palette=Image.Palette.ADAPTIVE)
    for image, channels in ((gray, 1), (colored, 3)):
        folder = tmp_path / str(channels)
        folder.mkdir()
        for name in "ab":
            (folder / f"{name}.png").write_bytes(encoded("PNG", image))
        dataset = load_data(DataSettings(data=str(folder), size=8))
        assert dataset.shape == (channels, 8, 8)
        expected = np.asarray(image.convert("L" if channels == 1 else "RGB")).reshape(8, 8, -1).transpose(2, 0, 1)
        np.testing.assert_array_equal(dataset.train.inputs[0], expected)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_transparent_color_becomes_white(tmp_path, mode):
    folder = tmp_path / "pictures"
    folder.mkdir()
    color = (9, 9, 9) if mode == "RGB" else 9
    for name in "ab":
        (folder / f"{name}.png").write_bytes(encoded("PNG", Image.new(mode, (8, 8), color), transparency=color))
    assert load_data(DataSettings(data=str(folder), size=8)).train.inputs.min() == 255


@pytest.mark.skipif(sys.platform != "linux", reason="names that are not UTF-8 need Linux")
def test_names_that_are_not_text_are_read(tmp_path, load):
    folder = fill(tmp_path / "pictures", {})
    (folder / os.fsdecode(b"caf\xe9.png")).write_bytes(encoded("PNG"))
    assert len(load_data(DataSettings(data=str(folder), size=8)).train) == 4


def test_a_format_is_left_out_only_where_pillow_lacks_its_library():
    missing = set(FORMATS) - set(readable_formats())
    assert missing <= {"WEBP", "AVIF"}
    assert not any(features.check(name.lower()) for name in missing)
