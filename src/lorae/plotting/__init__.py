"""Figures and image grids, drawn by Agg whatever backend the user has. Imports no torch."""

import contextlib
import logging
import os
import sys


def _import_matplotlib() -> None:
    """Import matplotlib where its environment is unusable, and leave the user's backend as matplotlib itself would.

    Matplotlib refuses to be imported if MPLBACKEND names a backend that is not installed, as a notebook's may be in
    a process that it starts. Where its folder of settings cannot be written, it says so at length.
    """
    backend = os.environ.pop("MPLBACKEND", None)
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        import matplotlib.backends.backend_agg  # finds the fonts too
    finally:
        logger.setLevel(level)
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    if backend:
        with contextlib.suppress(ValueError):  # not installed
            matplotlib.rcParams["backend"] = backend


if "matplotlib" not in sys.modules:
    _import_matplotlib()
