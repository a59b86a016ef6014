"""Image files by name, in a folder or in a zip file."""

import hashlib
import lzma
import os
import re
import zipfile
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path, PurePosixPath
from typing import Protocol, TypeVar

from lorae.data.cache import remembered
from lorae.errors import LoraeError
from lorae.system.faults import reason_of
from lorae.system.files import read_file
from lorae.system.memory import MOST_UNPACKED
from lorae.system.progress import progress_bar
from lorae.system.stored_items import identity_of, in_memory_bytes

# Names of files that are read as images; files without a suffix are read if their first bytes are a SIGNATURE.
IMAGE_SUFFIXES = (
    *(".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"),
    *(".apng", ".avif", ".jfif", ".jpe", ".pbm", ".pfm", ".pnm"),
)
SIGNATURE = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|RIFF....WEBP|BM....\0\0\0\0|II\*\0|MM\0\*|....ftypavi[fs]", re.DOTALL
)
# Files in archives may claim any size; the largest picture that is read, with 8 bytes a pixel, is smaller.
MOST_BYTES = 2**30
THREADS = min(16, (os.cpu_count() or 1) + 4)
CHUNK = 64
# Chunks for each thread that wait for it or for their turn.
AHEAD = 2
# Errors of reading a member of a zip file that is damaged, encrypted or packed in an unknown way.
UNREADABLE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, ValueError)

Result = TypeVar("Result")


class ImageStore(Protocol):
    """A source of image files; `names` are sorted and relative, with forward slashes; `others` are left out."""

    names: list[str]
    others: list[str]

    def read(self, name: str) -> bytes:
        """Return the content of one file; raise OSError if it cannot be read."""

    def files(self, names: Sequence[str], /) -> list[Path]:
        """Return the files on the disk that hold these files."""


def holds_images(path: Path) -> bool:
    """Return whether a path is a folder or, by its suffix, a zip file."""
    return path.is_dir() or (path.is_file() and path.suffix.lower() == ".zip")


@contextmanager
def open_store(path: Path) -> Iterator[ImageStore]:
    """Open a folder or a zip file of images; LoraeError for a file without any and for one that is no zip file."""
    if path.is_dir():
        yield _with_images(FolderStore(path), path)
        return
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # zipfile raises many kinds for a damaged file
        raise LoraeError(f"{path}: not a readable zip file ({reason_of(error)})") from error
    with archive:
        yield _with_images(ZipStore(archive), path)


def _with_images(store: ImageStore, path: Path) -> ImageStore:
    if not store.names:
        others = "".join(f"; left out {line}" for line in left_out_files(store))
        raise LoraeError(f"data: {path} holds no image files, expected some of {', '.join(IMAGE_SUFFIXES)}{others}")
    return store


class FolderStore:
    """Image files below a folder, links followed, without hidden files and folders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        found: list[str] = []
        seen = set()
        for place, folders, files in os.walk(folder, followlinks=True):
            # Following a link to a parent folder would never end.
            real = Path(place).resolve()
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            below = Path(place).relative_to(folder)
            found += [(below / file).as_posix() for file in files if not file.startswith(".")]
        self.names, self.others = _sorted_out(found, self._start)

    def read(self, name: str) -> bytes:
        """Return the content of one file; OSError for a pipe or a device, from which reading might never end."""
        try:
            return read_file(self.folder / name, MOST_BYTES)
        except FileNotFoundError:
            raise OSError("link to a missing file") from None

    def files(self, names: Sequence[str]) -> list[Path]:
        """Return the paths of files."""
        return [self.folder / name for name in names]

    def _start(self, name: str) -> bytes:
        path = self.folder / name
        if not path.is_file() or not os.access(path, os.R_OK):
            return b""
        with path.open("rb") as file:
            return file.read(16)


class ZipStore:
    """Image files in a zip file; a single folder around all of them is left out of their names."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        members, others = _sorted_out([name for name in archive.namelist() if _is_visible(name)], self._start)
        repeated = sorted(name for name, count in Counter(members).items() if count > 1)
        if repeated:
            raise LoraeError(
                f"data: {archive.filename}: {len(repeated)} names of images occur more than once, the first is "
                f"{repeated[0]!r}; make the zip file anew with a name for each image"
            )
        self._refuse_bomb(members)
        tops = {PurePosixPath(name).parts[0] for name in members if "/" in name}
        wrapped = len(tops) == 1 and all("/" in name for name in members)
        skipped = len(tops.pop()) + 1 if wrapped else 0
        self.members = {name[skipped:]: name for name in members}
        self.names, self.others = sorted(self.members), others

    def read(self, name: str) -> bytes:
        """Return the content of one member, also from several threads; OSError for a damaged or encrypted one.

        A member that is a link gives the path that it names, which is no image.
        """
        info = self.archive.getinfo(self.members[name])
        _refuse_size(info.file_size)
        try:
            return self.archive.read(info)
        except UNREADABLE as error:
            raise OSError(f"damaged in the zip file: {error}") from error

    def files(self, _: Sequence[str]) -> list[Path]:
        """Return the zip file, which holds all of them."""
        return [Path(self.archive.filename or "")]

    def _refuse_bomb(self, members: list[str]) -> None:
        """Raise LoraeError for members that stand for many times the size of the zip file."""
        unpacked = sum(self.archive.getinfo(name).file_size for name in members)
        packed = Path(self.archive.filename or "").stat().st_size
        if unpacked > max(MOST_BYTES, MOST_UNPACKED * packed):
            raise LoraeError(
                f"data: {self.archive.filename}: {len(members)} images unpack to {unpacked / 2**30:.1f} GiB, expected "
                f"at most {MOST_UNPACKED} times the {packed:,} bytes of the file"
            )

    def _start(self, member: str) -> bytes:
        try:
            with self.archive.open(member) as file:
                return file.read(16)
        except UNREADABLE:
            return b""


def map_chunks(title: str, names: Sequence[str], work: Callable[[Sequence[str]], Result]) -> Iterator[Result]:
    """Yield the results for successive chunks of names, computed in threads, with a progress bar.

    Pillow and the reads of files let other threads run meanwhile. Only some chunks wait for a thread at a time.
    """
    starts = iter(range(0, len(names), CHUNK))
    with progress_bar() as bar, ThreadPoolExecutor(THREADS) as pool:
        task, waiting = bar.add_task(title, total=len(names), note=""), deque[tuple[int, Future[Result]]]()
        try:
            for start in chain(starts, repeat(None)):
                if start is not None:
                    chunk = names[start : start + CHUNK]
                    waiting.append((len(chunk), pool.submit(work, chunk)))
                if len(waiting) > AHEAD * THREADS or start is None:
                    if not waiting:
                        return
                    count, future = waiting.popleft()
                    yield future.result()
                    bar.advance(task, count)
        finally:
            for _, future in waiting:
                future.cancel()


def store_digest(store: ImageStore, names: Sequence[str]) -> str:
    """Return the `content_digest` of files; of many bytes, it is kept with their sizes and times of change.

    Then a collection that is used again is not read again for it.
    """
    paths = store.files(names)
    if sum(_size(path) for path in paths) <= in_memory_bytes():
        return content_digest(store, names)
    known = identity_of(paths, names)
    if not known:
        return content_digest(store, names)
    return remembered(f"files-{known}", _Content, lambda: _Content(content_digest(store, names))).digest


@dataclass(frozen=True)
class _Content:
    digest: str


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def content_digest(store: ImageStore, names: Sequence[str]) -> str:
    """Return the hexadecimal digest of the names and the bytes of the files.

    A file that cannot be read counts by its name only; decoding reports it.
    """
    whole = hashlib.blake2b(digest_size=16)

    def digest(chunk: Sequence[str]) -> bytes:
        part = hashlib.blake2b(digest_size=16)
        for name in chunk:
            encoded = name.encode("utf-8", "surrogateescape")  # names may have bytes that are not UTF-8
            part.update(f"{len(encoded)}:".encode() + encoded)
            try:
                part.update(hashlib.blake2b(store.read(name), digest_size=16).digest())
            except OSError:
                part.update(b"unreadable")
        return part.digest()

    for value in map_chunks("check", names, digest):
        whole.update(value)
    return whole.hexdigest()


def left_out_files(store: ImageStore) -> list[str]:
    """Return a sentence on the files that are no images, if there are any."""
    if not store.others:
        return []
    kinds = Counter(PurePosixPath(name).suffix.lower() or "without a suffix" for name in store.others)
    listed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(5)) + (", ..." if len(kinds) > 5 else "")
    return [f"{counted(len(store.others), 'file')} whose name and content are not of an image ({listed})"]


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, as in `2 files`."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _sorted_out(files: list[str], start: Callable[[str], bytes]) -> tuple[list[str], list[str]]:
    """Divide files into images, sorted, and others, by suffix or, without one, by their first bytes."""
    images: list[str] = []
    others: list[str] = []
    for name in sorted(files):
        suffix = PurePosixPath(name).suffix.lower()
        image = suffix in IMAGE_SUFFIXES or (not suffix and SIGNATURE.match(start(name)) is not None)
        (images if image else others).append(name)
    return images, others


def _refuse_size(size: int) -> None:
    if size > MOST_BYTES:
        raise OSError(f"has {size} bytes, expected at most {MOST_BYTES}")


def _is_visible(member: str) -> bool:
    # Archives made on a Mac carry a shadow file for every picture in `__MACOSX`.
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(member).parts)
    return not hidden and not member.endswith("/")
