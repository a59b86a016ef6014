"""Files that hold what a command makes: arrays, text and pictures where `out` says."""

import contextlib
import io
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorae.errors import LoraeError
from lorae.runs.run import Run
from lorae.system.files import CannotWriteError, staged_folder, write_atomically, writing

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUFFIXES = (".npy", ".npz", ".csv")


def check_out(out: "str | Path | None", *, pictures: bool) -> Path | None:
    """Return the path of a new file of arrays, or where `pictures` may be written of a new folder; else LoraeError."""
    if out is None:
        return None
    target = Path(out)
    Run.refuse_existing(target)
    if target.suffix not in (*SUFFIXES, *([""] if pictures else [])):
        folder = ", or a new folder" if pictures else ""
        raise LoraeError(f"out: got {str(target)!r}, expected an .npy, .npz or .csv file{folder}")
    return target


def write_items(items: "NDArray[Any]", path: Path, key: str = "images") -> None:
    """Write items or codes into a file, in an .npz file under `key`, or images as PNG files into a new folder."""
    import numpy as np
    from PIL import Image

    from lorae.data.npy_files import npy_start
    from lorae.system.stored_items import parts

    content = io.BytesIO()
    if path.suffix == ".csv":
        write_atomically(path, (f"{line}\n".encode() for line in csv_lines(items)))
    elif path.suffix == ".npy":
        values = (np.ascontiguousarray(items[rows]).data.cast("B") for rows in parts(items))
        write_atomically(path, itertools.chain([npy_start(items.shape, items.dtype)], values))
    elif path.suffix:
        np.savez_compressed(content, allow_pickle=False, **{key: items})
        write_atomically(path, content.getvalue())
    elif items.dtype != np.uint8:
        raise LoraeError(f"out: got the folder {str(path)!r}, but the items are no images; expected a file of arrays")
    else:
        with staged_folder(path, f"{os.getpid()}-") as folder, writing(path):
            for index, image in enumerate(items):
                pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
                Image.fromarray(np.ascontiguousarray(pixels)).save(folder / f"{index:06d}.png")


def csv_lines(rows: "NDArray[Any]") -> Iterator[str]:
    """Yield vectors or tensors in rows as text, with commas and as many digits as give the same floats again."""
    if rows.dtype.kind != "f":
        raise LoraeError(
            "out: the items are images, expected an .npy or .npz file or a new folder; pass out=PATH",
            settings={"out": "PATH"},
        )
    digits = 9 if rows.dtype.itemsize <= 4 else 17
    for row in rows.reshape(len(rows), -1):
        yield ",".join(f"{value:.{digits}g}" for value in row)


@contextlib.contextmanager
def into_run() -> Iterator[None]:
    """Say of a run folder that cannot be written that `out` names another place."""
    try:
        yield
    except CannotWriteError as error:
        raise CannotWriteError(f"{error}; pass out=PATH", settings={"out": "PATH"}) from None
