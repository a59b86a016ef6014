"""Measure how the rank depends on the size of the encoder's outputs and on the learning rate: docs/numerics.md.

`make study-encoder-scale` trains small networks on vectors of a known manifold (two minutes on one core): the paper's
method, the same with proximal steps, and the latter with a normalization before M. The last layer of the encoder is
multiplied by a factor before the first step, which a penalty on M alone cannot see. Records are written to
`results/encoder-scale/`.
"""

import time
from typing import Any

import numpy as np
import torch

from lorae import __version__
from lorae.config.methods import get_method
from lorae.config.resolution import resolve
from lorae.config.settings import Settings
from lorae.data import Dataset, Split
from lorae.data.manifolds import build_manifold
from lorae.metrics.ranks import rank_at
from lorae.runs.store import InMemoryRun
from lorae.training.trainer import Trainer
from studies import common

STUDY = "encoder-scale"
PAGE = "docs/numerics.md"

FACTORS = (0.1, 1.0, 10.0)
RATES = (3e-4, 1e-3, 3e-3)
METHODS: dict[str, dict[str, Any]] = {
    "lorae": {"method": "lorae"},
    "lorae+": {"method": "lorae+"},
    "lorae+, normalized": {"method": "lorae+", "normalize": "coordinates"},
}
COMMON = {"data": "array", "penalty": 3e-3, "epochs": 40, "batch_size": 64, "width": 0.5, "precision": "float32"}
MANIFOLD: dict[str, Any] = {
    "name": "warped",
    "dimension": 3,
    "ambient": 30,
    "noise": 0.05,
    "train": 2000,
    "test": 500,
}


def manifold() -> Dataset:
    """Build the data set: warped cubes of three dimensions, whose linear span has nine, with noise."""
    made = build_manifold(MANIFOLD["name"], MANIFOLD["dimension"], MANIFOLD["ambient"])
    points = made.sample(MANIFOLD["train"] + MANIFOLD["test"], noise=MANIFOLD["noise"])
    train, test = points[: MANIFOLD["train"]], points[MANIFOLD["train"] :]
    return Dataset("array", Split(train), Split(test), "array", "")


def trained(dataset: Dataset, factor: float, settings: dict[str, Any]) -> dict[str, Any]:
    """Train a model whose encoder starts `factor` times as large; return ranks and error on the test vectors."""
    checked = Settings.from_values(settings, str)
    run = InMemoryRun(resolve(checked, "vectors", dataset.shape).with_machine("cpu", "float32"), 1)
    trainer = Trainer(run, dataset, quiet=True)
    output: Any = trainer.model.encoder.output
    with torch.no_grad():
        output.weight.mul_(factor)
        output.bias.mul_(factor)
    model = trainer.fit()
    spectrum = model.spectrum(dataset.test.inputs)
    return {
        "rank": spectrum.rank,
        "rank_at_1e-6": rank_at(np.array(spectrum.eigenvalues), 1e-6),
        "test_mse": model.squared_error(dataset.test.inputs),
    }


def name_of(method: str, factor: float, lr: float) -> str:
    """Return the name of a record."""
    return f"{method}, x {factor:g}, learning rate {lr:g}"


def train() -> None:
    """Train every method with every factor and learning rate."""
    torch.set_num_threads(1)
    dataset, records, started = manifold(), [], time.perf_counter()
    for name, method in METHODS.items():
        for factor in FACTORS:
            for lr in RATES:
                settings = COMMON | method | {"lr": lr}
                records.append(
                    {
                        "name": name_of(name, factor, lr),
                        "version": __version__,
                        "command": f"make study-{STUDY}",
                        "settings": settings,
                        "data": MANIFOLD,
                        "factor": factor,
                        "machine": {"torch": torch.__version__},
                        "revision": get_method(method["method"]).revision,
                        "result": trained(dataset, factor, settings),
                    }
                )
                print(records[-1]["name"], records[-1]["result"], flush=True)
    seconds = round(time.perf_counter() - started, 1)
    common.write_records(STUDY, [record | {"study_seconds": seconds} for record in records])


def table() -> str:
    """Return the table in Markdown: for each method and learning rate, ranks at two tolerances and errors by factor."""
    rows = []
    for name in METHODS:
        for lr in RATES:
            cells = []
            for factor in FACTORS:
                found = common.read_record(STUDY, name_of(name, factor, lr))["result"]
                cells.append(f"{found['rank']} / {found['rank_at_1e-6']}, {found['test_mse']:.4f}")
            method, *rest = name.split(",")
            rows.append([",".join([f"`{method}`", *rest]), f"{lr:g}", *cells])
    return common.markdown_table(["method", "learning rate", *(f"x {factor:g}" for factor in FACTORS)], rows)


def draw() -> None:
    """Draw the table of the page."""
    common.write_section(PAGE, STUDY, table())


if __name__ == "__main__":
    common.run_study(__doc__, train, draw)
