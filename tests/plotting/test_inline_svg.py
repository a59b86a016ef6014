"""Plots inside a page: they follow its theme, escape every text, and have identifiers of their own."""

import re
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex

from lorae.plotting.inline_svg import THEME, inline_svg
from lorae.plotting.plots import spectrum_figure

SPECTRUM = {"run": list(np.geomspace(1, 1e-6, 32))}


def test_colors_are_those_of_the_page():
    svg = inline_svg(spectrum_figure(SPECTRUM), "a", "title")
    assert set(re.findall(r"(?:fill|stroke):([^;\"]+)", svg)) == {
        "none",
        "currentColor",
        "var(--muted)",
        "var(--line)",
        "var(--page)",
        "var(--series-0)",
    }
    assert all(to_hex(color) == color for color in THEME)  # as matplotlib writes them


def test_a_user_names_nothing_but_text():
    name = "</text><script>alert(1)</script>&#x3c; fill: #0072b2 \x07 \udce9 $x"
    svg = inline_svg(spectrum_figure({name: [1.0, 0.1]}), "a", "</title><script>alert(1)</script>")
    root = ElementTree.fromstring(svg)
    assert not [element for element in root.iter() if element.tag == "script"]
    assert root.find("title").text == "</title><script>alert(1)</script>"
    (label,) = [text.text for text in root.iter("text") if "alert" in (text.text or "")]
    assert label.startswith("</text><script>alert(1)</scri")
    assert "\x07" not in svg


def test_two_figures_of_a_page_share_no_identifier_and_no_rule():
    first, second = (inline_svg(spectrum_figure(SPECTRUM), key, "title") for key in ("a", "b"))
    names = [set(re.findall(r" id=\"([^\"]+)\"", svg)) for svg in (first, second)]
    assert names[0]
    assert not names[0] & names[1]
    for svg, own in zip((first, second), names, strict=True):
        assert set(re.findall(r"href=\"#([^\"]+)\"|url\(#([^)]+)\)", svg)) <= {(name, "") for name in own} | {
            ("", name) for name in own
        }
        assert "<style" not in svg
        assert "font-family" not in svg


def test_equal_figures_are_equal_text_and_the_settings_of_matplotlib_stay():
    before = {key: value for key, value in matplotlib.rcParams.items() if key.startswith("svg.")}
    assert inline_svg(spectrum_figure(SPECTRUM), "a", "t") == inline_svg(spectrum_figure(SPECTRUM), "a", "t")
    assert {key: value for key, value in matplotlib.rcParams.items() if key.startswith("svg.")} == before


@pytest.mark.parametrize("width", [4.2, 7.6])
def test_texts_have_a_size_that_both_widths_of_a_page_can_show(width):
    root = ElementTree.fromstring(inline_svg(spectrum_figure(SPECTRUM, width=width), "a", "title"))
    across = float(root.get("viewBox").split()[2])
    # 358 pixels remain on a phone of 390, and 672 on a wide screen.
    shown = 358 if width < 5 else 672
    sizes = [float(size) for size in re.findall(r"font-size:([\d.]+)px", ElementTree.tostring(root, "unicode"))]
    assert sizes
    assert min(sizes) * shown / across >= 11
