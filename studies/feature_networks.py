"""Do the orders of the paper's table 3 hang on the network behind the distance? The table of docs/results.md.

The paper takes the features of Inception, trained on ImageNet, and the preset `quick` those of a classifier of digits.
`make other-features` decodes the same 2,000 samples of models that are trained as `quick` trains them and compares them
with 2,000 test digits in the features of `digits` and of `lite0`, a network trained on ImageNet that is part of a
package (an hour and a half on one core, half of it training), and of five models of the paper's fifty epochs (an hour
more each). Records go to `results/other-features/`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import records

import lorae
from lorae.features import build_extractor
from lorae.metrics.frechet import Moments, frechet_distance
from lorae.paper.presets import PRESETS
from lorae.paper.published import tables
from lorae.runs import Run

STUDY = "other-features"
PAGE = records.ROOT / "docs" / "results.md"
# As many rows as make the covariance of lite0's 1,280 features regular, and few enough for a minute a collection.
COUNT = 2000
FEATURES = ("digits", "lite0")
SAMPLERS = ("gaussian", "mixture")


# The models are those of the preset's table 3.
SYSTEMS = {system.name: system for system in tables()["table3"].rows_on("mnist")}


@dataclass(frozen=True)
class Row:
    """A row of table 3, how long its model is trained, and with which seeds."""

    system: str
    epochs: int = PRESETS["quick"].training["mnist"]["epochs"]
    seeds: tuple[int, ...] = (0, 1, 2)


ROWS = {
    **{
        name: Row(name)
        for name in ("AE", "VAE", "VAE, weight 0.1", "IRMAE", "IRMAE, 4 matrices", "LoRAE", "LoRAE+, rank 12")
    },
    # Of those that were trained so long for tables 3 and 6.
    "IRMAE, 50 epochs": Row("IRMAE", epochs=50, seeds=(0, 1)),
    "VAE, 50 epochs": Row("VAE", epochs=50, seeds=(1,)),
    "LoRAE, 50 epochs": Row("LoRAE", epochs=50, seeds=(1,)),
    "LoRAE+, rank 12, 50 epochs": Row("LoRAE+, rank 12", epochs=50, seeds=(0,)),
}


def name_of(row: str, seed: int) -> str:
    """What a run is called."""
    return f"{row}, seed {seed}"


def run_of(name: str, seed: int) -> Run:
    """The run of a row and a seed, trained now, continued, or as it is."""
    row = ROWS[name]
    settings = SYSTEMS[row.system].settings_on("mnist") | {"epochs": row.epochs, "seed": seed}
    return records.finished_run(STUDY, name_of(name, seed), **settings)


def record_missing(study: str, rows: Iterable[tuple[str, int]], measure: Callable[[Run], dict[str, Any]]) -> None:
    """Measure the runs of rows and seeds that have no record in `study` yet, each trained first where it must be."""
    for row, seed in rows:
        name = name_of(row, seed)
        if not records.has_record(study, name):
            run = run_of(row, seed)
            records.write_result(study, name, run, measure(run))


def train() -> None:
    """Train, sample and compare what has no record yet."""
    rows = ((name, seed) for name, row in ROWS.items() for seed in row.seeds)
    record_missing(STUDY, rows, lambda run: {"n": COUNT, "fid": distances(run)})


def distances(run: Run) -> dict[str, dict[str, float]]:
    """Network -> density -> the distance of the samples to as many test digits."""
    found: dict[str, dict[str, float]] = {features: {} for features in FEATURES}
    for sampler in SAMPLERS:
        images = lorae.sample(run, COUNT, sampler=sampler)
        for features in FEATURES:
            moments = Moments.of(extractor(features)(images, "cpu"))
            found[features][sampler] = frechet_distance(moments, reference(features))
    return found


extractor = cache(build_extractor)


@cache
def reference(features: str) -> Moments:
    """What samples are compared with: the first test digits."""
    return Moments.of(extractor(features)(lorae.load_data("mnist").test.inputs[:COUNT], "cpu"))


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


if __name__ == "__main__":
    records.train_and_draw(__doc__, train, lambda: records.put_between(PAGE, STUDY, table()))
