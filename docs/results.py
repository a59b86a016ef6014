"""The page `docs/results.md`: which claims of the paper hold, from the records that `make paper` wrote.

Run by `make figures` as well.
"""

import records

from lorae.paper import reproduce
from lorae.paper.rendering import claims_table
from lorae.paper.studies import studies

STUDY = "paper"
FOLDER = records.RESULTS / STUDY
PAGE = records.ROOT / "docs" / "results.md"


def draw_page() -> None:
    """The page of every study beside the records, and all claims in one table with links to them."""
    result = reproduce("all", preset="quick", out=FOLDER, draw_only=True)
    records.put_between(PAGE, "claims", claims_table(result["claims"]))
    links = [f"- [{name}](../results/{STUDY}/{name}.md): {studies()[name].title}" for name in result["pages"]]
    records.put_between(PAGE, "pages", "\n".join(links))
    records.put_between(records.README, STUDY, table())


def table() -> str:
    """The numbers of table 3 on MNIST, as they stand on its page."""
    page = (FOLDER / "table3.md").read_text()
    return next(part for part in page.split("\n\n") if part.startswith("| MNIST |"))


if __name__ == "__main__":
    draw_page()
