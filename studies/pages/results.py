"""Draw docs/results.md and the pages in docs/results/ from the records of `make study-paper` and `study-paper-full`."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorae.reproduction import reproduce
from lorae.reproduction.pages.render import claims_table
from lorae.reproduction.studies import studies
from lorae.system.files import write_atomically
from studies import common

PAGE = "docs/results.md"


@dataclass(frozen=True)
class Part:
    """A preset of `lorae reproduce`, the folders of its records and pages, and its part of docs/results.md."""

    preset: str
    records: str
    pages: str
    suffix: str
    studies: tuple[str, ...]


QUICK = Part("quick", "results/paper", "docs/results", "", ("all",))
FULL = Part(
    "paper",
    "results/paper-full",
    "docs/results/full",
    "-full",
    ("table3", "table6", "table6-authors", "figure2", "figure3"),
)


def draw() -> None:
    """Draw all pages, the lists of them and the tables of claims, and the README's table."""
    for part in (QUICK, FULL):
        drawn = draw_part(part)
        common.write_section(PAGE, f"claims{part.suffix}", claims_table(drawn["claims"]))
        place = os.path.relpath(part.pages, Path(PAGE).parent)
        links = [f"- [{name}]({place}/{name}.md): {studies()[name].title}" for name in drawn["pages"]]
        common.write_section(PAGE, f"pages{part.suffix}", "\n".join(links))
    common.write_section(common.README, "paper", table())


def draw_part(part: Part) -> dict[str, Any]:
    """Draw the pages of a preset; return their texts by name, and their claims.

    `lorae reproduce` writes pages beside the records. They are copied to docs/, with links to the pictures there.
    """
    found = [
        reproduce(name, preset=part.preset, out=common.ROOT / part.records, draw_only=True) for name in part.studies
    ]
    pictures = os.path.relpath(part.records, part.pages) + "/pictures/"
    pages = {}
    for name, paths in ((name, paths) for result in found for name, paths in result["pages"].items()):
        pages[name] = Path(paths["markdown"]).read_text(encoding="utf-8").replace("](pictures/", f"]({pictures}")
        write_atomically(common.ROOT / part.pages / f"{name}.md", pages[name].encode())
    return {"pages": pages, "claims": [claim for result in found for claim in result["claims"]]}


def table() -> str:
    """Return the numbers of table 3 on MNIST, as they are on its page."""
    page = (common.ROOT / QUICK.pages / "table3.md").read_text(encoding="utf-8")
    return next(part for part in page.split("\n\n") if part.startswith("| MNIST |"))
