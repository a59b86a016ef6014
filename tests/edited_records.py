"""Records of a run as someone edits them by hand: without their checksum."""

import json
from pathlib import Path
from typing import Any

from lorae.system.records import KEY


def read_edited(path: Path) -> dict[str, Any]:
    """Return the JSON of a file without its checksum."""
    return {name: value for name, value in json.loads(path.read_text()).items() if name != KEY}
