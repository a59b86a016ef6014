"""Classify the encoder's outputs before M, in part and as a whole, and after M: a table of docs/results.md.

The authors' code classifies the encoder's outputs before M. If M has an exact rank, the directions that M does not read
are not trained. `make study-before-bottleneck` classifies, by the authors' protocol, the outputs of three models of
`make study-feature-networks`: as they are, projected onto the directions that M reads, and after M. It takes a minute a
model, after their training. Records are written to `results/before-bottleneck/`.
"""

from typing import Any

import numpy as np

import lorae
from lorae.evaluation.classification import classify
from lorae.models.low_rank import numerical_rank
from lorae.runs.run import Run
from studies import common, feature_networks

STUDY = "before-bottleneck"
PAGE = feature_networks.PAGE
# Row of feature_networks -> seed. After fifty epochs there is only one seed of each.
MODELS = {"LoRAE, 50 epochs": 1, "LoRAE+, rank 12": 0, "LoRAE+, rank 12, 50 epochs": 0}
COUNTS = (10, 100, 1000)
# The authors label the first training items, and set none aside for validation.
TRAIN_ITEMS = max(COUNTS)
KINDS = ("before", "within", "after")


def train() -> None:
    """Classify the outputs of the models that have no record yet."""
    feature_networks.record_missing(STUDY, MODELS.items(), accuracies)


def accuracies(run: Run) -> dict[str, Any]:
    """Return the share of the variance before M that M does not read, and the accuracies before, within and after."""
    data, model = lorae.load_data("mnist"), run.load_model()
    matrix = model.bottleneck.matrix()
    assert matrix is not None
    matrix = matrix.detach().double().cpu()
    read = np.linalg.svd(matrix.numpy()).Vh[: numerical_rank(matrix)]
    train, test = data.train.inputs[:TRAIN_ITEMS], data.test.inputs
    before = [np.asarray(model.encoder_outputs(items), np.float64) for items in (train, test)]
    within = [outputs @ read.T @ read for outputs in before]
    after = [np.asarray(model.encode(items)) for items in (train, test)]
    unread = 1 - within[1].var(axis=0).sum() / before[1].var(axis=0).sum()
    found: dict[str, Any] = {"directions_read": len(read), "share_unread": float(unread)}
    for kind, latents in zip(KINDS, (before, within, after), strict=True):
        accuracy = classify(
            latents[0].astype(np.float32),
            data.train.labels[:TRAIN_ITEMS],
            latents[1].astype(np.float32),
            data.test.labels,
            counts=COUNTS,
            protocol="authors_code",
        )
        found[kind] = {str(n): 100 * accuracy[str(n)]["mean"] for n in COUNTS}
    return found


def table() -> str:
    """Return the table in Markdown, one row for each model, with accuracies for 10 / 100 / 1,000 labels."""
    rows = []
    for row, seed in MODELS.items():
        found = common.read_record(STUDY, feature_networks.name_of(row, seed))["result"]
        shown = [" / ".join(f"{found[kind][str(n)]:.1f}" for n in COUNTS) for kind in KINDS]
        rows.append([f"{row} (seed {seed})", str(found["directions_read"]), f"{100 * found['share_unread']:.0f}%"])
        rows[-1] += shown
    header = [
        "MNIST",
        "directions read by M",
        "variance not read by M",
        "before M",
        "before M, read directions only",
        "after M",
    ]
    return common.markdown_table(header, rows)


def draw() -> None:
    """Draw the table of the page."""
    common.write_section(PAGE, STUDY, table())


if __name__ == "__main__":
    common.run_study(__doc__, train, draw)
