"""Train an autoencoder and two LoRAEs for six epochs on MNIST and measure their samples, for docs/samples.md.

`make study-sampling` trains and measures the missing runs (half an hour on 2 cores; an interrupted run is continued),
writes `results/sampling/`, and draws the table of the page.
"""

from typing import Any

import lorae
from lorae.reports.comparison import COLUMNS, Column, lookup
from studies import common

STUDY, PAGE = "sampling", "docs/samples.md"
EPOCHS = 6  # the order of the models under a Gaussian no longer changes after six
MODELS: dict[str, dict[str, Any]] = {
    "AE": {"method": "ae"},
    "LoRAE 1e-4": {"method": "lorae", "penalty": 1e-4},
    "LoRAE 1e-3": {"method": "lorae", "penalty": 1e-3},
}
# The page shows the samples of this model.
PICTURED = "LoRAE 1e-3"
SHOWN = (
    "rank",
    "test_mse",
    "fid_gaussian",
    "fid_mixture",
    "fid_reconstructions",
    "fid_floor",
    "precision",
    "recall",
    "accuracy_10",
    "accuracy_100",
    "accuracy_1000",
    "accuracy_all",
)


def train() -> None:
    """Train or continue the runs, measure each, and write the records."""
    for name, settings in MODELS.items():
        run = common.finished_run(STUDY, name, epochs=EPOCHS, **settings)
        if "classification" not in run.evaluation():  # the last measure of an evaluation
            lorae.evaluate(run)
        common.write_evaluation(STUDY, name, run)
        if name == PICTURED:
            common.copy_figure(STUDY, name, run, "samples-gaussian")


def table(records: list[common.Record]) -> str:
    """Return the table in Markdown, one row for each measure and one column for each model."""
    rows = [
        [column.title, *(_cell(record["result"]["evaluation"], column) for record in records)]
        for column in COLUMNS
        if column.key in SHOWN
    ]
    found = common.markdown_table(["", *(record["name"] for record in records)], rows)
    commands = ", ".join(f"`{record['command']}`" for record in records)
    return f"{found}\n\nTrained by {commands}, each measured by `lorae evaluate RUN`."


def _cell(evaluation: dict[str, Any], column: Column) -> str:
    text = column.show(lookup(evaluation, column.path))
    deviation = lookup(evaluation, (*column.path[:-1], "sd"))
    return text if deviation is None else f"{text} ± {column.show(deviation)}"


def draw() -> None:
    """Draw the table of the page."""
    common.write_section(PAGE, "sampling", table(common.read_records(STUDY, list(MODELS))))


if __name__ == "__main__":
    common.run_study(__doc__, train, draw)
