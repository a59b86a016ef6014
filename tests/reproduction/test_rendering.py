import html
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from lorae.plotting.image_grids import plot_grid
from lorae.reproduction.pages.blocks import ClaimResult, Details, Gallery, Grid, Page, Picture, Text
from lorae.reproduction.pages.render import claims_table, markdown, write_html, write_markdown

PLACE = Path("pictures/a.png")


@pytest.fixture
def page(tmp_path):
    (tmp_path / "pictures").mkdir()
    plot_grid(np.zeros((4, 1, 8, 8), np.uint8), tmp_path / PLACE)
    return Page(
        "table3",
        "Distances < all",
        (
            Text("Made by `lorae reproduce table3`, a < b."),
            Grid("Numbers", ("MNIST", "MVG | paper"), (("AE", "1.5"), ("LoRAE", "0.5"))),
            ClaimResult("LoRAE is better", True, "0.5, 1.5"),
            ClaimResult("AE is better", False, "0.5, 1.5"),
            ClaimResult("VAE is better", None, "not measured"),
            Picture(PLACE, "samples & more"),
            Grid("Orders", ("column", "same order?"), (("MVG", "same"), ("GMM", "different")), judges=True),
            Details("Protocol", ("Trained with `lorae train`.", "Two seeds.")),
            Gallery("Side by side", (("AE", PLACE), ("VAE", PLACE), ("WAE", PLACE), ("RAE", PLACE))),
        ),
    )


class Words(HTMLParser):
    """The texts of a page, and the sources of its images."""

    def __init__(self):
        super().__init__()
        self.words, self.sources, self.open = [], [], []

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            self.sources.append(dict(attributes)["src"])
        elif tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_html_is_well_formed_escaped_and_needs_no_network(page, tmp_path):
    text = write_html(page, tmp_path).read_text()
    words = Words()
    words.feed(text)
    assert not words.open
    assert all(source.startswith("data:image/png;base64,") for source in words.sources)
    assert len(words.sources) == 1 + 4
    assert not re.search(r"(src|href)=\"(https?:|//)", text)
    assert html.escape("Distances < all") in text
    assert "<code>lorae reproduce table3</code>" in text


def test_outcomes_are_badges_and_the_protocol_is_closed(page, tmp_path):
    text = write_html(page, tmp_path).read_text()
    shown = re.findall(r'<span class="badge (\w+)">([^<]+)</span>', text)
    assert shown == [
        ("yes", "holds"),
        ("no", "does not hold"),
        ("open", "not measured"),
        ("yes", "same"),
        ("no", "different"),
    ]
    assert re.search(r"<details>\s*<summary>Protocol</summary>\s*<p>Trained with <code>", text)
    assert '<details markdown="1">\n<summary>Protocol</summary>\n\nTrained with' in markdown(page)
    assert "| GMM | ❌ different |" in markdown(page)


def test_columns_without_a_value_are_left_out():
    grid = Grid("Numbers", ("row", "a", "b", "c"), (("–", "–", "1", ""), ("x", "–", "–", "–")))
    assert grid.without_empty_columns().header == ("row", "b")
    assert grid.without_empty_columns().rows == (("–", "1"), ("x", "–"))


def test_markdown_links_the_pictures_beside_it(page, tmp_path):
    path = write_markdown(page, tmp_path)
    text = path.read_text()
    link = re.search(r"!\[samples & more\]\((.+)\)", text).group(1)
    assert (path.parent / link).exists()
    beside = [line.count("![") for line in text.splitlines() if line.startswith("| ![")]
    assert beside == [3, 1]
    assert "| MNIST | MVG \\| paper |\n|---|---|\n| AE | 1.5 |" in text


@pytest.mark.parametrize("words", ["**holds**: LoRAE", "**does not hold**: AE", "**not measured**: VAE"])
def test_every_outcome_of_a_claim_has_its_words(page, words):
    assert words in markdown(page)


def test_claims_of_several_studies_stand_in_one_table():
    claims = [{"study": "table3", "claim": "a | b", "holds": holds, "seen": "1.0"} for holds in (True, False, None)]
    lines = claims_table(claims).splitlines()
    assert len(lines) == 2 + 3
    assert [line.split(" | ")[-2] for line in lines[2:]] == [
        "✅ **holds**",
        "❌ **does not hold**",
        "➖ **not measured**",
    ]
