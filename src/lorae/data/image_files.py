"""Image files by name, in a folder or in a zip file."""

import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Protocol, TypeVar

from lorae.errors import LoraeError
from lorae.system.progress import progress_bar

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})
THREADS = min(16, (os.cpu_count() or 1) + 4)
CHUNK = 64

Result = TypeVar("Result")


class ImageStore(Protocol):
    """A source of image files; `names` are sorted and relative, with forward slashes."""

    names: list[str]

    def read(self, name: str) -> bytes:
        """Return the content of one file; raise OSError if it cannot be read."""


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
    except (OSError, zipfile.BadZipFile) as error:
        raise LoraeError(f"{path}: not a readable zip file ({error})") from error
    with archive:
        yield _with_images(ZipStore(archive), path)


def _with_images(store: ImageStore, path: Path) -> ImageStore:
    if not store.names:
        raise LoraeError(f"data: {path} holds no image files, expected some of {', '.join(sorted(IMAGE_SUFFIXES))}")
    return store


class FolderStore:
    """Image files below a folder, links followed, without hidden files and folders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        found = []
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
            found += [(below / file).as_posix() for file in files if _is_image(file)]
        self.names = sorted(found)

    def read(self, name: str) -> bytes:
        """Return the content of one file."""
        return (self.folder / name).read_bytes()


class ZipStore:
    """Image files in a zip file; a single folder around all of them is left out of their names."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        members = [name for name in archive.namelist() if _is_visible_image(name)]
        tops = {PurePosixPath(name).parts[0] for name in members if "/" in name}
        wrapped = len(tops) == 1 and all("/" in name for name in members)
        skipped = len(tops.pop()) + 1 if wrapped else 0
        self.members = {name[skipped:]: name for name in members}
        self.names = sorted(self.members)

    def read(self, name: str) -> bytes:
        """Return the content of one member, also from several threads; OSError for a damaged or encrypted one."""
        try:
            return self.archive.read(self.members[name])
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
            raise OSError(f"damaged in the zip file: {error}") from error


def map_chunks(title: str, names: Sequence[str], work: Callable[[Sequence[str]], Result]) -> list[Result]:
    """Return the results for successive chunks of names, computed in threads, with a progress bar."""
    chunks = [names[start : start + CHUNK] for start in range(0, len(names), CHUNK)]
    results = []
    with progress_bar() as bar, ThreadPoolExecutor(THREADS) as pool:
        task = bar.add_task(title, total=len(names), note="")
        for chunk, result in zip(chunks, pool.map(work, chunks), strict=True):
            results.append(result)
            bar.advance(task, len(chunk))
    return results


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


def _is_image(name: str) -> bool:
    return not name.startswith(".") and PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def _is_visible_image(member: str) -> bool:
    parts = PurePosixPath(member).parts
    # Archives made on a Mac carry a shadow file for every picture in `__MACOSX`.
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return not hidden and not member.endswith("/") and _is_image(parts[-1])
