"""The page `docs/results.md`: which claims of the paper hold, from the records that `make paper` wrote.

Run by `make figures` as well. The paper's own preset takes half an hour a model (`make paper-at-length`): of it, what
there is.
"""

from typing import Any

import records

from lorae.paper import reproduce
from lorae.paper.rendering import claims_table
from lorae.paper.studies import studies

PAGE = records.ROOT / "docs" / "results.md"
# Preset -> the folder of its records, what marks its part of the page, and the studies that there are.
PRESETS = {
    "quick": (records.RESULTS / "paper", "", ("all",)),
    "paper": (
        records.RESULTS / "paper-preset",
        "-at-length",
        ("table3", "table6", "table6-authors", "figure2", "figure3"),
    ),
}


def drawn(preset: str) -> dict[str, Any]:
    """The pages of a preset beside its records, drawn anew: their paths by name, and their claims."""
    folder, _, names = PRESETS[preset]
    found = [reproduce(name, preset=preset, out=folder, draw_only=True) for name in names]
    return {
        "pages": {name: path for result in found for name, path in result["pages"].items()},
        "claims": [claim for result in found for claim in result["claims"]],
    }


def draw_page() -> None:
    """The page of every study beside the records, and all claims in one table with links to them."""
    for preset, (folder, ending, _) in PRESETS.items():
        result = drawn(preset)
        records.put_between(PAGE, f"claims{ending}", claims_table(result["claims"]))
        links = [f"- [{name}](../results/{folder.name}/{name}.md): {studies()[name].title}" for name in result["pages"]]
        records.put_between(PAGE, f"pages{ending}", "\n".join(links))
    records.put_between(records.README, "paper", table())


def table() -> str:
    """The numbers of table 3 on MNIST, as they stand on its page."""
    page = (PRESETS["quick"][0] / "table3.md").read_text()
    return next(part for part in page.split("\n\n") if part.startswith("| MNIST |"))


if __name__ == "__main__":
    draw_page()
