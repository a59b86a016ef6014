"""Weights of the rivals, chosen on held-out training digits: the candidates, and how each samples.

`make tuning` trains every candidate for two epochs on 50,000 training digits, measures it on the 10,000 others (the
test digits are never looked at) and writes `results/tuning/`; what is there already is kept. The best of each method
is the row of `src/lorae/methods.py`.
"""

from typing import Any

import records

import lorae

STUDY = "tuning"
PAGE = records.ROOT / "docs" / "zoo.md"
HELD_OUT = 10_000
EPOCHS = 2

# name -> settings. The width of the latent is among them: the WAE's authors use 8 coordinates for MNIST, the RAE's 16.
CANDIDATES: dict[str, dict[str, Any]] = {
    "ae": {"method": "ae"},
    "ae-small": {"method": "ae-small"},
    "lorae": {"method": "lorae"},
    "vae": {"method": "vae"},
    "vae-16": {"method": "vae", "latent_dim": 16},
    # The weight of the divergence: that of the LoRAE authors' code comes to 0.4 of the plain VAE's.
    "vae-0.4": {"method": "vae", "penalty": 0.4},
    "vae-2": {"method": "vae", "penalty": 2.0},
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


def train(names: list[str]) -> None:
    """Train and measure the candidates that have no record yet."""
    for name in names:
        if records.has_record(STUDY, name):
            continue
        run = records.finished_run(STUDY, name, epochs=EPOCHS, holdout=HELD_OUT, **CANDIDATES[name])
        # A model that has collapsed to one image has a rank of zero and no density.
        collapsed = run.evaluation()["rank"]["rank"] == 0
        lorae.evaluate(run, only="reconstruction,rank" if collapsed else "reconstruction,rank,fid", draws=1)
        records.write_record(STUDY, name, run, [])


def table(found: list[dict[str, Any]]) -> str:
    """The candidates, in Markdown."""
    lines = ["| candidate | latent | error | rank | FID: Gaussian | mixture | prior |", "|---|---|---|---|---|---|---|"]
    for record in found:
        values, settings = record["evaluation"], record["settings"]
        own = CANDIDATES[record["name"]]
        chosen = (
            settings["penalties"] | own.get("bottleneck", {}) | ({"learning rate": own["lr"]} if "lr" in own else {})
        )
        cells = [
            ", ".join([f"`{settings['method']}`", *(f"{name} {value:g}" for name, value in chosen.items())]),
            str(settings["latent_dim"]),
            f"{values['reconstruction']['mse']:.4f}",
            str(values["rank"]["rank"]),
            *(_distance(values, sampler) for sampler in ("gaussian", "mixture", "prior")),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _distance(values: dict[str, Any], sampler: str) -> str:
    found = values.get("fid", {}).get(sampler)
    if found is not None:
        return f"{found['value']:.1f}"
    return "collapsed" if values["rank"]["rank"] == 0 else ""


def rows() -> list[dict[str, Any]]:
    """The committed records."""
    return records.read_records(STUDY, list(CANDIDATES))


def draw() -> None:
    """The table in the page of the zoo, from the records."""
    records.put_between(PAGE, "tuning", table(rows()))


if __name__ == "__main__":
    records.train_and_draw(__doc__, train, draw, ("candidates", list(CANDIDATES)))
