"""The README's first look at MNIST: trains its four runs, keeps their records, draws the picture and the table.

`make first-look` trains what is missing (about ten minutes on 2 cores; an interrupted one is continued) and writes
`results/first-look/`. `make figures` only draws anew from those records.
"""

from typing import Any

import records

from lorae.plots import plot_spectrum

STUDY = "first-look"
PICTURE = records.ROOT / "docs" / "images" / "spectra.png"
# Name in the legend -> settings. Three epochs: enough to see the cliff, a fraction of the paper's fifty.
MODELS: dict[str, dict[str, Any]] = {
    "AE": {"method": "ae"},
    "IRMAE": {"method": "irmae"},
    "LoRAE 1e-4": {"method": "lorae", "penalty": 1e-4},
    "LoRAE 1e-3": {"method": "lorae", "penalty": 1e-3},
}


def train() -> None:
    """Train or continue the runs, one after the other, and write their records."""
    for name, settings in MODELS.items():
        run = records.finished_run(STUDY, name, epochs=3, **settings)
        records.write_record(STUDY, name, run, ["reconstructions"])


def rows() -> list[dict[str, Any]]:
    """The committed records."""
    return records.read_records(STUDY, list(MODELS))


def table(rows: list[dict[str, Any]]) -> str:
    """The README's table, in Markdown."""
    lines = [
        "| model | latent | rank at 1e-2 / 1e-3 / 1e-6 | test error | command |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        ranks = row["evaluation"]["rank"]["ranks"]
        lines.append(
            f"| {row['name']} | {row['settings']['latent_dim']} "
            f"| {ranks['0.01']} / **{ranks['0.001']}** / {ranks['1e-06']} "
            f"| {row['evaluation']['reconstruction']['mse']:.4f} | `{row['command'].split(' --out')[0]}` |"
        )
    return "\n".join(lines)


def draw() -> None:
    """The picture and the table of the README, from the records."""
    found = rows()
    plot_spectrum(
        {row["name"]: row["evaluation"]["rank"]["eigenvalues"] for row in found},
        PICTURE,
        ranks={row["name"]: row["evaluation"]["rank"]["rank"] for row in found},
    )
    records.put_between(records.README, "first look", table(found))


if __name__ == "__main__":
    records.train_and_draw(__doc__, train, draw)
