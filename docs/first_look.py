"""The README's first look at MNIST: trains its four runs, keeps their records, draws the picture and the table.

`make first-look` trains what is missing (about ten minutes on 2 cores; an interrupted one is continued) and writes
`results/first-look/`. `make figures` only draws anew from those records.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import lorae
from lorae.plots import plot_spectrum
from lorae.runs import Run

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "results" / "first-look"
PICTURE = ROOT / "docs" / "images" / "spectra.png"
README = ROOT / "README.md"
BEGIN, END = "<!-- first look -->", "<!-- end of first look -->"
# Name in the legend -> settings. Three epochs: enough to see the cliff, a fraction of the paper's fifty.
RUNS: dict[str, dict[str, Any]] = {
    "AE": {"method": "ae"},
    "IRMAE": {"method": "irmae"},
    "LoRAE 1e-4": {"method": "lorae", "penalty": 1e-4},
    "LoRAE 1e-3": {"method": "lorae", "penalty": 1e-3},
}


def train() -> None:
    """Train or continue the runs, one after the other, and write their records."""
    RECORDS.mkdir(parents=True, exist_ok=True)
    for name, settings in RUNS.items():
        stem = name.lower().replace(" ", "-")
        folder = Path("runs") / "first-look" / stem
        done = (folder / "config.json").exists()
        run = lorae.resume(folder) if done else lorae.train("mnist", epochs=3, out=folder, **settings)
        write_record(run, name, stem)


def write_record(run: Run, name: str, stem: str) -> None:
    """Everything that the README says of a run, and its reconstructions as a picture."""
    keep = ("version", "command", "created", "settings", "parameters", "machine")
    record = {"name": name, **{key: run.config[key] for key in keep}}
    record |= {"summary": run.summary(), "evaluation": run.evaluation()}
    (RECORDS / f"{stem}.json").write_text(json.dumps(record, indent=2) + "\n")
    shutil.copy(run.figure_path("reconstructions"), RECORDS / f"{stem}.png")


def records() -> list[dict[str, Any]]:
    """The committed records, in the order of `RUNS`."""
    found = [json.loads(path.read_text()) for path in RECORDS.glob("*.json")]
    return sorted(found, key=lambda record: list(RUNS).index(record["name"]))


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
            f"| {row['evaluation']['reconstruction']['mse']:.4f} "
            f"| `{row['command'].split(' --out')[0]}` |"
        )
    return "\n".join(lines)


def draw() -> None:
    """The picture and the table of the README, from the records."""
    rows = records()
    plot_spectrum(
        {row["name"]: row["evaluation"]["rank"]["eigenvalues"] for row in rows},
        PICTURE,
        ranks={row["name"]: row["evaluation"]["rank"]["rank"] for row in rows},
    )
    before, rest = README.read_text().split(BEGIN)
    README.write_text(f"{before}{BEGIN}\n{table(rows)}\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draw-only", action="store_true", help="do not train")
    if not parser.parse_args().draw_only:
        train()
    draw()
