"""Choose the weights of the methods on held-out training digits: the second table of docs/zoo.md.

`make study-tuning` trains every candidate for two epochs on 50,000 training digits, measures it on the 10,000 others
(the test digits are not used) and writes `results/tuning/`; a candidate that has a record is not trained again. The
best candidate of each rival is the default of its method; the candidates of LoRAE and the VAE with the best samples are
rows of tables 3 and 6 of the paper. `--candidates A,B` selects some candidates.
"""

import statistics
from typing import Any

import lorae
from studies import common

STUDY = "tuning"
PAGE = "docs/zoo.md"
HELD_OUT = 10_000
EPOCHS = 2

# The classifier of the tables' preset `quick`, and the numbers of labels by which candidates differ.
CLASSIFIER: dict[str, Any] = {"labels": ("10", "100", "1000"), "max_steps": 2500}

# Name -> settings. The width of the latent is one of them: for MNIST the WAE's authors use 8, the RAE's 16.
CANDIDATES: dict[str, dict[str, Any]] = {
    "ae": {"method": "ae"},
    "ae-small": {"method": "ae-small"},
    # The weights of the paper's table 7 except its smallest, which leaves twice the paper's rank.
    "lorae-0.0001": {"method": "lorae", "penalty": 1e-4},
    "lorae": {"method": "lorae"},
    "lorae-0.01": {"method": "lorae", "penalty": 1e-2},
    "lorae-0.1": {"method": "lorae", "penalty": 1e-1},
    # Weight of the divergence. The LoRAE authors' code has 0.4 in these units.
    "vae-0.03": {"method": "vae", "penalty": 0.03},
    "vae-0.1": {"method": "vae", "penalty": 0.1},
    "vae-0.4": {"method": "vae", "penalty": 0.4},
    "vae": {"method": "vae"},
    "vae-2": {"method": "vae", "penalty": 2.0},
    "vae-16": {"method": "vae", "latent_dim": 16},
    # The IRMAE authors use eight matrices for MNIST and the learning rate 1e-4.
    "irmae": {"method": "irmae"},
    "irmae-lr-0.0001": {"method": "irmae", "lr": 1e-4},
    "irmae-4": {"method": "irmae", "bottleneck": {"layers": 4}},
    **{
        f"wae-{dim}-{weight:g}": {"method": "wae", "latent_dim": dim, "penalty": weight}
        for dim, weight in ((128, 100), (8, 10), (16, 10), (16, 100), (16, 1000))
    },
    **{
        f"rae-l2-{dim}-{latent:g}-{decoder:g}": {
            "method": "rae-l2",
            "latent_dim": dim,
            "penalties": {"latent_l2": latent, "decoder_l2": decoder},
        }
        for dim, latent, decoder in ((128, 1e-3, 1e-6), (16, 1e-4, 1e-7))
    },
    **{
        f"rae-gp-{dim}-{latent:g}-{gradient:g}": {
            "method": "rae-gp",
            "latent_dim": dim,
            "penalties": {"latent_l2": latent, "decoder_gradient": gradient},
        }
        for dim, latent, gradient in ((16, 1e-4, 1e-6), (16, 1e-4, 1e-7))
    },
    **{
        f"rae-sn-{dim}-{latent:g}": {"method": "rae-sn", "latent_dim": dim, "penalty": latent}
        for dim, latent in ((16, 1e-7),)
    },
}

# Tables 3 and 6 compare LoRAE and the VAE with each other: their weights are tried with three seeds, and a classifier
# is trained on their latents as well.
TUNED = {
    name: settings
    for name, settings in CANDIDATES.items()
    if settings["method"] in ("lorae", "vae") and name != "vae-16"
}
SEEDS = 3


def train(names: list[str]) -> None:
    """Train and measure the candidates that have no record yet, seed by seed."""
    for seed in range(SEEDS):
        for name in names:
            if seed == 0 or name in TUNED:
                _train_one(name, seed)


def _train_one(name: str, seed: int) -> None:
    title = record_name(name, seed)
    measures = ["reconstruction", "rank", "fid", *(["classification"] if name in TUNED else [])]
    if common.has_record(STUDY, title):
        found = common.read_record(STUDY, title)["result"]["evaluation"]
        if found["rank"]["rank"] == 0 or set(measures) <= set(found):
            return
    run = common.finished_run(STUDY, title, epochs=EPOCHS, holdout=HELD_OUT, seed=seed, **CANDIDATES[name])
    # A model that has collapsed to one image has rank zero, and no density can be fitted to its latents.
    if run.evaluation()["rank"]["rank"] == 0:
        measures = ["reconstruction", "rank"]
    options = CLASSIFIER if "classification" in measures else {}
    lorae.evaluate(run, only=",".join(measures), draws=1, **options)
    common.write_evaluation(STUDY, title, run)


def record_name(name: str, seed: int) -> str:
    """Return the name of a candidate's record."""
    return f"{name}-seed-{seed}" if seed else name


def table(records: list[common.Record]) -> str:
    """Return the table in Markdown, one row for each candidate; of several seeds mean and standard deviation."""
    header = ["candidate", "latent", "error", "rank", "FID: Gaussian", "mixture", "prior"]
    header += ["accuracy: 10 labels", "100", "1,000"]
    by_name = {record["name"]: record for record in records}
    rows = []
    for name, candidate in CANDIDATES.items():
        titles = [record_name(name, seed) for seed in range(SEEDS)]
        seeds = [by_name[title] for title in titles if title in by_name]
        if seeds:
            rows.append(_row(candidate, seeds))
    return common.markdown_table(header, rows)


def _row(candidate: dict[str, Any], seeds: list[common.Record]) -> list[str]:
    settings, evaluations = seeds[0]["settings"], [record["result"]["evaluation"] for record in seeds]
    chosen = settings["penalties"] | candidate.get("bottleneck", {})
    chosen |= {"learning rate": candidate["lr"]} if "lr" in candidate else {}
    return [
        ", ".join([f"`{settings['method']}`", *(f"{name} {value:g}" for name, value in chosen.items())]),
        str(settings["latent_dim"]),
        f"{statistics.mean(evaluation['reconstruction']['mse'] for evaluation in evaluations):.4f}",
        common.lowest_to_highest(evaluation["rank"]["rank"] for evaluation in evaluations),
        *(_distance(evaluations, sampler) for sampler in ("gaussian", "mixture", "prior")),
        *(_accuracy(evaluations, count) for count in CLASSIFIER["labels"]),
    ]


def _distance(evaluations: list[dict[str, Any]], sampler: str) -> str:
    found = [each["fid"][sampler]["value"] for each in evaluations if sampler in each.get("fid", {})]
    if found:
        return common.mean_and_deviation(found, ".1f")
    return "collapsed" if evaluations[0]["rank"]["rank"] == 0 else ""


def _accuracy(evaluations: list[dict[str, Any]], count: str) -> str:
    found = [100 * each["classification"][count]["mean"] for each in evaluations if "classification" in each]
    return common.mean_and_deviation(found, ".1f") if found else ""


def draw() -> None:
    """Draw the table of the page."""
    names = [record_name(name, seed) for name in CANDIDATES for seed in range(SEEDS)]
    common.write_section(PAGE, "tuning", table(common.read_records(STUDY, names)))


if __name__ == "__main__":
    common.run_study(__doc__, train, draw, ("candidates", list(CANDIDATES)))
