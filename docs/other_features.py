"""Do the orders of the paper's table 3 hang on the network behind the distance? The table of docs/results.md.

The paper takes the features of Inception, trained on ImageNet, and the preset `quick` those of a classifier of digits.
`make other-features` decodes the same 2,000 samples of models that are trained as `quick` trains them and compares them
with 2,000 test digits in the features of `digits` and of `lite0`, a network trained on ImageNet that is part of a
package (an hour and a half on one core, half of it training), and of three models of the paper's fifty epochs (an hour
more each). Records go to `results/other-features/`.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import records

import lorae
from lorae.features import build_extractor
from lorae.metrics.frechet import Moments, frechet_distance
from lorae.runs import Run

STUDY = "other-features"
PAGE = records.ROOT / "docs" / "results.md"
# As many rows as make the covariance of lite0's 1,280 features regular, and few enough for a minute a collection.
COUNT = 2000
FEATURES = ("digits", "lite0")
SAMPLERS = ("gaussian", "mixture")


@dataclass(frozen=True)
class Row:
    """A model, how long it is trained, and with which seeds."""

    settings: dict[str, Any]
    epochs: int = 4
    seeds: tuple[int, ...] = (0, 1, 2)


ROWS = {
    "AE": Row({"method": "ae"}),
    "VAE": Row({"method": "vae"}),
    "VAE, weight 0.1": Row({"method": "vae", "penalty": 0.1}),
    "IRMAE": Row({"method": "irmae"}),
    "IRMAE, 4 matrices": Row({"method": "irmae", "bottleneck": {"layers": 4}}),
    "LoRAE": Row({"method": "lorae"}),
    "LoRAE+, rank 12": Row({"method": "lorae+", "rank": 12, "schedule": "constant"}),
    # One of each, of those that were trained so long for tables 3 and 6.
    "IRMAE, 50 epochs": Row({"method": "irmae"}, epochs=50, seeds=(0,)),
    "VAE, 50 epochs": Row({"method": "vae"}, epochs=50, seeds=(1,)),
    "LoRAE, 50 epochs": Row({"method": "lorae"}, epochs=50, seeds=(1,)),
}


def name_of(row: str, seed: int) -> str:
    """What a run is called."""
    return f"{row}, seed {seed}"


def train() -> None:
    """Train, sample and compare what has no record yet."""
    for name, row in ROWS.items():
        for seed in row.seeds:
            if not records.has_record(STUDY, name_of(name, seed)):
                run = records.finished_run(STUDY, name_of(name, seed), epochs=row.epochs, seed=seed, **row.settings)
                records.write_result(STUDY, name_of(name, seed), run, {"n": COUNT, "fid": distances(run)})


def distances(run: Run) -> dict[str, dict[str, float]]:
    """Network -> density -> the distance of the samples to as many test digits."""
    found: dict[str, dict[str, float]] = {features: {} for features in FEATURES}
    for sampler in SAMPLERS:
        images = lorae.sample(run, COUNT, sampler=sampler)
        for features in FEATURES:
            moments = Moments.of(build_extractor(features)(images, "cpu"))
            found[features][sampler] = frechet_distance(moments, reference(features))
    return found


@cache
def reference(features: str) -> Moments:
    """What samples are compared with: the first test digits."""
    return Moments.of(build_extractor(features)(lorae.load_data("mnist").test.inputs[:COUNT], "cpu"))


def table() -> str:
    """Means over the seeds with their deviation, in Markdown."""
    heads = [f"{features}: {density}" for features in FEATURES for density in ("MVG", "GMM")]
    lines = [f"| MNIST | {' | '.join(heads)} |", "|---" * (1 + len(heads)) + "|"]
    for name, row in ROWS.items():
        found = [records.read_record(STUDY, name_of(name, seed))["fid"] for seed in row.seeds]
        cells = [
            records.spread([fid[features][sampler] for fid in found], ".1f")
            for features in FEATURES
            for sampler in SAMPLERS
        ]
        seeds = "" if len(row.seeds) > 1 else f" (seed {row.seeds[0]})"
        lines.append(f"| {name}{seeds} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw() -> None:
    """The table in the page."""
    records.put_between(PAGE, STUDY, table())


if __name__ == "__main__":
    records.train_and_draw(__doc__, train, draw)
