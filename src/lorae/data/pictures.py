"""Image files of users: which formats are read, what their headers say, and their pixels."""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError, features

from lorae.data.pixels import Limits, scaled_to_bytes, type_limits
from lorae.system.memory import memory

# Pillow chooses the decoder by the content of a file, whatever its name. Its other decoders are left out, because some
# run a program (EPS: Ghostscript), read further files, or hand the content to code that others have registered.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "AVIF")
OPTIONAL_FORMATS = ("WEBP", "AVIF")  # Pillow can be built without their libraries

# Beginnings of other formats that users may take for readable ones, for messages.
OTHER_FORMATS = {
    rb"%!PS|\xc5\xd0\xd3\xc6": "EPS",
    rb"%PDF": "PDF",
    rb"\s*<(svg|\?xml)": "SVG",
    rb"8BPS": "Photoshop",
    rb"\xd7\xcd\xc6\x9a": "WMF",
    rb"SIMPLE  =": "FITS",
    rb"\x89HDF": "HDF5",
    rb".{128}DICM": "DICOM",
    rb"....ftyp(heic|heix|hevc|mif1|msf1)": "HEIC",
    rb"....jP  |\xff\x4f\xff\x51": "JPEG 2000",
    rb"\x00\x00\x01\x00": "icon",
}

# Rotations by a quarter swap height and width: values of the EXIF tag of the orientation.
ORIENTATION = 0x0112
QUARTER_TURNS = (5, 6, 7, 8)

DESCRIPTION = 270  # the TIFF tag in which ImageJ counts the images of a stack
MOST_BYTES = 2**34  # of all frames of one file, which are kept in memory


@dataclass(frozen=True)
class Header:
    """Facts about a picture that need no decoding."""

    gray: bool
    # Type of the values as stored: uint8, uint16, int32 or float32. Colors of 16 bits are uint8, as Pillow reads them.
    dtype: str
    frames: int


@cache
def readable_formats() -> tuple[str, ...]:
    """Return those of FORMATS that this Pillow reads."""
    Image.init()
    known = [name for name in FORMATS if name in Image.OPEN]
    return tuple(name for name in known if name not in OPTIONAL_FORMATS or features.check(name.lower()))


@contextmanager
def refuse_huge_pictures() -> Iterator[None]:
    """Make Pillow refuse pictures of more than about 90 million pixels, of which it only warns by default.

    Filters of warnings belong to the process, so this surrounds the threads that decode, not each of them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def open_picture(content: bytes) -> Image.Image:
    """Return an image file in one of FORMATS, whose pixels are not decoded yet.

    Every picture of a user is opened here.
    Raises the errors of Pillow for broken files, and UnidentifiedImageError or ValueError for other formats.
    """
    try:
        return Image.open(io.BytesIO(content), formats=readable_formats())
    except UnidentifiedImageError:
        for pattern, name in OTHER_FORMATS.items():
            if re.match(pattern, content, re.DOTALL):
                raise ValueError(f"{name} files are not read, expected {', '.join(readable_formats())}") from None
        raise


def read_header(content: bytes) -> Header:
    """Return the facts of an image file; errors as `open_picture`."""
    with open_picture(content) as picture:
        # The further pictures of a JPEG file are previews and depth maps of the first, not pictures of their own.
        frames = 1 if picture.format == "MPO" else getattr(picture, "n_frames", 1)
        return Header(_is_gray(picture), _dtype(picture), frames)


def read_sides(content: bytes) -> tuple[int, int]:
    """Return height and width of the upright picture; errors as `open_picture`."""
    with open_picture(content) as picture:
        turned = picture.getexif().get(ORIENTATION) in QUARTER_TURNS
        return (picture.width, picture.height) if turned else (picture.height, picture.width)


def decode_picture(content: bytes, limits: Limits | None = None) -> Image.Image:
    """Return the first frame of an image file, upright, of mode L or RGB.

    Transparent parts become white. `limits` are the values of black and white; None takes those of the file's type.
    Raises the errors of Pillow for broken files, and ValueError for values outside the limits.
    """
    with open_picture(content) as opened:
        opened.load()
        dtype, deep_color = _dtype(opened), _is_deep_color(opened, content)
        picture = ImageOps.exif_transpose(opened)
    if dtype == "uint8":
        picture = _flattened(picture)
        if limits is None or opened.mode == "1":
            return picture
        if deep_color:
            raise ValueError("16-bit color is read as 8 bits, which value_range does not describe; use an .npy file")
    values = np.asarray(picture).astype(dtype)
    return Image.fromarray(scaled_to_bytes(values, limits or type_limits(values.dtype)))


def read_frames(content: bytes) -> NDArray[Any]:
    """Return all frames of an image file as stored: gray (n, h, w), of its type, or uint8 color (n, h, w, 3).

    Transparent parts become white; colors of 16 bits keep their upper 8, as everywhere. Raises the errors of Pillow for
    broken files, and ValueError for frames of several shapes or types and for a stack of which Pillow reads one frame.
    """
    with refuse_huge_pictures(), open_picture(content) as opened:
        described = str(getattr(opened, "tag_v2", {}).get(DESCRIPTION, ""))
        count = 1 if opened.format == "MPO" else getattr(opened, "n_frames", 1)
        stated = re.search(r"^images=(\d+)", described, re.MULTILINE) if described.startswith("ImageJ") else None
        if stated and int(stated[1]) != count:
            raise ValueError(f"ImageJ's stack of {stated[1]} images in {count} frame, expected a frame for each")
        frames: list[NDArray[Any]] = []
        for number in range(count):
            opened.seek(number)
            opened.load()
            dtype = _dtype(opened)
            upright = ImageOps.exif_transpose(opened)
            frame = np.asarray(_flattened(upright) if dtype == "uint8" else upright).astype(dtype)
            if frames and (frame.shape, frame.dtype) != (frames[0].shape, frames[0].dtype):
                raise ValueError(
                    f"frame {number} is {_described(frame)}, frame 0 is {_described(frames[0])}, expected frames alike"
                )
            frames.append(frame)
            if number == 0 and frame.nbytes * count > min(MOST_BYTES, memory() or MOST_BYTES):
                raise ValueError(f"{count:,} frames of {frame.nbytes / 2**20:,.0f} MiB are more than memory must hold")
    return np.stack(frames)


def _described(frame: NDArray[Any]) -> str:
    return f"{'x'.join(map(str, frame.shape))} {frame.dtype}"


def reason(error: Exception) -> str:
    """Return in a few words why a file cannot be decoded."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return f"more than {Image.MAX_IMAGE_PIXELS:,} pixels"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    lines = str(error).strip().splitlines()
    text = lines[0][:120] if lines else type(error).__name__
    return f"truncated file ({text})" if "truncated" in text.lower() else text


def _dtype(picture: Image.Image) -> str:
    """Return the type of the values as stored."""
    if picture.mode == "F":
        return "float32"
    if picture.mode == "I" and picture.format == "TIFF":
        return "int32"
    # PNG and PPM have no integers of more than 16 bits.
    return "uint16" if picture.mode.startswith("I") else "uint8"


def _is_gray(picture: Image.Image) -> bool:
    if picture.mode == "P":
        palette = np.array(picture.getpalette("RGB")).reshape(-1, 3)
        return bool((palette == palette[:, :1]).all())
    return picture.mode[0] in "1LIF" and picture.mode != "LAB"


def _is_deep_color(picture: Image.Image, content: bytes) -> bool:
    """Return whether Pillow has dropped the lower bits of 16-bit color."""
    if picture.format == "TIFF":
        bits: tuple[int, ...] = picture.tag_v2.get(258, (8,))  # type: ignore[attr-defined]  # the tag BitsPerSample
        return max(bits) > 8
    return picture.format == "PNG" and content[24] > 8  # the bit depth in the chunk IHDR, which comes first


def _flattened(picture: Image.Image) -> Image.Image:
    """Return a picture of mode L or RGB, on white."""
    mode = "L" if picture.mode in ("1", "L", "LA", "La") else "RGB"
    if not picture.has_transparency_data:
        return picture.convert(mode)
    layer = picture.convert("RGBA")
    white = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(white, layer).convert(mode)
