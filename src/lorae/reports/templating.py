"""What all HTML pages share: templates that escape every text, and pictures inside the file. Imports no torch."""

import base64
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined


def environment() -> Environment:
    """Where the package's templates come from; a name that a template does not get is an error."""
    return Environment(
        loader=PackageLoader("lorae.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def data_uri(path: Path) -> str:
    """A PNG as the source of an image, so that a page needs no other file."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
