"""Does a slope of the nuclear norm that is held for ten steps train the same model? The table of docs/numerics.md.

`make held-slope` trains `lorae` on MNIST for four epochs, as the preset `quick` does, with the penalty looked at in
every step and in every tenth (40 minutes on one core). Records go to `results/held-slope/`.
"""

from typing import Any

import records

import lorae

STUDY = "held-slope"
PAGE = records.ROOT / "docs" / "numerics.md"
EPOCHS, EVERY = 4, (1, 10)
# Width of the latent -> seeds: at 512 a look at every step takes longer than all else.
SEEDS = {128: (0, 1, 2), 512: (0,)}


def name_of(latent_dim: int, every: int, seed: int) -> str:
    """What a run is called."""
    return f"{latent_dim}-every-{every}-seed-{seed}"


def train() -> None:
    """Train and measure what has no record yet."""
    for latent_dim, seeds in SEEDS.items():
        for seed in seeds:
            for every in EVERY:
                name = name_of(latent_dim, every, seed)
                if not records.has_record(STUDY, name):
                    settings: dict[str, Any] = {"latent_dim": latent_dim, "penalty_every": every, "seed": seed}
                    run = records.finished_run(STUDY, name, method="lorae", epochs=EPOCHS, **settings)
                    lorae.evaluate(run, only="reconstruction,rank,fid", draws=1)
                    records.write_record(STUDY, name, run, [])


def table() -> str:
    """Means over the seeds, with their deviation where there are several, in Markdown."""
    lines = ["| latent | looks | rank | test error | FID: Gaussian | mixture |", "|---|---|---|---|---|---|"]
    for latent_dim, seeds in SEEDS.items():
        for every in EVERY:
            found = [records.read_record(STUDY, name_of(latent_dim, every, seed))["evaluation"] for seed in seeds]
            cells = [
                str(latent_dim),
                "every step" if every == 1 else f"every {every}th step",
                ", ".join(str(values["rank"]["rank"]) for values in found),
                *records.error_and_distances(found),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def draw() -> None:
    """The table in the page."""
    records.put_between(PAGE, STUDY, table())


if __name__ == "__main__":
    records.train_and_draw(__doc__, train, draw)
