"""The page in Chromium: every view at two widths in both themes, every control once, and no fault of accessibility."""

import threading

import numpy as np
import pytest
from PIL import Image

from lorae.explorer.app import make_app
from lorae.explorer.server import address_of, listen, server_of
from tests.browser import started
from tests.explorer.conftest import KINDS

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")

pytestmark = pytest.mark.browser
VIEWS = ("axes", "paths", "samples", "spectrum", "latents", "own")
SCREENS = {
    f"{width}-{scheme}": {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    for width in (390, 1280)
    for scheme in ("light", "dark")
}
CONTROLS = "button, input, select, textarea, a"


@pytest.fixture(scope="module")
def browser():
    yield from started()


@pytest.fixture(scope="module")
def addresses(sessions):
    """`addresses(kind)` serves a run and gives the address of its page."""
    running = {}

    def address(kind):
        if kind not in running:
            listening = listen("127.0.0.1", 0)
            server = server_of(make_app(sessions(kind)))
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
            thread.start()
            running[kind] = listening, server, thread
        return address_of(running[kind][0], "127.0.0.1")

    yield address
    for listening, server, thread in running.values():
        server.should_exit = True
        thread.join()
        listening.close()


@pytest.fixture
def open_page(browser, addresses):
    """`open_page(kind, screen)` opens the page of a run; at its end, nothing was logged and nothing asked elsewhere."""
    faults, contexts = [], []

    def open_page(kind, screen):
        context = browser.new_context(**SCREENS[screen], reduced_motion="reduce")
        contexts.append(context)
        page, address = context.new_page(), addresses(kind)
        page.set_default_timeout(20_000)
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: request.url.startswith(address) or faults.append(request.url))
        page.goto(address)
        page.wait_for_selector("main section h2")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


def settled(page):
    page.wait_for_selector("main[aria-busy=false]")
    # An answer is shown after its request has ended, and may ask for more.
    page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    page.wait_for_selector("main[aria-busy=false]")


def go(page, view):
    page.click(f"#views a[href='#{view}']")
    section = page.locator("main > section:visible")
    section.wait_for()
    settled(page)
    return section


def overflow(page):
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def serious_faults(page):
    """What axe-core finds that keeps people from using the page."""
    found = axe.Axe().run(page).response["violations"]
    return [(each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")]


# Each theme and each width is audited once for each kind, which takes longer than to show a view.
SHOWN = [
    ("images", "1280-light", True),
    ("images", "390-dark", True),
    ("images", "1280-dark", False),
    ("images", "390-light", False),
    ("vectors", "390-light", False),
    ("vectors", "1280-dark", True),
]


@pytest.mark.parametrize(("kind", "screen", "audited"), SHOWN)
def test_every_view_at_every_width_in_every_theme(kind, screen, audited, open_page, tmp_path):
    page = open_page(kind, screen)
    for view in VIEWS:
        go(page, view)
        assert page.evaluate("document.activeElement.tagName") == "H2"
        path = tmp_path / f"{kind}-{view}-{screen}.png"
        page.screenshot(path=path, full_page=True)
        assert overflow(page) == 0, view
        assert not page.is_visible("#status")
        if audited:
            assert serious_faults(page) == []


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("images", "vectors")])
def test_other_runs_have_all_views_or_the_reason(kind, open_page):
    page = open_page(kind, "390-dark")
    for view in VIEWS:
        text = go(page, view).inner_text()
        assert ("only generates" in text) == (kind == "generator" and view in ("spectrum", "latents", "own"))
        assert overflow(page) == 0, view
        assert not page.is_visible("#status")
    assert page.is_visible("#notes") == (kind in ("gone", "generator"))


def use(page, control, picture):
    """Use a control as its kind is used; return whether it could be."""
    about = "each => [each.tagName + ':' + (each.type ?? ''), [...(each.options ?? [])].map((option) => option.value)]"
    tag, values = control.evaluate(about)
    tag = tag.lower()
    if tag.startswith("select"):
        for value in values:
            control.select_option(value)
            settled(page)
    elif tag == "input:range":
        control.press("ArrowRight")
        control.press("Home")
    elif tag == "input:checkbox":
        control.check()
    elif tag == "input:color":
        control.fill("#3366ff")
    elif tag == "input:file":
        control.set_input_files(picture)
    elif tag == "input:number":
        control.fill("1")
        control.press("Enter")
    elif tag.startswith("textarea"):
        control.fill("1,2,3,4,5,6")
    else:
        control.click()
    settled(page)


@pytest.mark.parametrize(("kind", "screen"), [("colors", "1280-light"), ("vectors", "390-dark")])
def test_every_control_is_used_once(kind, screen, open_page, tmp_path):
    picture = tmp_path / "picture.png"
    Image.fromarray(np.full((20, 30, 3), 120, np.uint8)).save(picture)
    table = tmp_path / "table.csv"
    table.write_text("f,e,d,c,b,a\n7,1,1,2,3,4\n")
    page = open_page(kind, screen)
    used = 0
    for view in VIEWS:
        section = go(page, view)
        for index in range(section.locator(CONTROLS).count()):
            control = section.locator(CONTROLS).nth(index)
            if control.count() and control.is_visible():
                use(page, control, table if kind == "vectors" else picture)
                assert not page.is_visible("#status"), (view, page.inner_text("#status"))
                used += 1
    assert used > 60


def test_a_slider_moves_the_item_and_resets_bring_it_back(open_page):
    page = open_page("images", "1280-light")
    section = go(page, "axes")
    changed = section.locator("figure", has_text="changed").locator("canvas")
    sliders = section.locator("input[type=range]")
    before = changed.evaluate("each => each.toDataURL()")
    values = [sliders.nth(index).input_value() for index in range(2)]
    sliders.nth(0).press("End")
    settled(page)
    assert changed.evaluate("each => each.toDataURL()") != before
    section.get_by_label("One axis at a time").check()
    sliders.nth(1).press("End")
    settled(page)
    assert sliders.nth(0).input_value() == values[0]
    assert "Along axis 2" in section.inner_text()
    section.get_by_role("button", name="Reset axis 2").click()
    settled(page)
    assert changed.evaluate("each => each.toDataURL()") == before
    sliders.nth(1).press("Home")
    section.get_by_role("button", name="Reset all axes").click()
    settled(page)
    assert changed.evaluate("each => each.toDataURL()") == before


def test_the_handle_of_the_spectrum_is_dragged(open_page):
    page = open_page("images", "1280-light")
    section = go(page, "spectrum")
    slider = section.locator("input[type=range]")
    slider.press("End")
    settled(page)
    whole = section.locator("dl").inner_text()
    box = section.locator("svg.draggable").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 100, steps=4)
    page.mouse.up()
    settled(page)
    assert int(slider.input_value()) == 1
    assert "first 1 axes" in section.inner_text()
    assert section.locator("dl").inner_text() != whole


def test_a_click_on_a_point_shows_its_item(open_page):
    page = open_page("images", "1280-light")
    section = go(page, "latents")
    number = section.get_by_role("spinbutton", name="Point")
    box = section.locator("svg.clickable").bounding_box()
    seen = set()
    for place in (0.3, 0.5, 0.8):
        section.locator("svg.clickable").click(position={"x": box["width"] * place, "y": box["height"] * 0.5})
        settled(page)
        seen.add(number.input_value())
        assert f"row in the data\n{number.input_value()}\n" in section.locator("dl").inner_text()
    assert len(seen) > 1
    assert "label 2" in section.locator(".legend").inner_text()


def test_a_drawing_is_encoded_by_pointer_and_by_keyboard(open_page):
    page = open_page("images", "1280-light")
    section = go(page, "own")
    item = section.locator("figure", has_text="your item").locator("canvas")
    drawn = {item.evaluate("each => each.toDataURL()")}
    box = section.locator("canvas.pad").bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 150, steps=4)
    page.mouse.up()
    settled(page)
    drawn.add(item.evaluate("each => each.toDataURL()"))
    pad = section.locator("canvas.pad")
    pad.press("Space")
    for _ in range(6):
        pad.press("ArrowLeft")
    settled(page)
    page.wait_for_timeout(200)  # the picture of a canvas is made in the background
    settled(page)
    drawn.add(item.evaluate("each => each.toDataURL()"))
    assert len(drawn) == 3
    assert "anomaly score" in section.inner_text()


def test_numbers_are_changed_one_by_one_and_as_a_row(open_page, tmp_path):
    page = open_page("vectors", "390-light")
    section = go(page, "own")
    before = section.locator("dl").inner_text()
    section.get_by_label("b", exact=True).fill("900")
    settled(page)
    assert section.locator("dl").inner_text() != before
    section.get_by_role("textbox").fill("a,b,c\n1,2,3")
    section.get_by_role("button", name="Use these numbers").click()
    assert page.inner_text("#status") == "Refused: no column is named d."
    section.get_by_role("textbox").fill("b,a,c,d,e,f\n20,10,30,4,5,6")
    section.get_by_role("button", name="Use these numbers").click()
    settled(page)
    assert section.get_by_label("a", exact=True).input_value() == "10"
    assert section.get_by_label("b", exact=True).input_value() == "20"


def test_what_the_server_refuses_is_said_on_the_page(browser, addresses, tmp_path):
    context = browser.new_context(**SCREENS["390-dark"])
    page = context.new_page()
    page.goto(addresses("images"))
    page.wait_for_selector("main section h2")
    section = go(page, "own")
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    section.locator("input[type=file]").set_input_files(bad)
    settled(page)
    assert "Refused: not a picture that can be read" in page.inner_text("#status")
    assert overflow(page) == 0
    context.close()
