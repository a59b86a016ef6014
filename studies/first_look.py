"""Train AE, IRMAE and LoRAE for three epochs on MNIST: spectra and ranks, for docs/rank.md and the README.

`make study-first-look` trains the missing runs (about ten minutes on 2 cores; an interrupted run is continued), writes
`results/first-look/`, and draws the README's picture of the spectra and the table of docs/rank.md.
"""

from typing import Any

from lorae.plotting.plots import plot_spectrum
from studies import common

STUDY = "first-look"
PICTURE, PAGE = "docs/images/spectra.png", "docs/rank.md"
EPOCHS = 3  # enough to see where the spectra end; the paper trains 50
# Name in the legend -> settings.
MODELS: dict[str, dict[str, Any]] = {
    "AE": {"method": "ae"},
    "IRMAE": {"method": "irmae"},
    "LoRAE 1e-4": {"method": "lorae", "penalty": 1e-4},
    "LoRAE 1e-3": {"method": "lorae", "penalty": 1e-3},
}
# The page shows the reconstructions of this model.
PICTURED = "LoRAE 1e-4"


def train() -> None:
    """Train or continue the runs and write their records."""
    for name, settings in MODELS.items():
        run = common.finished_run(STUDY, name, epochs=EPOCHS, **settings)
        common.write_evaluation(STUDY, name, run)
        if name == PICTURED:
            common.copy_figure(STUDY, name, run, "reconstructions")


def table(records: list[common.Record]) -> str:
    """Return the table of ranks in Markdown."""
    return common.markdown_table(
        ["model", "latent", "rank at 1e-2 / 1e-3 / 1e-6", "test error", "command"], [_row(record) for record in records]
    )


def _row(record: common.Record) -> list[str]:
    evaluation = record["result"]["evaluation"]
    ranks = evaluation["rank"]["ranks"]
    return [
        record["name"],
        str(record["settings"]["latent_dim"]),
        f"{ranks['0.01']} / **{ranks['0.001']}** / {ranks['1e-06']}",
        f"{evaluation['reconstruction']['mse']:.4f}",
        f"`{record['command'].split(' --out')[0]}`",
    ]


def draw() -> None:
    """Draw the picture and the table of the page."""
    records = common.read_records(STUDY, list(MODELS))
    spectra = {record["name"]: record["result"]["evaluation"]["rank"] for record in records}
    plot_spectrum(
        {name: found["eigenvalues"] for name, found in spectra.items()},
        common.ROOT / PICTURE,
        ranks={name: found["rank"] for name, found in spectra.items()},
    )
    common.write_section(PAGE, "first look", table(records))


if __name__ == "__main__":
    common.run_study(__doc__, train, draw)
