"""The table of the zoo: every method on MNIST for a few epochs, measured, in `docs/zoo.md`.

`make zoo` trains and measures what is missing (two hours on 2 cores; an interrupted training is continued) and writes
`results/zoo/`. `make figures` only draws anew from those records. `--methods` names some of them.
"""

from typing import Any

import numpy as np
import records
import torch

import lorae
from lorae.comparison import lookup
from lorae.features.digits import build_digits
from lorae.methods import METHODS
from lorae.runs import Run

STUDY = "zoo"
PAGE = records.ROOT / "docs" / "zoo.md"
# One epoch shows that a method works. Those whose order the paper compares get five, so that it shows, as do GANs,
# which have no error to follow.
EPOCHS, COMPARED_EPOCHS, GAN_EPOCHS = 1, 5, 5
COMPARED = ("ae", "vae", "vae-flow", "beta-vae", "irmae", "lorae", "wae", "rae-l2", "rae-sn")
CLASSIFIED = 1000


def train(names: list[str]) -> None:
    """Train or continue the runs, measure each, and write the records."""
    for name in names:
        run = records.finished_run(STUDY, name, epochs=epochs_of(name), method=name)
        if "digits" not in run.evaluation():
            lorae.evaluate(run, only="fid" if not METHODS[name].encodes else "reconstruction,rank,fid", draws=1)
            run.add_to_evaluation({"digits": digits_among_samples(run)})
        records.write_record(STUDY, name, run, [f"samples-{sampler(name)}"])


def epochs_of(name: str) -> int:
    """How long a method is trained."""
    if not METHODS[name].encodes:
        return GAN_EPOCHS
    return COMPARED_EPOCHS if name in COMPARED else EPOCHS


def sampler(name: str) -> str:
    """The density whose samples are pictured: the method's own prior where it has one."""
    return "prior" if METHODS[name].prior else "gaussian"


def digits_among_samples(run: Run) -> dict[str, Any]:
    """How often each digit is seen among 1,000 samples, by the classifier behind the features."""
    images = lorae.sample(run, CLASSIFIED, sampler=sampler(run.settings.method))
    extractor = build_digits()
    network: Any = extractor.network
    with torch.inference_mode():
        answers = network.classifier(network.pooled(extractor.prepare(images))).argmax(1)
    return {"counts": np.bincount(answers.numpy(), minlength=10).tolist(), "n": CLASSIFIED}


def noise_distance() -> float:
    """The Frechet distance of uniform noise to the test digits: what a method that learned nothing could reach."""
    noise = np.random.default_rng(0).integers(0, 256, (10_000, 1, 32, 32)).astype(np.uint8)
    return float(lorae.fid(noise, "mnist:test", features="digits", quiet=True)["fid"])


def rows() -> list[dict[str, Any]]:
    """The committed records."""
    return records.read_records(STUDY, list(METHODS))


def table(rows: list[dict[str, Any]]) -> str:
    """The table, in Markdown."""
    lines = [
        "| method | epochs | test MSE | rank | FID: Gaussian | mixture | prior | digits among 1,000 samples |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        found = row["evaluation"]
        counts = found["digits"]["counts"]
        cells = [
            f"`{row['name']}`",
            str(row["summary"]["epochs"]),
            _number(lookup(found, ("reconstruction", "mse")), ".4f"),
            _number(lookup(found, ("rank", "rank")), "d"),
            *(_number(lookup(found, ("fid", name, "value")), ".1f") for name in ("gaussian", "mixture", "prior")),
            f"{sum(count > 0 for count in counts)} kinds, {min(counts)} to {max(counts)} each",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _number(value: Any, shape: str) -> str:
    return "" if value is None else format(value, shape)


def draw() -> None:
    """The table in the page, from the records."""
    records.put_between(PAGE, "zoo", table(rows()))


if __name__ == "__main__":
    records.train_and_draw(__doc__, train, draw, ("methods", list(METHODS)))
