"""Download files, checked by their hash, with progress on standard error."""

import http.client
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

from lorae.errors import LoraeError
from lorae.system.faults import reason_of
from lorae.system.progress import progress_bar

CHUNK_BYTES = 2**18


def download(url: str, *, known_hash: str | None = None, timeout: float = 60) -> bytes:
    """Return the content of a file on the internet, checked by its hash, `algorithm:hexdigest`, if one is given.

    LoraeError has the reason alone, so that callers can add what to do. The timeout, in seconds, is that of one answer.
    """
    import pooch  # type: ignore[import-untyped]  # here, since it is slow to import

    def fetch(url: str, output: Any, _: Any) -> None:
        with (
            urllib.request.urlopen(url, timeout=timeout) as answer,
            Path(output).open("wb") as file,
            progress_bar() as bar,
        ):
            size = getattr(answer, "headers", {}).get("Content-Length")
            task = bar.add_task(f"download {name}", total=int(size) if size else None, note="bytes")
            while chunk := answer.read(CHUNK_BYTES):
                file.write(chunk)
                bar.advance(task, len(chunk))

    name = url.rsplit("/", 1)[1]
    pooch.get_logger().setLevel("ERROR")  # it reports every download on standard error
    try:
        with tempfile.TemporaryDirectory(prefix="lorae-") as folder:
            return Path(pooch.retrieve(url, known_hash, name, folder, downloader=fetch)).read_bytes()
    except ValueError:
        raise LoraeError(f"{name} is not the expected file: its hash is not {known_hash}") from None
    except (OSError, http.client.HTTPException) as error:
        raise LoraeError(reason_of(error)) from error
