"""Train and measure every method on MNIST for one to five epochs: the first table of docs/zoo.md.

`make study-zoo` trains and measures the missing runs (two hours on 2 cores; an interrupted run is continued) and writes
`results/zoo/`. `--methods A,B` selects some methods.
"""

from typing import Any

import numpy as np
import torch

import lorae
from lorae.config.methods import METHODS
from lorae.features.digits import build_digits
from lorae.reports.comparison import lookup
from lorae.runs.run import Run
from studies import common

STUDY = "zoo"
PAGE = "docs/zoo.md"
# One epoch shows that a method works. Methods whose order the paper compares get five, so that it shows; so do GANs,
# which have no error to follow.
EPOCHS, COMPARED_EPOCHS, GAN_EPOCHS = 1, 5, 5
COMPARED = ("ae", "vae", "vae-flow", "beta-vae", "irmae", "lorae", "wae", "rae-l2", "rae-sn")
CLASSIFIED = 1000


def train(names: list[str]) -> None:
    """Train or continue the runs, measure each, and write the records."""
    for name in names:
        run = common.finished_run(STUDY, name, epochs=epochs_of(name), method=name)
        if "digits" not in run.evaluation():
            lorae.evaluate(run, only="fid" if not METHODS[name].encodes else "reconstruction,rank,fid", draws=1)
            run.add_to_evaluation({"digits": digits_among_samples(run)})
        common.write_evaluation(STUDY, name, run)


def epochs_of(name: str) -> int:
    """Return the number of epochs that a method is trained for."""
    if not METHODS[name].encodes:
        return GAN_EPOCHS
    return COMPARED_EPOCHS if name in COMPARED else EPOCHS


def sampler(name: str) -> str:
    """Return the density whose samples are classified: the method's own prior if it has one."""
    return "prior" if METHODS[name].prior else "gaussian"


def digits_among_samples(run: Run) -> dict[str, Any]:
    """Count the digits among 1,000 samples, as recognized by the classifier behind the features `digits`."""
    images = lorae.sample(run, CLASSIFIED, sampler=sampler(run.settings.method))
    extractor = build_digits()
    network: Any = extractor.network
    with torch.inference_mode():
        answers = network.classifier(network.pooled(extractor.prepare(images))).argmax(1)
    return {"counts": np.bincount(answers.numpy(), minlength=10).tolist(), "n": CLASSIFIED}


def noise_distance() -> float:
    """Return the Frechet distance of uniform noise to the test digits, a reference for a model that learned nothing."""
    noise = np.random.default_rng(0).integers(0, 256, (10_000, 1, 32, 32)).astype(np.uint8)
    return float(lorae.fid(noise, "mnist:test", features="digits", quiet=True)["fid"])


def table(records: list[common.Record]) -> str:
    """Return the table in Markdown."""
    header = ["method", "epochs", "test MSE", "rank", "FID: Gaussian", "mixture", "prior", "digits among 1,000 samples"]
    return common.markdown_table(header, [_row(record["name"], **record["result"]) for record in records])


def _row(name: str, summary: dict[str, Any], evaluation: dict[str, Any]) -> list[str]:
    counts = evaluation["digits"]["counts"]
    return [
        f"`{name}`",
        str(summary["epochs"]),
        _number(lookup(evaluation, ("reconstruction", "mse")), ".4f"),
        _number(lookup(evaluation, ("rank", "rank")), "d"),
        *(_number(lookup(evaluation, ("fid", name, "value")), ".1f") for name in ("gaussian", "mixture", "prior")),
        f"{sum(count > 0 for count in counts)} kinds, {min(counts)} to {max(counts)} each",
    ]


def _number(value: Any, shape: str) -> str:
    return "" if value is None else format(value, shape)


def draw() -> None:
    """Draw the table of the page."""
    common.write_section(PAGE, "zoo", table(common.read_records(STUDY, list(METHODS))))


if __name__ == "__main__":
    common.run_study(__doc__, train, draw, ("methods", list(METHODS)))
