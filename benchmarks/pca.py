"""Compare LoRAE with PCA on scikit-learn's digits: error on held-out digits at every rank from 4 to 24, time of a fit.

Both are fitted to 1,347 digits and measured on the other 450, in standardized columns and in the pixels' own units; PCA
is fitted in both. Then LoRAE with `rank="auto"` is fitted to 4,000 x 60 vectors of a warped manifold of five
dimensions. Run it by `make bench`; `--ranks 4,8` selects ranks. On a busy machine the times are upper bounds.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from lorae import LoRAE
from lorae.data.manifolds import build_manifold
from lorae.plotting.style import COLORS, legend_below, new_figure, save

RECORD = Path(__file__).parents[1] / "results" / "benchmarks" / "pca.json"
PICTURE = RECORD.with_suffix(".png")
TRAIN = 1347  # three quarters
Floats = NDArray[np.float64]


def split() -> tuple[Floats, Floats]:
    """Split the digits at random into training and held-out ones; in the file, each writer's digits are a block."""
    digits = load_digits().data
    order = np.random.default_rng(0).permutation(len(digits))
    return digits[order[:TRAIN]], digits[order[TRAIN:]]


def compare(rank: int, train: Floats, test: Floats) -> dict[str, Any]:
    """Return the errors of LoRAE and of both PCAs at one rank, in both units, and the seconds of LoRAE's fit."""
    scaler = StandardScaler().fit(train)

    def errors(restored: Floats) -> dict[str, float]:
        difference = scaler.transform(restored) - scaler.transform(test)
        return {
            "standardized": float(np.square(difference).mean()),
            "pixels": float(np.square(restored - test).mean()),
        }

    start = time.perf_counter()
    model = LoRAE(rank=rank, random_state=0).fit(train)
    seconds = time.perf_counter() - start
    standardized = PCA(rank).fit(scaler.transform(train))
    pixels = PCA(rank).fit(train)
    back = standardized.inverse_transform(standardized.transform(scaler.transform(test)))
    return {
        "rank": rank,
        "seconds": round(seconds, 2),
        "LoRAE": errors(model.inverse_transform(model.transform(test))),
        "PCA, standardized": errors(scaler.inverse_transform(back)),
        "PCA": errors(pixels.inverse_transform(pixels.transform(test))),
    }


def automatic() -> dict[str, Any]:
    """Return the rank that `auto` finds for vectors of five dimensions in sixty columns, and the seconds of the fit."""
    vectors = build_manifold("warped", 5, seed=0).sample(4000, seed=0)
    start = time.perf_counter()
    model = LoRAE(random_state=0).fit(vectors)
    seconds = time.perf_counter() - start
    return {"dimension": 5, "rank": model.rank_, "score": model.score(vectors), "seconds": round(seconds, 2)}


def draw(rows: list[dict[str, Any]]) -> None:
    """Draw errors against ranks, one panel for each unit."""
    figure, panels = new_figure(2, height=5.6)
    handles: list[Any] = []
    for axes, (unit, title) in zip(panels, (("standardized", "error, standardized"), ("pixels", "error")), strict=True):
        ranks = [row["rank"] for row in rows]
        drawn = [
            axes.plot(ranks, [row[name][unit] for row in rows], "o-", color=COLORS[number], markersize=4)[0]
            for number, name in enumerate(("LoRAE", "PCA, standardized", "PCA"))
        ]
        handles = handles or drawn
        axes.set_ylabel(title)
        axes.set_ylim(0)
    panels[-1].set_xlabel("rank")
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    names = ["LoRAE", "PCA of standardized columns", "PCA"]
    legend_below(figure, handles, names)
    save(figure, PICTURE)


def main() -> None:
    """Measure, print and record, then draw; with --draw-only draw from the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ranks", default=",".join(map(str, range(4, 25))))
    parser.add_argument("--draw-only", action="store_true", help="draw the picture from the record, measure nothing")
    options = parser.parse_args()
    if options.draw_only:
        draw(json.loads(RECORD.read_text())["digits"])
        return
    train, test = split()
    rows = []
    for rank in map(int, options.ranks.split(",")):
        rows.append(compare(rank, train, test))
        shown = "  ".join(f"{name} {rows[-1][name]['standardized']:.4f}" for name in list(rows[-1])[2:])
        print(f"rank {rank:2}  {shown}  {rows[-1]['seconds']:.1f} s", flush=True)
    found = automatic()
    print(f"auto on 4,000 x 60: rank {found['rank']} of 5 dimensions in {found['seconds']:.1f} s")
    record = {
        "schema": 1,
        "command": "make bench",
        "seconds": "by the clock: upper bounds where other processes ran",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "digits": rows,
        "auto": found,
    }
    RECORD.write_text(json.dumps(record, indent=2) + "\n")
    draw(rows)


if __name__ == "__main__":
    main()
