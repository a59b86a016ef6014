"""A copy of the pages and of what they are drawn from, so that drawing cannot change the repository."""

import shutil
from importlib.metadata import version

import pytest

from studies import common

ROOT = common.ROOT
# Other versions may draw the same picture with other bytes.
PINNED = all(f"{name}=={version(name)}" in (ROOT / "constraints.txt").read_text() for name in ("matplotlib", "pillow"))


def copy_of_the_pages(folder):
    """README.md, docs/ and results/, without what git ignores."""
    shutil.copy(ROOT / "README.md", folder)
    shutil.copytree(ROOT / "docs", folder / "docs")
    ignored = shutil.ignore_patterns("models", "cells", "jobs", "*.html", "*.lock")
    shutil.copytree(ROOT / "results", folder / "results", ignore=ignored)
    return folder


@pytest.fixture
def pages(tmp_path, monkeypatch):
    """The copy, as the root of the repository for all studies."""
    monkeypatch.setattr(common, "ROOT", copy_of_the_pages(tmp_path))
    return tmp_path
