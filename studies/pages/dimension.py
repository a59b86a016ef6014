"""The page `docs/dimension.md` and the README's table, from the records that `make dimension` wrote.

Run by `make figures` as well.
"""

import records

from lorae.paper.cells import Store
from lorae.paper.dimension import counted, draw
from lorae.paper.dimension_table import shares_table

STUDY = "dimension"
FOLDER = records.RESULTS / STUDY
PAGE = records.ROOT / "docs" / "dimension.md"


def draw_page() -> None:
    """The table and the plot beside the records, the table in the page, its last row by kinds of data in the README."""
    found = Store(FOLDER).records()
    draw(found, FOLDER)
    records.put_between(PAGE, STUDY, (FOLDER / "table.md").read_text().rstrip("\n"))
    records.put_between(records.README, STUDY, shares_table(counted(found)))


if __name__ == "__main__":
    draw_page()
