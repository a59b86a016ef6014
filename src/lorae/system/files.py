"""Atomic writes of files and folders, locks, the folder of the cache, and the TOML files of the package."""

import atexit
import contextlib
import errno
import functools
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import platformdirs
from filelock import FileLock, Timeout

from lorae.errors import LoraeError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


# Bytes of a file that is read as a whole: of weights and checkpoints, and of records, which are text.
LARGEST, LARGEST_RECORD = 16 * 2**30, 64 * 2**20


class CannotWriteError(LoraeError):
    """A file that the system refuses to write: no room, no permission, no folder."""


def home_expanded(path: str | Path) -> Path:
    """Return a path with the home folder in place of `~`; as it is if there is no such user, as a shell does."""
    try:
        return Path(path).expanduser()
    except (RuntimeError, ValueError):  # the latter for a null character, which no path has
        return Path(path)


def cache_root() -> Path:
    """Return the folder that prepared data and downloaded files are kept in.

    It is LORAE_CACHE if that is set. Otherwise it is `lorae` in XDG_CACHE_HOME or in `~/.cache` if that folder exists,
    since earlier versions used it on all systems, and else the system's usual place (`platformdirs.user_cache_path`).
    """
    chosen = os.environ.get("LORAE_CACHE")
    if chosen:
        return home_expanded(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        earlier = (Path(base) if base else Path.home() / ".cache") / "lorae"
    except RuntimeError:  # no HOME, and the system does not know the user
        return temporary_cache()
    return earlier if earlier.is_dir() else platformdirs.user_cache_path("lorae", appauthor=False)


@functools.cache
def temporary_cache() -> Path:
    """Return a cache of this process, for machines without a folder that can be written; it is removed at the end."""
    folder = tempfile.mkdtemp(prefix="lorae-cache-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def read_file(path: Path, most: int = LARGEST) -> bytes:
    """Return the content of a regular file of at most so many bytes.

    OSError with its reason otherwise; a pipe or device is refused instead of waited for.
    """
    # Without O_NONBLOCK the opening of a pipe waits for a writer.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        if found.st_size > most:
            raise OSError(errno.EFBIG, f"has {found.st_size} bytes, expected at most {most}", str(path))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(most)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a kill at any moment, sees the old content or the new, never a part."""
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes it private
        temporary.replace(path)
    except OSError as error:
        raise CannotWriteError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def read_toml(package: str, name: str) -> dict[str, Any]:
    """Return the content of a TOML file that is part of a package."""
    return tomllib.loads(resources.files(package).joinpath(name).read_text(encoding="utf-8"))


@contextlib.contextmanager
def staged_folder(folder: Path, tag: str = "") -> Iterator[Path]:
    """Yield a temporary folder beside `folder`, renamed to `folder` at the end; after an error none is left.

    `tag` tells apart processes that may stage the same folder at once; without one, the caller holds a lock.
    """
    partial = folder.with_name(f".{folder.name}.{tag}partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def try_lock(path: Path, refused: str) -> FileLock | None:
    """Acquire the lock of a file, which this process holds until its end; return None while another one holds it.

    LoraeError begins with `refused`.
    """
    try:
        return _acquire(path, timeout=0)
    except Timeout:
        return None
    except OSError as error:
        raise CannotWriteError(f"{refused}: {error.strerror or error}") from None


@contextlib.contextmanager
def wait_for_lock(path: Path, refused: str, hint: str) -> Iterator[None]:
    """Hold the lock of a file, after waiting for it; errors as `try_lock`, with a hint."""
    try:
        lock = _acquire(path, timeout=-1)
    except OSError as error:
        raise CannotWriteError(f"{refused} ({error.strerror or error}); {hint}") from error
    try:
        yield
    finally:
        lock.release()


def _acquire(path: Path, timeout: float) -> FileLock:
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    lock.acquire(timeout=timeout)
    return lock
