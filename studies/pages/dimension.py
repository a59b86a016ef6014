"""Draw docs/dimension.md from the records of `make study-dimension`."""

from lorae.reproduction.dimension import benchmark
from lorae.reproduction.dimension.tables import markdown, shares_table
from lorae.reproduction.jobs.store import ResultStore
from studies import common

STUDY = "dimension"
PAGE = "docs/dimension.md"


def draw() -> None:
    """Draw the plot beside the records, and the tables of the page."""
    folder = common.results_folder(STUDY)
    records = ResultStore(folder).records()
    benchmark.draw(records, folder)
    estimates = benchmark.current_estimates(records)
    common.write_section(PAGE, STUDY, markdown(estimates))
    common.write_section(PAGE, f"{STUDY}-shares", shares_table(estimates))
