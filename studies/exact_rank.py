"""Compare the paper's method with an exact rank on MNIST: the tables of docs/exact_rank.md.

`make study-exact-rank` first trains the candidates of both methods for two epochs on 50,000 training digits and
measures them on the 10,000 others; of each method, the candidate with the smallest sum of both Frechet distances is
chosen. Then, for each seed, it trains the chosen candidates on all training digits, and `lorae+` to the rank that
`lorae` reached, so that errors can be compared at equal ranks. Interrupted runs are continued; records are written to
`results/exact-rank/`. `--seeds 0,1` selects seeds, `--seeds none` stops after the choice.
"""

from typing import Any

import lorae
from studies import common

STUDY = "exact-rank"
PAGE = "docs/exact_rank.md"
HELD_OUT, CHOICE_EPOCHS, EPOCHS, SEEDS = 10_000, 2, 10, (0, 1, 2)

CANDIDATES: dict[str, dict[str, dict[str, Any]]] = {
    "lorae": {f"lorae-{weight:g}": {"method": "lorae", "penalty": weight} for weight in (1e-4, 3e-4, 1e-3, 3e-3)},
    # A constant learning rate, as in the paper: annealing lowers the error and makes the latents harder to sample.
    "lorae+": {f"lorae+-{rank}": {"method": "lorae+", "rank": rank, "schedule": "constant"} for rank in (12, 16, 20)},
}
# Names of the final runs: the chosen candidate of each method, and `lorae+` at the rank of `lorae`.
CHOSEN, EQUAL = tuple(CANDIDATES), "lorae+, rank of lorae"


def measured(name: str, **settings: Any) -> dict[str, Any]:
    """Return the evaluation of a run, which is trained and measured first if it has no record."""
    if not common.has_record(STUDY, name):
        run = common.finished_run(STUDY, name, **settings)
        lorae.evaluate(run, only="reconstruction,rank,fid", draws=1 if "holdout" in settings else 3)
        common.write_evaluation(STUDY, name, run)
    return evaluation(name)


def evaluation(name: str) -> dict[str, Any]:
    """Return the recorded evaluation of a run."""
    found: dict[str, Any] = common.read_record(STUDY, name)["result"]["evaluation"]
    return found


def distance(values: dict[str, Any]) -> float:
    """Return the criterion of the choice, the sum of both Frechet distances to the held-out digits."""
    return sum(values["fid"][sampler]["value"] for sampler in ("gaussian", "mixture"))


def choose() -> dict[str, str]:
    """Return the name of the best candidate of each method; candidates without a record are trained first."""
    found = {}
    for method, candidates in CANDIDATES.items():
        distances = {
            name: distance(measured(name, holdout=HELD_OUT, epochs=CHOICE_EPOCHS, **settings))
            for name, settings in candidates.items()
        }
        found[method] = min(distances, key=lambda name: distances[name])
    return found


def train(seeds: list[str]) -> None:
    """Choose the candidates, then train and measure the final runs of some seeds."""
    chosen = choose()
    for seed in (int(seed) for seed in seeds if seed != "none"):
        found = {
            method: measured(f"{method}, seed {seed}", seed=seed, epochs=EPOCHS, **CANDIDATES[method][name])
            for method, name in chosen.items()
        }
        rank = found["lorae"]["rank"]["rank"]
        measured(f"{EQUAL}, seed {seed}", seed=seed, epochs=EPOCHS, method="lorae+", rank=rank)


def choices_table() -> str:
    """Return the table of the candidates on the held-out digits, the chosen ones in bold."""
    rows = []
    for candidates in CANDIDATES.values():
        found = {name: evaluation(name) for name in candidates}
        best = min(found, key=lambda name: distance(found[name]))
        rows += [_candidate_row(name, values, name == best) for name, values in found.items()]
    return common.markdown_table(["candidate", "rank", "error", "FID: Gaussian", "mixture", "sum"], rows)


def _candidate_row(name: str, values: dict[str, Any], chosen: bool) -> list[str]:
    return [
        f"**{name}**" if chosen else name,
        str(values["rank"]["rank"]),
        f"{values['reconstruction']['mse']:.5f}",
        *(f"{values['fid'][sampler]['value']:.1f}" for sampler in ("gaussian", "mixture")),
        f"{distance(values):.1f}",
    ]


def final_table() -> str:
    """Return the table of the final runs on the test digits, means and standard deviations over the seeds."""
    rows = []
    for model in (*CHOSEN, EQUAL):
        found = [evaluation(f"{model}, seed {seed}") for seed in SEEDS]
        ranks = common.lowest_to_highest(values["rank"]["rank"] for values in found)
        rows.append([model, ranks, *common.error_and_distances(found)])
    return common.markdown_table(["model", "rank", "test error", "FID: Gaussian", "mixture"], rows)


def draw() -> None:
    """Draw both tables of the page."""
    common.write_section(PAGE, "choices", choices_table())
    common.write_section(PAGE, "final", final_table())


if __name__ == "__main__":
    common.run_study(__doc__, train, draw, ("seeds", SEEDS))
