"""Equations as MathML, which browsers draw without a script or a font from elsewhere.

`pymdownx.arithmatex` marks what stands between dollar signs; a code host draws the same text.
"""

import html
import re
from typing import Any

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError

INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.S)
DISPLAY = re.compile(r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', re.S)


def mathml(latex: str, display: str) -> str:
    """Return an equation as MathML; PluginError for a command that is not known."""
    source = html.unescape(latex).strip()
    found = convert(source, display=display)
    if "\\" in re.sub(r"<annotation.*?</annotation>", "", found, flags=re.S):
        raise PluginError(f"an equation has a command that latex2mathml does not know: {source}")
    return found


def on_page_content(content: str, **_: Any) -> str:
    """Replace every marked equation of a page."""
    content = INLINE.sub(lambda match: mathml(match[1], "inline"), content)
    return DISPLAY.sub(lambda match: f'<div class="equation">{mathml(match[1], "block")}</div>', content)
