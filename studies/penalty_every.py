"""Compare a nuclear norm linearized in every step with one linearized in every tenth: a table of docs/numerics.md.

`make study-penalty-every` trains `lorae` on MNIST for four epochs, as the preset `quick` does, with `penalty_every` 1
and 10 (20 minutes on one core). Records are written to `results/penalty-every/`.
"""

import lorae
from studies import common

STUDY = "penalty-every"
PAGE = "docs/numerics.md"
EPOCHS, EVERY, SEEDS = 4, (1, 10), (0, 1, 2)
TOLERANCES = ("0.001", "1e-05")


def name_of(every: int, seed: int) -> str:
    """Return the name of a run."""
    return f"every-{every}-seed-{seed}"


def train() -> None:
    """Train and measure the runs that have no record yet."""
    for seed in SEEDS:
        for every in EVERY:
            name = name_of(every, seed)
            if not common.has_record(STUDY, name):
                run = common.finished_run(STUDY, name, method="lorae", epochs=EPOCHS, penalty_every=every, seed=seed)
                lorae.evaluate(run, only="reconstruction,rank,fid", draws=1)
                common.write_evaluation(STUDY, name, run)


def table() -> str:
    """Return the table in Markdown, means and standard deviations over the seeds."""
    rows = []
    for every in EVERY:
        found = [common.read_record(STUDY, name_of(every, seed))["result"]["evaluation"] for seed in SEEDS]
        ranks = [", ".join(str(values["rank"]["ranks"][tolerance]) for values in found) for tolerance in TOLERANCES]
        steps = "every step" if every == 1 else f"every {every}th step"
        rows.append([steps, *ranks, *common.error_and_distances(found)])
    heads = [f"rank at {float(tolerance):g}" for tolerance in TOLERANCES]
    return common.markdown_table(["linearized in", *heads, "test error", "FID: Gaussian", "mixture"], rows)


def draw() -> None:
    """Draw the table of the page."""
    common.write_section(PAGE, STUDY, table())


if __name__ == "__main__":
    common.run_study(__doc__, train, draw)
