"""Figures as SVG inside a page, whose colors and fonts are those of the page. Imports no torch."""

import io
import re
import threading
from xml.etree import ElementTree

import matplotlib
from matplotlib.figure import Figure

from lorae.plotting.style import COLORS, GRID, INK, MUTED

# Colors of figures -> those of the page, which differ between its light and its dark scheme.
THEME = {INK: "currentColor", MUTED: "var(--muted)", GRID: "var(--line)", "#ffffff": "var(--page)"} | {
    color.lower(): f"var(--series-{number})" for number, color in enumerate(COLORS)
}
_NAMESPACE = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"
# Settings of matplotlib belong to the process: two threads must not restore each other's.
_settings = threading.Lock()


def inline_svg(figure: Figure, key: str, title: str, css_class: str = "plot") -> str:
    """Return a figure as an `<svg>` element: text stays text, and every text of a user is escaped.

    Parameters
    ----------
    figure : Figure
        As of `lorae.plotting.style.new_figure`.
    key : str
        Identifier that no other figure of the page has.
    title : str
        Text for those who do not see the figure.
    css_class : str, default="plot"
        Classes of the element.
    """
    content = io.BytesIO()
    with _settings, matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": key}):
        figure.savefig(content, format="svg", metadata={"Date": None})
    root = ElementTree.fromstring(content.getvalue())
    _, _, width, height = (float(side) for side in root.attrib["viewBox"].split())
    svg = ElementTree.Element("svg", {"viewBox": f"0 0 {width:g} {height:g}", "role": "img", "class": css_class})
    svg.set("aria-labelledby", f"{key}-title")
    ElementTree.SubElement(svg, "title", {"id": f"{key}-title"}).text = title
    used = set(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", content.getvalue().decode()))
    for part in root:
        if part.tag != f"{_NAMESPACE}metadata":
            svg.append(_themed(part, used))
    return ElementTree.tostring(svg, encoding="unicode")


def _themed(element: ElementTree.Element, used: set[str]) -> ElementTree.Element:
    """Return an element without namespaces, unused identifiers, style sheets and fonts, and with the page's colors."""
    for child in list(element):
        if child.tag == f"{_NAMESPACE}style":  # its rules would apply to the whole page
            element.remove(child)
        else:
            _themed(child, used)
    element.tag = element.tag.removeprefix(_NAMESPACE)
    element.tail = None
    if element.text is not None and element.tag not in ("text", "tspan"):
        element.text = None
    if element.get("id") not in used:
        element.attrib.pop("id", None)
    if _LINK in element.attrib:
        element.set("href", element.attrib.pop(_LINK))
    for name in ("d", "x", "y", "width", "height", "transform"):
        if name in element.attrib:
            element.set(name, _rounded(element.attrib[name]))
    if "style" in element.attrib:
        element.set("style", _themed_style(element.attrib["style"]))
    return element


def _rounded(numbers: str) -> str:
    """Return coordinates with three digits: finer than a pixel, and a third as long."""
    short = re.sub(r"-?\d+\.\d+", lambda found: f"{float(found[0]):.{1 if len(found[0]) > 8 else 2}f}", numbers)
    return " ".join(short.split())


def _themed_style(style: str) -> str:
    kept = []
    for declaration in style.split(";"):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name in ("fill", "stroke"):
            value = THEME.get(value, value)
        if name == "font":  # versions of matplotlib differ: "font: 10px 'DejaVu Sans'" or "font-size: 10px"
            name, value = "font-size", next(iter(re.findall(r"[\d.]+px", value)), value)
        if name and not name.startswith("font-family"):
            kept.append(f"{name}:{value}")
    return ";".join(kept)
