"""Disks that are small, full or read-only."""

import os
import subprocess

import pytest

ROOM = 4 * 2**20


@pytest.fixture
def disk(tmp_path):
    """A file system with room for 4 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    if not _mount("-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(place)):
        pytest.skip("mounting a file system needs root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def read_only_disk(tmp_path):
    """A folder, and a function that makes it read-only: a mount for root, whom permissions do not bind."""
    place = tmp_path / "read-only"
    place.mkdir()
    root = os.geteuid() == 0
    if root and not _mount("-t", "tmpfs", "tmpfs", str(place)):
        pytest.skip("root can write everywhere, and may not mount a file system here")

    def protect():
        if root:
            assert _mount("-o", "remount,ro", str(place))
            return
        for folder in (place, *(path for path in place.rglob("*") if path.is_dir())):
            folder.chmod(0o555)

    yield place, protect
    if root:
        subprocess.run(["umount", str(place)], check=True)
        return
    for folder in (place, *(path for path in place.rglob("*") if path.is_dir())):
        folder.chmod(0o755)


def _mount(*words):
    try:
        return subprocess.run(["mount", *words], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
