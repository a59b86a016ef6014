"""The memory of the machine, as an upper limit of what is read into it. Imports no torch."""

import contextlib
import os
import zipfile
from pathlib import Path
from typing import IO

from lorae.errors import LoraeError

# Data are some ten times smaller when they are packed, and contents made to exhaust a machine a thousand times.
MOST_UNPACKED = 200


def memory() -> int | None:
    """Return the bytes of the machine's memory, or of the share that its container may use; None if not known."""
    try:
        found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    except (AttributeError, ValueError, OSError):  # not on Windows
        return None
    with contextlib.suppress(OSError, ValueError):  # "max" without a limit
        found.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return min(found)


def check_size(size: int, what: str) -> None:
    """Raise LoraeError for contents of more bytes than the memory has; `what` begins the message.

    Packed files may stand for a thousand times their own size.
    """
    available = memory()
    if available is not None and size > available:
        sizes = f"{size / 2**30:,.1f} GiB of memory, expected at most {available / 2**30:,.1f} GiB"
        raise LoraeError(f"{what} take {sizes}")


def check_packed(size: int, packed: int, what: str) -> None:
    """Raise LoraeError for contents of more bytes than the memory has that are many times as large as their file.

    Others are data, which are unpacked into a file.
    """
    if size > MOST_UNPACKED * packed:
        check_size(size, what)


def check_unpacked(archive: "Path | IO[bytes]", what: str) -> None:
    """Raise LoraeError for a zip file whose members have more bytes than the memory, BadZipFile for none."""
    with zipfile.ZipFile(archive) as opened:
        check_size(sum(member.file_size for member in opened.infolist()), what)
