"""Atomic writes of files and folders, locks, and the TOML files of the package."""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lorae.errors import LoraeError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a kill at any moment, sees the old content or the new, never a part.

    Missing parent folders are made. Raises LoraeError where the system refuses to write.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes it private
        temporary.replace(path)
    except OSError as error:
        raise LoraeError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def read_toml(package: str, name: str) -> dict[str, Any]:
    """Return the content of a TOML file that is part of a package."""
    return tomllib.loads(resources.files(package).joinpath(name).read_text(encoding="utf-8"))


@contextlib.contextmanager
def staged_folder(folder: Path, tag: str = "") -> Iterator[Path]:
    """Yield a temporary folder beside `folder`, and rename it to `folder` at the end of the block.

    After an error nothing is left. `tag` tells apart processes that may stage the same folder at once; without one, the
    caller holds a lock, and the remains of a killed process are removed.
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
    """Acquire the lock of a file; return None while another process holds it.

    It is held until it is released or this process dies. Missing parent folders are made. Raises LoraeError, which
    begins with `refused`, where the system refuses to write.
    """
    try:
        return _acquire(path, timeout=0)
    except Timeout:
        return None
    except OSError as error:
        raise LoraeError(f"{refused}: {error.strerror or error}") from None


@contextlib.contextmanager
def wait_for_lock(path: Path, refused: str, hint: str) -> Iterator[None]:
    """Hold the lock of a file, after waiting for it; errors as `try_lock`, with a hint."""
    try:
        lock = _acquire(path, timeout=-1)
    except OSError as error:
        raise LoraeError(f"{refused} ({error.strerror or error}); {hint}") from error
    try:
        yield
    finally:
        lock.release()


def _acquire(path: Path, timeout: float) -> FileLock:
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    lock.acquire(timeout=timeout)
    return lock


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
