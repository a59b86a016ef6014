"""What do the authors' classifiers read that M throws away? The table of docs/results.md.

Their code classifies the encoder's outputs before M. Where M has an exact rank, nothing trains the directions that it
does not read. `make before-matrix` classifies, by the authors' protocol, the outputs of models of `make other-features`
as they are, projected onto the directions that M reads, and after M (a minute a model, after their training). Records
go to `results/before-matrix/`.
"""

from typing import Any

import numpy as np
import other_features
import records

import lorae
from lorae.classification import classify
from lorae.runs import Run
from lorae.truncation import numerical_rank

STUDY = "before-matrix"
PAGE = other_features.PAGE
# Row of other_features -> the seed that is looked at: of fifty epochs there is one.
MODELS = {"LoRAE, 50 epochs": 1, "LoRAE+, rank 12": 0, "LoRAE+, rank 12, 50 epochs": 0}
COUNTS = (10, 100, 1000)
# The validation protocol's set-aside items play no part: the authors label the first ones.
TRAIN_ITEMS = max(COUNTS)


def measure() -> None:
    """Classify what has no record yet."""
    other_features.record_missing(STUDY, MODELS.items(), read_and_unread)


def read_and_unread(run: Run) -> dict[str, Any]:
    """The share of the variance before M that it does not read, and accuracies before, within and after."""
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
    kinds = {"before": before, "within": within, "after": after}
    found: dict[str, Any] = {"directions_read": len(read), "share_unread": float(unread)}
    for kind, latents in kinds.items():
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
    """A row a model: what M reads, and accuracies with 10 / 100 / 1,000 labels."""
    lines = [
        "| MNIST | directions that M reads | variance that it does not | before M | of it, what M reads | after M |",
        "|---|---|---|---|---|---|",
    ]
    for row, seed in MODELS.items():
        found = records.read_record(STUDY, other_features.name_of(row, seed))
        cells = [f"{row} (seed {seed})", str(found["directions_read"]), f"{100 * found['share_unread']:.0f}%"]
        cells += [" / ".join(f"{found[kind][str(n)]:.1f}" for n in COUNTS) for kind in ("before", "within", "after")]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    records.train_and_draw(__doc__, measure, lambda: records.put_between(PAGE, STUDY, table()))
