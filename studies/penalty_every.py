"""Does a slope of the nuclear norm that is held for ten steps train the same model? The table of docs/numerics.md.

`make held-slope` trains `lorae` on MNIST for four epochs, as the preset `quick` does, with the penalty looked at in
every step and in every tenth (20 minutes on one core). Records go to `results/held-slope/`.
"""

import records

import lorae

STUDY = "held-slope"
PAGE = records.ROOT / "docs" / "numerics.md"
EPOCHS, EVERY, SEEDS = 4, (1, 10), (0, 1, 2)
TOLERANCES = ("0.001", "1e-05")


def name_of(every: int, seed: int) -> str:
    """What a run is called."""
    return f"every-{every}-seed-{seed}"


def train() -> None:
    """Train and measure what has no record yet."""
    for seed in SEEDS:
        for every in EVERY:
            name = name_of(every, seed)
            if not records.has_record(STUDY, name):
                run = records.finished_run(STUDY, name, method="lorae", epochs=EPOCHS, penalty_every=every, seed=seed)
                lorae.evaluate(run, only="reconstruction,rank,fid", draws=1)
                records.write_record(STUDY, name, run, [])


def table() -> str:
    """Means over the seeds with their deviation, in Markdown."""
    heads = " | ".join(f"rank at {float(tolerance):g}" for tolerance in TOLERANCES)
    lines = [f"| looks | {heads} | test error | FID: Gaussian | mixture |", "|---|---|---|---|---|---|"]
    for every in EVERY:
        found = [records.read_record(STUDY, name_of(every, seed))["evaluation"] for seed in SEEDS]
        ranks = [", ".join(str(values["rank"]["ranks"][tolerance]) for values in found) for tolerance in TOLERANCES]
        looks = "every step" if every == 1 else f"every {every}th step"
        lines.append(f"| {' | '.join([looks, *ranks, *records.error_and_distances(found)])} |")
    return "\n".join(lines)


if __name__ == "__main__":
    records.train_and_draw(__doc__, train, lambda: records.put_between(PAGE, STUDY, table()))
