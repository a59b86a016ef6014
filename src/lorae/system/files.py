"""Writing files whole, and by one process at a time."""

import os
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

from lorae.errors import LoraeError


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


def try_lock(path: Path, refused: str) -> FileLock | None:
    """The lock of a file, held until it is released or this process dies; None while another process holds it.

    Missing parent folders are made. Raises LoraeError, which begins with `refused`, where the system refuses to write.
    """
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        return None
    except OSError as error:
        raise LoraeError(f"{refused}: {error.strerror or error}") from None
    return lock


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
