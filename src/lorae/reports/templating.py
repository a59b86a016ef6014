"""Templates of HTML pages, which escape every text, and images inside a page. Imports no torch."""

import base64
import re
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from lorae.reports.formatting import count, duration, number, plain


@cache  # with its templates compiled
def environment() -> Environment:
    """Return the environment of the package's templates; a name that a template lacks is an error."""
    templates = Environment(
        loader=PackageLoader("lorae.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(code=with_code, number=number, count=count, duration=duration, plain=plain)
    return templates


def with_code(words: str) -> Markup:
    """Return text with parts in backquotes as code; everything else is escaped."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(words))))


def data_uri(content: bytes) -> str:
    """Return a PNG as the source of an image, so that a page needs no other file."""
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")
