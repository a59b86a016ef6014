"""Atomic writes of files and folders, locks, the folder of the cache, and the TOML files of the package."""

import atexit
import contextlib
import errno
import functools
import hashlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import platformdirs
from filelock import FileLock, Timeout

from lorae.errors import LoraeError
from lorae.system.faults import reason_of
from lorae.system.memory import memory

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if sys.platform != "win32":
    import fcntl
else:
    fcntl = None


# Bytes of a file that is read as a whole: of weights and checkpoints, and of records, which are text.
LARGEST, LARGEST_RECORD = 16 * 2**30, 64 * 2**20
# Bytes that are read at once of a file whose size is not known.
CHUNK = 2**20


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


def temporary_folder() -> Path | None:
    """Return a folder for temporary files on the disk of the cache; None, the system's, where it cannot be written."""
    try:
        cache_root().mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return cache_root() if os.access(cache_root(), os.W_OK) else None


def read_file(path: Path, most: int = LARGEST) -> bytes:
    """Return the content of a regular file of at most so many bytes, and no more than the memory has.

    OSError with its reason otherwise; a pipe or device is refused instead of waited for.
    """
    # Without O_NONBLOCK the opening of a pipe waits for a writer.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        limit = min(most, memory() or most)
        if found.st_size > limit:
            raise OSError(errno.EFBIG, f"has {found.st_size} bytes, expected at most {limit}", str(path))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            # `read` takes the memory for all bytes that it is asked for. One more shows whether the size is right: it
            # is 0 for files that the system makes up, and grows while another process writes.
            parts = [file.read(min(found.st_size, limit) + 1)]
            size = len(parts[0])
            while found.st_size < size <= limit and (part := file.read(CHUNK)):
                parts.append(part)
                size += len(part)
    finally:
        os.close(descriptor)
    if size > limit:
        raise OSError(errno.EFBIG, f"has more than {limit} bytes, expected at most as many", str(path))
    return parts[0] if len(parts) == 1 else b"".join(parts)


def write_atomically(path: Path, content: "bytes | Iterable[bytes | memoryview]") -> None:
    """Write a file so that a reader, or a kill at any moment, sees the old content or the new, never a part.

    content: may come in parts
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in _left_over(path.parent.absolute()).get(_prefix(path.name), ()):
            _remove_if_left(left)
        handle, temporary = _locked_temporary(path)
        with os.fdopen(handle, "wb") as file:  # locked until it is closed
            file.writelines([content] if isinstance(content, bytes) else content)
            file.flush()
            os.fsync(file.fileno())
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)  # mkstemp makes it private
            if os.name != "nt":  # which replaces no open file
                temporary.replace(path)
        if os.name == "nt":
            temporary.replace(path)
    except OSError as error:
        raise CannotWriteError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


# End of the names of files that are being written.
TEMPORARY = ".tmp"


def _locked_temporary(path: Path) -> tuple[int, Path]:
    """Make and lock a temporary file beside a file; return its descriptor and its path."""
    while True:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=_prefix(path.name), suffix=TEMPORARY)
        try:
            _lock_open_file(handle)
            deleted = os.fstat(handle).st_nlink == 0
        except BlockingIOError:  # another process is about to delete it
            deleted = True
        except OSError:  # of a file system without locks, where no process deletes any
            deleted = False
        if not deleted:
            return handle, Path(name)
        # Another process swept the folder before the file was locked, and took it for left over.
        os.close(handle)


def sweep(folder: Path) -> None:
    """Delete what killed processes left in a folder when they wrote any file.

    A file that is being written is locked by its process.
    """
    for paths in _temporary_files(folder).values():
        for path in paths:
            _remove_if_left(path)


def _temporary_files(folder: Path) -> dict[str, list[Path]]:
    """Return the temporary files in a folder by the beginning of their names, which says what they were to become."""
    found: dict[str, list[Path]] = {}
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if path.name.startswith(".") and path.name.endswith(TEMPORARY):
                name = path.name.removesuffix(TEMPORARY).rpartition(".")[0]
                found.setdefault(f"{name}.", []).append(path)
    return found


# A folder is listed at its first write: once for every write would take a time that grows with the square of the files.
_left_over = functools.lru_cache(maxsize=256)(_temporary_files)


def _prefix(name: str) -> str:
    """Return the beginning of the names of temporary files; a hash of a name that leaves no room for more."""
    short = len(os.fsencode(name)) <= LONGEST_NAME - 24
    return f".{name}." if short else f".{hashlib.sha256(os.fsencode(name)).hexdigest()}."


LONGEST_NAME = 255


def _remove_if_left(path: Path) -> None:
    """Delete a temporary file, unless it is being written or has gone."""
    with contextlib.suppress(OSError):
        if fcntl is None:
            return
        with path.open("r+b") as file:  # NFS locks only what is open for writing
            _lock_open_file(file.fileno())
            path.unlink()


def _lock_open_file(descriptor: int) -> None:
    """Lock an open file until it is closed; OSError if another process has the lock."""
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def writing(path: Path, advice: str = "") -> Iterator[None]:
    """Raise CannotWriteError, one line, for an OSError inside the block, which writes a path."""
    try:
        yield
    except OSError as error:
        raise CannotWriteError(f"cannot write {path}: {reason_of(error)}{advice}") from None


def allocate(path: Path, size: int) -> None:
    """Make a new file of so many bytes, for which the disk has room; OSError if it has none.

    Without the room, writing to a map of the file in memory would end the process by a signal.
    """
    with path.open("wb") as file:
        reserve(file.fileno(), size)
        file.truncate(size)


def reserve(descriptor: int, size: int) -> None:
    """Have the disk keep room for so many bytes of an open file; OSError if it has none."""
    if hasattr(os, "posix_fallocate") and size > 0:
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):  # not on this file system
                raise


def read_toml(package: str, name: str) -> dict[str, Any]:
    """Return the content of a TOML file that is part of a package."""
    return tomllib.loads(resources.files(package).joinpath(name).read_text(encoding="utf-8"))


# End of the names of folders that are being made.
PARTIAL = "partial"


@contextlib.contextmanager
def staged_folder(folder: Path, tag: str = "") -> Iterator[Path]:
    """Yield a temporary folder beside `folder`, renamed to `folder` at the end; after an error none is left.

    `tag` tells apart processes that may stage the same folder at once; without one, the caller holds a lock.
    """
    partial = folder.with_name(f".{folder.name}.{tag}{PARTIAL}")
    _sweep_partial(folder)
    shutil.rmtree(partial, ignore_errors=True)
    with writing(partial):
        partial.mkdir(parents=True)
    try:
        yield partial
        with writing(folder):
            partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _sweep_partial(folder: Path) -> None:
    """Delete what processes that have ended left when they staged a folder with their number as its tag."""
    beginning = f".{folder.name}."
    with contextlib.suppress(OSError):
        for path in list(folder.parent.iterdir()):
            tag = path.name.removeprefix(beginning).removesuffix(PARTIAL).rstrip(".-")
            if path.name.startswith(beginning) and path.name.endswith(PARTIAL) and tag.isdecimal() and _ended(int(tag)):
                shutil.rmtree(path, ignore_errors=True)


def _ended(process: int) -> bool:
    """Return whether no process has a number; on Windows, where asking would end it, always false."""
    if os.name == "nt":
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


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
