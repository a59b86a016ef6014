"""Draw docs/dimension.md and the README's table of dimensions from the records of `make study-dimension`."""

from lorae.paper import dimension
from lorae.paper.cells import Store
from lorae.paper.dimension_table import markdown, shares_table
from studies import common

STUDY = "dimension"
PAGE = "docs/dimension.md"


def draw() -> None:
    """Draw the plot beside the records, the table of the page, and the README's table."""
    folder = common.results_folder(STUDY)
    records = Store(folder).records()
    dimension.draw(records, folder)
    estimates = dimension.counted(records)
    common.write_section(PAGE, STUDY, markdown(estimates))
    common.write_section(common.README, STUDY, shares_table(estimates))
