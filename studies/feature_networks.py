"""Measure the models of the paper's table 3 in the features of two networks: a table of docs/results.md.

The paper takes the features of Inception, trained on ImageNet; the preset `quick` takes those of a classifier of
digits. `make study-feature-networks` trains the models of table 3 as `quick` does, and five with the paper's fifty
epochs, and compares 2,000 samples of each with 2,000 test digits in the features of `digits` and of `lite0`, a network
trained on ImageNet. It takes an hour and a half on one core, half of it training, and another hour for each model of
fifty epochs. Records are written to `results/feature-networks/`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import lorae
from lorae.features import build_extractor
from lorae.metrics.frechet import Moments, frechet_distance
from lorae.reproduction.tables.presets import PRESETS
from lorae.reproduction.tables.published import tables
from lorae.runs.run import Run
from studies import common

STUDY = "feature-networks"
PAGE = "docs/results.md"
# More than the 1,280 features of lite0, so that its covariance is regular, and few enough for a minute a model.
COUNT = 2000
FEATURES = ("digits", "lite0")
SAMPLERS = ("gaussian", "mixture")


# The models of table 3.
SYSTEMS = {system.name: system for system in tables()["table3"].rows_on("mnist")}


@dataclass(frozen=True)
class Row:
    """A row of table 3, the number of epochs that its model is trained for, and the seeds."""

    system: str
    epochs: int = PRESETS["quick"].training["mnist"]["epochs"]
    seeds: tuple[int, ...] = (0, 1, 2)


ROWS = {
    **{
        name: Row(name)
        for name in ("AE", "VAE", "VAE, weight 0.1", "IRMAE", "IRMAE, 4 matrices", "LoRAE", "LoRAE+, rank 12")
    },
    # The seeds are among those of `make study-paper-full`.
    "IRMAE, 50 epochs": Row("IRMAE", epochs=50, seeds=(0, 1)),
    "VAE, 50 epochs": Row("VAE", epochs=50, seeds=(1,)),
    "LoRAE, 50 epochs": Row("LoRAE", epochs=50, seeds=(1,)),
    "LoRAE+, rank 12, 50 epochs": Row("LoRAE+, rank 12", epochs=50, seeds=(0,)),
}


def name_of(row: str, seed: int) -> str:
    """Return the name of a run."""
    return f"{row}, seed {seed}"


def run_of(name: str, seed: int) -> Run:
    """Return the finished run of a row and a seed, which is trained or continued first if necessary."""
    row = ROWS[name]
    settings = SYSTEMS[row.system].settings_on("mnist") | {"epochs": row.epochs, "seed": seed}
    return common.finished_run(STUDY, name_of(name, seed), **settings)


def record_missing(study: str, rows: Iterable[tuple[str, int]], measure: Callable[[Run], dict[str, Any]]) -> None:
    """Measure the runs of rows and seeds that have no record in `study` yet; runs are trained first if necessary."""
    for row, seed in rows:
        name = name_of(row, seed)
        if not common.has_record(study, name):
            run = run_of(row, seed)
            common.write_result(study, name, run, measure(run))


def train() -> None:
    """Train, sample and compare the models that have no record yet."""
    rows = ((name, seed) for name, row in ROWS.items() for seed in row.seeds)
    record_missing(STUDY, rows, lambda run: {"n": COUNT, "fid": distances(run)})


def distances(run: Run) -> dict[str, dict[str, float]]:
    """Return network -> density -> Frechet distance of the samples to as many test digits."""
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
    """Return the moments that samples are compared with, those of the first test digits."""
    return Moments.of(extractor(features)(lorae.load_data("mnist").test.inputs[:COUNT], "cpu"))


def table() -> str:
    """Return the table in Markdown, means and standard deviations over the seeds."""
    rows = []
    for name, row in ROWS.items():
        found = [common.read_record(STUDY, name_of(name, seed))["result"]["fid"] for seed in row.seeds]
        cells = [
            common.mean_and_deviation([fid[features][sampler] for fid in found], ".1f")
            for features in FEATURES
            for sampler in SAMPLERS
        ]
        seeds = "" if len(row.seeds) > 1 else f" (seed {row.seeds[0]})"
        rows.append([f"{name}{seeds}", *cells])
    heads = [f"{features}: {density}" for features in FEATURES for density in ("MVG", "GMM")]
    return common.markdown_table(["MNIST", *heads], rows)


def draw() -> None:
    """Draw the table of the page."""
    common.write_section(PAGE, STUDY, table())


if __name__ == "__main__":
    common.run_study(__doc__, train, draw)
