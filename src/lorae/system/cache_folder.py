"""The folder of the cache."""

import os
from pathlib import Path

import platformdirs


def cache_root() -> Path:
    """Return the folder that prepared data and downloaded files are kept in.

    It is LORAE_CACHE if that is set. Otherwise it is `lorae` in XDG_CACHE_HOME or in `~/.cache` if that folder exists,
    since earlier versions used it on all systems, and else the system's usual place (`platformdirs.user_cache_path`).
    """
    chosen = os.environ.get("LORAE_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    earlier = (Path(base) if base else Path.home() / ".cache") / "lorae"
    return earlier if earlier.is_dir() else platformdirs.user_cache_path("lorae", appauthor=False)
