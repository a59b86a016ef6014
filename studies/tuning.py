"""Weights of the methods, chosen on held-out training digits: the candidates, how each samples and classifies.

`make tuning` trains every candidate for two epochs on 50,000 training digits, measures it on the 10,000 others (the
test digits are never looked at) and writes `results/tuning/`; what is there already is kept. The best of each rival
is the row of `src/lorae/methods.py`; those of LoRAE and the VAE are rows of tables 3 and 6.
"""

import statistics
from typing import Any

import records

import lorae

STUDY = "tuning"
PAGE = records.ROOT / "docs" / "zoo.md"
HELD_OUT = 10_000
EPOCHS = 2

# As many steps of the classifier as preset `quick` of the tables takes, and the numbers of labels that they tell apart.
CLASSIFIER = {"labels": ("10", "100", "1000"), "max_steps": 2500}

# name -> settings. The width of the latent is among them: the WAE's authors use 8 coordinates for MNIST, the RAE's 16.
CANDIDATES: dict[str, dict[str, Any]] = {
    "ae": {"method": "ae"},
    "ae-small": {"method": "ae-small"},
    # The weights of the paper's table 7 but for its smallest, which leaves twice the paper's rank.
    "lorae-0.0001": {"method": "lorae", "penalty": 1e-4},
    "lorae": {"method": "lorae"},
    "lorae-0.01": {"method": "lorae", "penalty": 1e-2},
    "lorae-0.1": {"method": "lorae", "penalty": 1e-1},
    # The weight of the divergence: that of the LoRAE authors' code comes to 0.4 of the plain VAE's.
    "vae-0.03": {"method": "vae", "penalty": 0.03},
    "vae-0.1": {"method": "vae", "penalty": 0.1},
    "vae-0.4": {"method": "vae", "penalty": 0.4},
    "vae": {"method": "vae"},
    "vae-2": {"method": "vae", "penalty": 2.0},
    "vae-16": {"method": "vae", "latent_dim": 16},
    # Eight matrices are the IRMAE authors' for MNIST, and 1e-4 is their learning rate.
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

# LoRAE and the VAE are compared with each other in tables 3 and 6: their weights are chosen on three seeds, and on
# how their latents are classified as well.
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
    if records.has_record(STUDY, title):
        found = records.read_record(STUDY, title)["evaluation"]
        if found["rank"]["rank"] == 0 or set(measures) <= set(found):
            return
    run = records.finished_run(STUDY, title, epochs=EPOCHS, holdout=HELD_OUT, seed=seed, **CANDIDATES[name])
    # A model that has collapsed to one image has a rank of zero and no density.
    if run.evaluation()["rank"]["rank"] == 0:
        measures = ["reconstruction", "rank"]
    options = CLASSIFIER if "classification" in measures else {}
    lorae.evaluate(run, only=",".join(measures), draws=1, **options)
    records.write_record(STUDY, title, run, [])


def record_name(name: str, seed: int) -> str:
    """Of a candidate's record."""
    return f"{name}-seed-{seed}" if seed else name


def table(found: list[dict[str, Any]]) -> str:
    """The candidates, in Markdown; of several seeds mean and standard deviation."""
    title = (
        "| candidate | latent | error | rank | FID: Gaussian | mixture | prior | accuracy: 10 labels | 100 | 1,000 |"
    )
    lines = [title, "|---" * title.count(" | ") + "|---|"]
    by_name = {record["name"]: record for record in found}
    for name, candidate in CANDIDATES.items():
        titles = [record_name(name, seed) for seed in range(SEEDS)]
        seeds = [by_name[title] for title in titles if title in by_name]
        if seeds:
            lines.append(f"| {' | '.join(_row(candidate, seeds))} |")
    return "\n".join(lines)


def _row(candidate: dict[str, Any], seeds: list[dict[str, Any]]) -> list[str]:
    settings, values = seeds[0]["settings"], [record["evaluation"] for record in seeds]
    chosen = settings["penalties"] | candidate.get("bottleneck", {})
    chosen |= {"learning rate": candidate["lr"]} if "lr" in candidate else {}
    ranks = sorted({evaluation["rank"]["rank"] for evaluation in values})
    return [
        ", ".join([f"`{settings['method']}`", *(f"{name} {value:g}" for name, value in chosen.items())]),
        str(settings["latent_dim"]),
        f"{statistics.mean(evaluation['reconstruction']['mse'] for evaluation in values):.4f}",
        str(ranks[0]) if len(ranks) == 1 else f"{ranks[0]} to {ranks[-1]}",
        *(_distance(values, sampler) for sampler in ("gaussian", "mixture", "prior")),
        *(_accuracy(values, count) for count in CLASSIFIER["labels"]),
    ]


def _distance(values: list[dict[str, Any]], sampler: str) -> str:
    found = [evaluation["fid"][sampler]["value"] for evaluation in values if sampler in evaluation.get("fid", {})]
    if found:
        return records.spread(found, ".1f")
    return "collapsed" if values[0]["rank"]["rank"] == 0 else ""


def _accuracy(values: list[dict[str, Any]], count: str) -> str:
    found = [
        100 * evaluation["classification"][count]["mean"] for evaluation in values if "classification" in evaluation
    ]
    return records.spread(found, ".1f") if found else ""


def rows() -> list[dict[str, Any]]:
    """The committed records."""
    return records.read_records(STUDY, [record_name(name, seed) for name in CANDIDATES for seed in range(SEEDS)])


def draw() -> None:
    """The table in the page of the zoo, from the records."""
    records.put_between(PAGE, "tuning", table(rows()))


if __name__ == "__main__":
    records.train_and_draw(__doc__, train, draw, ("candidates", list(CANDIDATES)))
