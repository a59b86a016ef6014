"""Does the rank depend on the size of the encoder's outputs, or on the learning rate? The table of docs/numerics.md.

`make scale` trains small networks on vectors of a known manifold (two minutes on one core): the paper's method, the
same with proximal steps, and that with a normalisation before M. The last layer of the encoder is multiplied by a
factor before the first step, which a penalty on M alone cannot see. It writes `results/scale/records.json`.
"""

import json
import time
from typing import Any

import numpy as np
import records
import torch

from lorae import __version__
from lorae.data import Dataset, Split
from lorae.data.manifolds import build_manifold
from lorae.linalg import rank_at
from lorae.memory import MemoryRun
from lorae.settings import Settings
from lorae.training import Trainer

STUDY = "scale"
PAGE = records.ROOT / "docs" / "numerics.md"
RECORDS = records.RESULTS / STUDY / "records.json"

FACTORS = (0.1, 1.0, 10.0)
RATES = (3e-4, 1e-3, 3e-3)
METHODS: dict[str, dict[str, Any]] = {
    "`lorae`": {"method": "lorae"},
    "`lorae+`": {"method": "lorae+"},
    "`lorae+`, normalised": {"method": "lorae+", "normalise": "coordinates"},
}
COMMON = {"data": "array", "penalty": 3e-3, "epochs": 40, "batch_size": 64, "width": 0.5, "precision": "float32"}
MANIFOLD = {"name": "warped", "dimension": 3, "ambient": 30, "noise": 0.05, "train": 2000, "test": 500}


def manifold() -> Dataset:
    """The vectors: warped cubes of three dimensions, whose linear span has nine, with noise."""
    made = build_manifold(MANIFOLD["name"], MANIFOLD["dimension"], MANIFOLD["ambient"])
    points = made.sample(MANIFOLD["train"] + MANIFOLD["test"], noise=MANIFOLD["noise"])
    train, test = points[: MANIFOLD["train"]], points[MANIFOLD["train"] :]
    return Dataset("array", Split(train), Split(test), "array", "")


def trained(dataset: Dataset, factor: float, lr: float, **method: Any) -> dict[str, Any]:
    """Ranks and error on the test vectors of a model whose encoder started `factor` times as large."""
    settings = Settings.from_values(COMMON | method | {"lr": lr}, str)
    run = MemoryRun(settings.resolve("vectors", dataset.shape).with_machine("cpu", "float32"), 1)
    trainer = Trainer(run, dataset, quiet=True)
    with torch.no_grad():
        trainer.model.encoder.output.weight.mul_(factor)
        trainer.model.encoder.output.bias.mul_(factor)
    model = trainer.fit()
    spectrum = model.spectrum(dataset.test.inputs)
    return {
        "rank": spectrum.rank,
        "rank_at_1e-6": rank_at(np.array(spectrum.eigenvalues), 1e-6),
        "test_mse": model.squared_error(dataset.test.inputs),
    }


def train() -> None:
    """Every method at every factor and rate."""
    dataset, rows, started = manifold(), [], time.perf_counter()
    for name, method in METHODS.items():
        for factor in FACTORS:
            for lr in RATES:
                found = trained(dataset, factor, lr, **method)
                rows.append({"method": name, "settings": method, "factor": factor, "lr": lr, **found})
                print(rows[-1], flush=True)
    RECORDS.parent.mkdir(parents=True, exist_ok=True)
    record = {
        "command": "make scale",
        "version": __version__,
        "torch": torch.__version__,
        "common": COMMON,
        "manifold": MANIFOLD,
        "seconds": round(time.perf_counter() - started, 1),
        "rows": rows,
    }
    RECORDS.write_text(json.dumps(record, indent=2) + "\n")


def table() -> str:
    """A row for each method and rate, in Markdown: ranks at two tolerances, and errors, by the encoder's factor."""
    rows = json.loads(RECORDS.read_text())["rows"]
    heads = " | ".join(f"x {factor:g}" for factor in FACTORS)
    lines = [f"| method | learning rate | {heads} |", "|---|---|---|---|---|"]
    for name in METHODS:
        for lr in RATES:
            found = {row["factor"]: row for row in rows if (row["method"], row["lr"]) == (name, lr)}
            cells = [f"{found[f]['rank']} / {found[f]['rank_at_1e-6']}, {found[f]['test_mse']:.4f}" for f in FACTORS]
            lines.append(f"| {name} | {lr:g} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    torch.set_num_threads(1)
    records.train_and_draw(__doc__, train, lambda: records.put_between(PAGE, STUDY, table()))
