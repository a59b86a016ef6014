"""Trained models that tables share: one run folder for each configuration, trained once, continued after a kill."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lorae import api
from lorae.errors import DivergedError
from lorae.reproduction.jobs.store import BusyError, digest
from lorae.runs.run import Run
from lorae.system.files import try_lock, write_atomically


def model_key(model: dict[str, Any]) -> str:
    """Return the name of a model's folder, a digest of its configuration."""
    return digest(model, 8)


@contextlib.contextmanager
def trained(model: dict[str, Any], folder: Path, data_root: str | None) -> Iterator[Run]:
    """Yield the finished run of a configuration in `folder/models`, locked for this process; train it if necessary.

    data_root: folder with CelebA's files

    Raises BusyError if another process holds the model; DivergedError if its training diverges, or has diverged before.
    """
    path = folder / "models" / model_key(model)
    lock = try_lock(path.with_suffix(".lock"), f"out: cannot write to {str(folder)!r}")
    if lock is None:
        raise BusyError
    try:
        yield _train_once(model, path, data_root)
    finally:
        lock.release()


def _train_once(model: dict[str, Any], path: Path, data_root: str | None) -> Run:
    diverged = path.with_suffix(".diverged")
    if diverged.exists():
        raise DivergedError(diverged.read_text(encoding="utf-8"))
    try:
        return _run(model, path, data_root)
    except DivergedError as error:
        write_atomically(diverged, str(error).encode(errors="backslashreplace"))
        raise


def _run(model: dict[str, Any], path: Path, data_root: str | None) -> Run:
    root = data_root if model["faces"] else None  # MNIST's files have a place of their own
    if (path / "config.json").exists():
        run = Run(path)
        if root is not None and run.settings.data_root != root:
            run.update_data_root(root)
        return api.resume(run, quiet=True)
    return api.train(model["data"], out=path, quiet=True, data_root=root, **model["settings"])
