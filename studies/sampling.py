"""The README's look at samples: an autoencoder and two LoRAEs trained alike for six epochs of MNIST, and measured.

`make sampling` trains and measures what is missing (half an hour on 2 cores; an interrupted training is continued) and
writes `results/sampling/`. `make figures` only draws anew from those records.
"""

from typing import Any

import records

import lorae
from lorae.comparison import COLUMNS, Column, lookup

STUDY = "sampling"
# Six epochs: the order of the methods under a Gaussian no longer changes then.
MODELS: dict[str, dict[str, Any]] = {
    "AE": {"method": "ae"},
    "LoRAE 1e-4": {"method": "lorae", "penalty": 1e-4},
    "LoRAE 1e-3": {"method": "lorae", "penalty": 1e-3},
}
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
        run = records.finished_run(STUDY, name, epochs=6, **settings)
        if "classification" not in run.evaluation():  # the measure that comes last
            lorae.evaluate(run)
        records.write_record(STUDY, name, run, ["samples-gaussian", "samples-mixture", "interpolation-linear"])


def rows() -> list[dict[str, Any]]:
    """The committed records."""
    return records.read_records(STUDY, list(MODELS))


def table(rows: list[dict[str, Any]]) -> str:
    """The README's table, in Markdown: a row a measure, a column a model."""
    lines = [f"| | {' | '.join(row['name'] for row in rows)} |", "|---" * (len(rows) + 1) + "|"]
    for column in COLUMNS:
        if column.key in SHOWN:
            cells = " | ".join(_cell(row["evaluation"], column) for row in rows)
            lines.append(f"| {column.title} | {cells} |")
    commands = ", ".join(f"`{row['command']}`" for row in rows)
    return "\n".join(lines) + f"\n\nTrained by {commands}, each measured by `lorae evaluate RUN`."


def _cell(evaluation: dict[str, Any], column: Column) -> str:
    text = column.show(lookup(evaluation, column.path))
    spread = lookup(evaluation, (*column.path[:-1], "sd"))
    return text if spread is None else f"{text} ± {column.show(spread)}"


def draw() -> None:
    """The table of the README, from the records."""
    records.put_between(records.README, "sampling", table(rows()))


if __name__ == "__main__":
    records.train_and_draw(__doc__, train, draw)
