"""Decode image files into arrays, in threads; broken files are collected and named."""

import io
import sys
from collections import ChainMap
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from lorae.data.cache import DatasetBuilder, Part
from lorae.data.image_files import ImageStore, map_chunks
from lorae.data.preprocessing import Preparation
from lorae.errors import LoraeError

GRAY_MODES = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "F"})
# Files named in a message.
NAMED_FILES = 3


def decode_splits(
    store: ImageStore,
    names: Mapping[Part, list[str]],
    sides: tuple[int, int],
    preparation: Preparation,
    skip_bad: bool,
    workspace: DatasetBuilder,
) -> dict[str, str]:
    """Decode files into a builder, which keeps the readable ones; return the reason for each skipped file by its name.

    Raises LoraeError after trying every file if some cannot be decoded (unless `skip_bad`), for a crop larger than a
    picture, and for a split without files.
    """
    bad: dict[str, str] = {}
    for part, files in names.items():
        out = workspace.create(part, (len(files), preparation.channels, *sides), np.uint8)
        bad |= _decode_files(store, files, preparation, out, f"decode {part}")
    kept = {part: [row for row, name in enumerate(files) if name not in bad] for part, files in names.items()}
    if bad and not (skip_bad and all(kept.values())):
        total = sum(len(files) for files in names.values())
        advice = "so that a split is empty" if skip_bad else "pass skip_bad=True to leave them out"
        raise LoraeError(
            f"data: {len(bad)} of {total} image files cannot be decoded ({advice}): {_listed(bad)}",
            settings={"skip_bad": True},
        )
    for part, rows in kept.items():
        if len(rows) < len(names[part]):
            workspace.keep_rows(part, np.array(rows, dtype=np.int64))
    return bad


def report_skipped(skipped: dict[str, str]) -> None:
    """Print how many files were left out, if any, to standard error."""
    if skipped:
        files = "image file" if len(skipped) == 1 else "image files"
        print(f"data: left out {len(skipped)} {files}: {_listed(skipped)}", file=sys.stderr)


def first_mode_channels(store: ImageStore) -> int:
    """Return 1 if the first readable image of the store is grayscale, else 3."""
    for name in store.names:
        try:
            with Image.open(io.BytesIO(store.read(name))) as picture:
                return 1 if picture.mode in GRAY_MODES else 3
        # Decoding reports the broken files, all of them at once.
        except Exception:
            continue
    return 3


def decode_picture(content: bytes) -> Image.Image:
    """Return the first frame of an image file, upright, of mode L or RGB; OSError or ValueError for broken files.

    Transparent parts become white; 16-bit gray keeps its upper 8 bits.
    """
    with Image.open(io.BytesIO(content)) as opened:
        opened.load()
        picture = ImageOps.exif_transpose(opened)
    if picture.mode in ("1", "L"):
        return picture.convert("L")
    if picture.mode.startswith("I"):
        return _from_16_bits(picture)
    if picture.mode == "F":
        raise ValueError("pixels are 32-bit floats of unknown range")
    if picture.has_transparency_data:
        gray = picture.mode in ("LA", "La")
        layer = picture.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("L" if gray else "RGB")
    return picture.convert("RGB")


def _from_16_bits(picture: Image.Image) -> Image.Image:
    pixels = np.asarray(picture).astype(np.int64)
    if pixels.min() < 0 or pixels.max() > 65535:
        raise ValueError("pixels are 32-bit integers of unknown range")
    return Image.fromarray((pixels >> 8).astype(np.uint8))


def _decode_files(
    store: ImageStore, names: Sequence[str], preparation: Preparation, out: NDArray[np.uint8], title: str
) -> dict[str, str]:
    """Decode files into the rows of `out`, uint8 (n, c, h, w); return the reason for each failure by file name."""
    row_of = {name: row for row, name in enumerate(names)}

    def decode(chunk: Sequence[str]) -> dict[str, str]:
        bad = {}
        for name in chunk:
            try:
                out[row_of[name]] = preparation.apply(decode_picture(store.read(name)))
            except (LoraeError, MemoryError):
                raise
            # Broken files make Pillow raise almost anything, and one of them must not hide the others.
            except Exception as error:
                bad[name] = _reason(error)
        return bad

    return dict(ChainMap(*map_chunks(title, names, decode)))


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    lines = str(error).strip().splitlines()
    text = lines[0][:120] if lines else type(error).__name__
    return f"truncated file ({text})" if "truncated" in text.lower() else text


def _listed(bad: dict[str, str]) -> str:
    named = [f"{name}: {reason}" for name, reason in sorted(bad.items())[:NAMED_FILES]]
    return "; ".join(named) + (f"; and {len(bad) - NAMED_FILES} more" if len(bad) > NAMED_FILES else "")
