"""Decode the image files of a collection into arrays, in threads; broken files are collected and named."""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from lorae.data.cache import DatasetBuilder, Part
from lorae.data.image_files import ImageStore, counted, map_chunks
from lorae.data.pictures import decode_picture, read_header, reason, refuse_huge_pictures
from lorae.data.pixels import SETTING, Limits
from lorae.data.preprocessing import Preparation
from lorae.errors import LoraeError
from lorae.system.stored_items import Items

# Files named in a message.
NAMED_FILES = 3

Fact = TypeVar("Fact")


@dataclass(frozen=True)
class Survey:
    """Facts about all files of a collection, from their headers.

    channels: 1 if every image is gray, else 3
    dtypes: types of the stored values
    frames: number of frames after the first, by file name, where there are some
    """

    channels: int = 3
    dtypes: list[str] = field(default_factory=list)
    frames: dict[str, int] = field(default_factory=dict)


def survey(store: ImageStore, names: Sequence[str]) -> Survey:
    """Read the headers of files; decoding reports those that cannot be read."""
    headers, frames = Counter[tuple[bool, str]](), dict[str, int]()
    for name, header in read_facts(store, names, "read headers", read_header):
        headers[header.gray, header.dtype] += 1
        if header.frames > 1:
            frames[name] = header.frames - 1
    gray = bool(headers) and all(gray for gray, _ in headers)
    return Survey(1 if gray else 3, sorted({dtype for _, dtype in headers}), frames)


def frames_left_out(found: Survey) -> list[str]:
    """Return a sentence on frames after the first, if there are any."""
    if not found.frames:
        return []
    listed = _listed({name: counted(frames, "frame") for name, frames in found.frames.items()})
    total = counted(sum(found.frames.values()), "frame")
    return [f"{total} after the first of {counted(len(found.frames), 'file')}: {listed}"]


def read_facts(
    store: ImageStore, names: Sequence[str], title: str, read: Callable[[bytes], Fact]
) -> Iterator[tuple[str, Fact]]:
    """Yield every file that is readable with the result of a function of its content, computed in threads."""

    def facts(chunk: Sequence[str]) -> dict[str, Fact]:
        found = {}
        for name in chunk:
            try:
                found[name] = read(store.read(name))
            except Exception:  # broken files make Pillow raise almost anything
                continue
        return found

    with refuse_huge_pictures():
        for found in map_chunks(title, names, facts):
            yield from found.items()


def decode_splits(
    store: ImageStore,
    names: Mapping[Part, list[str]],
    sides: tuple[int, int],
    preparation: Preparation,
    workspace: DatasetBuilder,
    *,
    skip_bad: bool,
    limits: Limits | None,
) -> dict[str, str]:
    """Decode files into a builder, which keeps the readable ones; return the reason for each skipped file by its name.

    Raises LoraeError after trying every file if some cannot be decoded (unless `skip_bad`), for a crop larger than a
    picture, and for a split without files.
    """
    bad: dict[str, str] = {}
    for part, files in names.items():
        out = workspace.create(part, (len(files), preparation.channels, *sides), np.uint8)
        bad |= _decode_files(store, files, preparation, limits, out, f"decode {part}")
    kept = {part: [row for row, name in enumerate(files) if name not in bad] for part, files in names.items()}
    if bad and not (skip_bad and all(kept.values())):
        total = sum(len(files) for files in names.values())
        advice = "so that a split is empty" if skip_bad else "pass skip_bad=True to leave them out"
        raise LoraeError(
            f"data: {len(bad)} of {total} image files cannot be decoded ({advice}): {_listed(bad)}",
            settings={"skip_bad": True} | SETTING,
        )
    for part, rows in kept.items():
        if len(rows) < len(names[part]):
            workspace.keep_rows(part, np.array(rows, dtype=np.int64))
    return bad


def skipped_files(bad: Mapping[str, str]) -> list[str]:
    """Return a sentence on files that cannot be decoded, if there are any."""
    return [f"{counted(len(bad), 'image file')}: {_listed(bad)}"] if bad else []


def report_left_out(sentences: Iterable[str]) -> None:
    """Print sentences on what is left out to standard error."""
    for sentence in sentences:
        print(f"data: left out {sentence}", file=sys.stderr)


def _decode_files(
    store: ImageStore,
    names: Sequence[str],
    preparation: Preparation,
    limits: Limits | None,
    out: Items,
    title: str,
) -> dict[str, str]:
    """Decode files into the rows of `out`, uint8 (n, c, h, w); return the reason for each failure by file name."""
    row_of = {name: row for row, name in enumerate(names)}

    def decode(chunk: Sequence[str]) -> dict[str, str]:
        bad = {}
        for name in chunk:
            try:
                out[row_of[name]] = preparation.apply(decode_picture(store.read(name), limits))
            except (LoraeError, MemoryError):
                raise
            # Broken files make Pillow raise almost anything, and one of them must not hide the others.
            except Exception as error:
                bad[name] = reason(error)
        return bad

    found: dict[str, str] = {}
    with refuse_huge_pictures():
        for bad in map_chunks(title, names, decode):
            found |= bad
    return found


def _listed(named: Mapping[str, str]) -> str:
    listed = [f"{name}: {text}" for name, text in sorted(named.items())[:NAMED_FILES]]
    return "; ".join(listed) + (f"; and {len(named) - NAMED_FILES} more" if len(named) > NAMED_FILES else "")
