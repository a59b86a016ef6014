"""The page `docs/dimension.md`: its tables from the records that `make dimension` wrote. Run by `make figures`."""

import records

from lorae.paper.cells import Store
from lorae.paper.dimension import draw

STUDY = "dimension"
FOLDER = records.RESULTS / STUDY
PAGE = records.ROOT / "docs" / "dimension.md"


def draw_page() -> None:
    """The table and the plot beside the records, and the table in the page."""
    draw(Store(FOLDER).records(), FOLDER)
    records.put_between(PAGE, STUDY, (FOLDER / "table.md").read_text().rstrip("\n"))


if __name__ == "__main__":
    draw_page()
