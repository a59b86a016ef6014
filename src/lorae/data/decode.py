"""Decoding of image files into the arrays of a workspace, in threads; broken files are collected and named."""

import io
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from lorae.data.cache import DatasetBuilder, Part
from lorae.data.image_files import CHUNK, THREADS, ImageStore
from lorae.data.preprocessing import Preparation
from lorae.errors import LoraeError
from lorae.system.progress import progress_bar

GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "F"})
NAMED_FILES = 3


def decode_splits(
    store: ImageStore,
    names: dict[Part, list[str]],
    labels: dict[Part, NDArray[np.int64]] | None,
    preparation: Preparation,
    skip_bad: bool,
    workspace: DatasetBuilder,
) -> dict[str, str]:
    """Decode the files of both splits into the workspace; returns the name of each skipped file -> the reason.

    Every file is tried before a LoraeError names those that cannot be decoded (unless `skip_bad`).
    Raises LoraeError too for a crop larger than a picture and where a split has no file left.
    """
    assert preparation.size is not None, "image files differ in size, so they are always resized"
    bad: dict[str, str] = {}
    for part, files in names.items():
        shape = (len(files), preparation.channels, preparation.size, preparation.size)
        out = workspace.create(part, shape, np.uint8)
        if labels is not None:
            workspace.set_labels(part, labels[part])
        bad |= decode_files(store, files, preparation, out, f"decode {part}")
    total = sum(len(files) for files in names.values())
    if bad and not skip_bad:
        raise undecodable(bad, total)
    for part, files in names.items():
        rows = np.array([row for row, name in enumerate(files) if name not in bad], dtype=np.int64)
        if len(rows) == 0:
            raise LoraeError(f"data: no file of the {part} split can be decoded: {_listed(bad)}")
        if len(rows) < len(files):
            workspace.keep_rows(part, rows)
    return bad


def report_skipped(skipped: dict[str, str]) -> None:
    """Say on standard error how many files were left out, if any."""
    if skipped:
        files = "image file" if len(skipped) == 1 else "image files"
        print(f"data: left out {len(skipped)} {files}: {_listed(skipped)}", file=sys.stderr)


def first_mode_channels(store: ImageStore) -> int:
    """1 if the first readable image of the store has a grey mode, else 3 (also where none is readable)."""
    for name in store.names:
        try:
            with Image.open(io.BytesIO(store.read(name))) as picture:
                return 1 if picture.mode in GREY_MODES else 3
        # Decoding reports the broken files, all of them at once.
        except Exception:
            continue
    return 3


def decode_picture(content: bytes) -> Image.Image:
    """The first frame of an image file, upright, of mode L or RGB.

    Transparent parts become white; 16-bit grey keeps its upper 8 bits.
    Raises whatever Pillow raises for broken files, ValueError for pixels of an unknown range.
    """
    with Image.open(io.BytesIO(content)) as opened:
        opened.load()
        picture = ImageOps.exif_transpose(opened)
    if picture.mode in ("L", "RGB"):
        return picture
    if picture.mode == "1":
        return picture.convert("L")
    if picture.mode.startswith("I"):
        return _from_16_bits(picture)
    if picture.mode == "F":
        raise ValueError("pixels are 32-bit floats of unknown range")
    if picture.has_transparency_data:
        grey = picture.mode in ("LA", "La")
        layer = picture.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("L" if grey else "RGB")
    return picture.convert("RGB")


def _from_16_bits(picture: Image.Image) -> Image.Image:
    pixels = np.asarray(picture).astype(np.int64)
    if pixels.min() < 0 or pixels.max() > 65535:
        raise ValueError("pixels are 32-bit integers of unknown range")
    return Image.fromarray((pixels >> 8).astype(np.uint8))


def decode_files(
    store: ImageStore, names: Sequence[str], preparation: Preparation, out: NDArray[np.uint8], title: str
) -> dict[str, str]:
    """Decode files into the rows of `out`, uint8 (n, c, h, w); name of each file that failed -> the reason."""

    def decode(start: int) -> list[tuple[str, str]]:
        bad = []
        for row, name in enumerate(names[start : start + CHUNK], start):
            try:
                out[row] = preparation.apply(decode_picture(store.read(name)))
            except (LoraeError, MemoryError):
                raise
            # Broken files make Pillow raise almost anything, and one of them must not hide the others.
            except Exception as error:
                bad.append((name, _reason(error)))
        return bad

    starts = range(0, len(names), CHUNK)
    found: dict[str, str] = {}
    with progress_bar() as bar, ThreadPoolExecutor(THREADS) as pool:
        task = bar.add_task(title, total=len(names), note="")
        for start, bad in zip(starts, pool.map(decode, starts), strict=True):
            found.update(bad)
            bar.update(task, completed=min(start + CHUNK, len(names)))
    return found


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    lines = str(error).strip().splitlines()
    text = lines[0][:120] if lines else type(error).__name__
    return f"truncated file ({text})" if "truncated" in text.lower() else text


def undecodable(bad: dict[str, str], total: int) -> LoraeError:
    """Return the error for files that cannot be decoded, given the name of each and the reason."""
    return LoraeError(
        f"data: {len(bad)} of {total} image files cannot be decoded (pass skip_bad=True to leave them out): "
        f"{_listed(bad)}",
        settings={"skip_bad": True},
    )


def _listed(bad: dict[str, str]) -> str:
    named = [f"{name}: {reason}" for name, reason in sorted(bad.items())[:NAMED_FILES]]
    return "; ".join(named) + (f"; and {len(bad) - NAMED_FILES} more" if len(bad) > NAMED_FILES else "")
