"""Pages in Chromium, as a user sees them: nothing is cut off, texts are readable, and axe-core finds no fault."""

import numpy as np
import pytest

import lorae
from lorae.reports.report import write_report
from lorae.reproduction.pages.render import write_html
from lorae.reproduction.tables.page import table_page
from lorae.reproduction.tables.published import tables
from lorae.reproduction.tables.results import ResultsTable, Value
from tests import browser as chrome

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def browser():
    yield from chrome.started()


@pytest.fixture(scope="module")
def pages(tmp_path_factory, images, vectors, small):
    """A report of images with classes, one of a table with names, a comparison, and a page of a table of the paper."""
    folder = tmp_path_factory.mktemp("pages")
    pandas = pytest.importorskip("pandas")
    labels = np.arange(len(images)) % 3
    np.savez(folder / "images.npz", images=images, labels=labels)
    frame = pandas.DataFrame(vectors, columns=["height", "<b>width</b>", "a very long name of a column", "d", "e", "f"])
    runs = [
        lorae.train(str(folder / "images.npz"), out=folder / "images", **small),
        lorae.train(frame, out=folder / "table", **small | {"latent_dim": 4}),
    ]
    lorae.sample(runs[0])
    lorae.interpolate(runs[0])
    table = tables()["figure2"]
    values = {(row.name, "rank"): Value(None, (20.0, 22.0)) for row in table.rows_on("mnist")}
    spectra = {"mnist": {"LoRAE": [1.0, 0.1, 1e-3], "IRMAE": [1.0, 0.5, 1e-6]}}
    found = table_page(
        [ResultsTable(table, "mnist", values)],
        protocol=["Trained by `lorae train`."],
        pictures={},
        spectra=spectra,
        features={},
        folder=folder,
    )
    return {
        "images": write_report([runs[0]]),
        "table": write_report([runs[1]]),
        "comparison": write_report(runs, folder / "comparison.html"),
        "study": write_html(found, folder),
    }


@pytest.mark.parametrize("name", ["images", "table", "comparison", "study"])
def test_a_page_has_nothing_cut_off_and_no_fault(name, browser, pages):
    from axe_playwright_python.sync_playwright import Axe

    page, messages = browser.new_page(), []
    page.on("console", lambda message: messages.append(message.text))
    page.goto(pages[name].as_uri())
    for opened in (False, True):
        if opened:
            page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
        for width in chrome.WIDTHS:
            page.set_viewport_size({"width": width, "height": 844})
            assert page.evaluate("document.documentElement.scrollWidth") == width
    for width, scheme in zip(chrome.WIDTHS, chrome.SCHEMES, strict=True):
        page.set_viewport_size({"width": width, "height": 844})
        page.emulate_media(color_scheme=scheme)
        texts = page.evaluate(chrome.TEXTS)
        assert texts
        assert [text for text, height, _ in texts if height < 11] == []
        assert [text for text, _, inside in texts if not inside] == []
        shown = page.evaluate("[...document.querySelectorAll('svg.plot')].filter(s => s.clientWidth).length")
        assert 2 * shown == page.locator("svg.plot").count()  # one of two versions
        faults = Axe().run(page).response["violations"]
        assert [fault["id"] for fault in faults if fault["impact"] in ("serious", "critical")] == []
    assert messages == []
    page.close()


def test_plots_follow_the_theme_and_eight_images_are_in_a_row(browser, pages):
    colors = {}
    for scheme in chrome.SCHEMES:
        context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
        page = context.new_page()
        page.goto(pages["images"].as_uri())
        color = "text => getComputedStyle(text).fill"
        colors[scheme] = page.locator("svg.plot.narrow text").first.evaluate(color)
        rows = page.locator(".rows").first.locator("img")
        assert rows.count() == 2  # ten test images
        assert all(rows.nth(place).bounding_box()["x"] == 16 for place in range(rows.count()))
        context.close()
    assert colors["light"] == "rgb(31, 35, 40)"
    assert colors["dark"] == "rgb(232, 235, 238)"


def test_a_click_selects_a_whole_command(browser, pages):
    page = browser.new_page()
    page.goto(pages["images"].as_uri())
    command = page.locator("h2:has-text('Next commands') ~ pre code").first
    command.click()
    assert page.evaluate("getSelection().toString().trim()") == command.inner_text().strip()
    assert command.inner_text().startswith("lorae evaluate ")
    page.close()
