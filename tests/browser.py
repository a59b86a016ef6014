"""Chromium for tests of pages: one browser for a session, and what a user would find wrong with a page."""

import os
import shutil
from collections.abc import Iterator

import pytest

WIDTHS, SCHEMES = (390, 1280), ("light", "dark")

# Texts of the plots that are shown: their height in pixels, and whether they are within the plot.
TEXTS = """() => [...document.querySelectorAll('svg.plot text')].flatMap(text => {
  const box = text.getBoundingClientRect(), svg = text.ownerSVGElement;
  if (!box.width) return [];
  const all = svg.getBoundingClientRect(), scale = all.width / svg.viewBox.baseVal.width;
  const inside = box.left > all.left - 1 && box.right < all.right + 1
    && box.top > all.top - 1 && box.bottom < all.bottom + 1;
  return [[text.textContent, parseFloat(getComputedStyle(text).fontSize) * scale, inside]];
})"""


def chromium():
    """Return the path of an installed Chromium, or None."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("CHROMIUM") or next((path for name in names if (path := shutil.which(name))), None)


def started() -> Iterator[object]:
    """Yield a browser of Playwright; skip the test without one."""
    api = pytest.importorskip("playwright.sync_api")
    path = chromium()
    if path is None:
        pytest.skip("there is no Chromium")
    with api.sync_playwright() as playwright:
        # Chromium's own sandbox needs rights that root in a container lacks; the pages are the package's own.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
