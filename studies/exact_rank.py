"""The paper's method against an exact rank on MNIST: chosen on held-out training digits, compared on the test digits.

`make exact-rank` first trains the candidates of both methods for two epochs on 50,000 training digits and measures
them on the 10,000 others; the candidate with the smallest sum of both distances is chosen. Then it trains, with each
seed, the chosen ones on all training digits, and `lorae+` to the rank that `lorae` came out with: equal ranks compare
errors. Everything is continued where it was; records go to `results/exact-rank/`, the tables to `docs/exact_rank.md`.
"""

from typing import Any

import records

import lorae

STUDY = "exact-rank"
PAGE = records.ROOT / "docs" / "exact_rank.md"
HELD_OUT, CHOICE_EPOCHS, EPOCHS, SEEDS = 10_000, 2, 10, (0, 1, 2)

CANDIDATES: dict[str, dict[str, dict[str, Any]]] = {
    "lorae": {f"lorae-{weight:g}": {"method": "lorae", "penalty": weight} for weight in (1e-4, 3e-4, 1e-3, 3e-3)},
    # At a constant rate, as the paper's: annealing lowers the error and makes latents harder to sample.
    "lorae+": {f"lorae+-{rank}": {"method": "lorae+", "rank": rank, "schedule": "constant"} for rank in (12, 16, 20)},
}
# What the final runs are called: the two that were chosen, and the second at the first's rank.
CHOSEN, EQUAL = tuple(CANDIDATES), "lorae+, rank of lorae"


def measured(name: str, **settings: Any) -> dict[str, Any]:
    """The record of a run, trained and measured where it is missing."""
    if not records.has_record(STUDY, name):
        run = records.finished_run(STUDY, name, **settings)
        lorae.evaluate(run, only="reconstruction,rank,fid", draws=1 if "holdout" in settings else 3)
        records.write_record(STUDY, name, run, [] if "holdout" in settings else ["samples-gaussian"])
    return records.read_record(STUDY, name)


def distance(record: dict[str, Any]) -> float:
    """What candidates are chosen by: the sum of both Frechet distances to the held-out digits."""
    return sum(record["evaluation"]["fid"][sampler]["value"] for sampler in ("gaussian", "mixture"))


def choose() -> dict[str, str]:
    """Method -> the name of its best candidate, trained and measured where missing."""
    return {
        method: min(
            candidates,
            key=lambda name: distance(
                measured(name, holdout=HELD_OUT, epochs=CHOICE_EPOCHS, **CANDIDATES[method][name])
            ),
        )
        for method, candidates in CANDIDATES.items()
    }


def train(seeds: list[str]) -> None:
    """The choice, then the final runs of some seeds; of `none`, the choice only."""
    chosen = choose()
    for seed in (int(seed) for seed in seeds if seed != "none"):
        found = {
            method: measured(f"{method}, seed {seed}", seed=seed, epochs=EPOCHS, **CANDIDATES[method][name])
            for method, name in chosen.items()
        }
        rank = found["lorae"]["evaluation"]["rank"]["rank"]
        measured(f"{EQUAL}, seed {seed}", seed=seed, epochs=EPOCHS, method="lorae+", rank=rank)


def choices_table() -> str:
    """The candidates on the held-out digits, in Markdown."""
    lines = ["| candidate | rank | error | FID: Gaussian | mixture | sum |", "|---|---|---|---|---|---|"]
    for candidates in CANDIDATES.values():
        found = {name: records.read_record(STUDY, name) for name in candidates}
        best = min(found, key=lambda name: distance(found[name]))
        for name, record in found.items():
            values = record["evaluation"]
            cells = [
                f"**{name}**" if name == best else name,
                str(values["rank"]["rank"]),
                f"{values['reconstruction']['mse']:.5f}",
                *(f"{values['fid'][sampler]['value']:.1f}" for sampler in ("gaussian", "mixture")),
                f"{distance(record):.1f}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def final_table() -> str:
    """Mean and standard deviation over the seeds on the test digits, in Markdown."""
    lines = ["| model | rank | test error | FID: Gaussian | mixture |", "|---|---|---|---|---|"]
    for model in (*CHOSEN, EQUAL):
        found = [records.read_record(STUDY, f"{model}, seed {seed}")["evaluation"] for seed in SEEDS]
        ranks = sorted({values["rank"]["rank"] for values in found})
        cells = [
            model,
            " to ".join(map(str, dict.fromkeys((ranks[0], ranks[-1])))),
            *records.error_and_distances(found),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def draw() -> None:
    """The tables in the page, from the records."""
    records.put_between(PAGE, "choices", choices_table())
    records.put_between(PAGE, "final", final_table())


if __name__ == "__main__":
    records.train_and_draw(__doc__, train, draw, ("seeds", SEEDS))
