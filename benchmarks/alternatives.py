"""Measure kernel PCA and UMAP where `make study-against-pca` measures LoRAE and PCA: the same items, splits and ranks.

Kernel PCA of scikit-learn has a Gaussian kernel; its width and its ridge are chosen on a fifth of the training items.
UMAP has the settings of its authors; it is left out where the package `umap-learn` is missing, and measured at ranks of
2, for which it is meant. `--draw-only` draws the table of docs/when.md from the record.
"""

import argparse
import importlib.util
import json
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.decomposition import KernelPCA

from studies.against_pca import STUDY, items_of
from studies.common import markdown_table, records_path, write_section

RECORD = Path(__file__).parents[1] / "results" / "benchmarks" / "alternatives.json"
PAGE, SECTION = "docs/when.md", "alternatives"
CELLS = (
    ("swiss roll", 2),
    ("wine", 2),
    ("breast cancer", 10),
    ("digits", 2),
    ("digits", 8),
    ("digits", 16),
)
SEEDS = (0, 1, 2)
# Widths relative to one over the number of columns, scikit-learn's default; ridges of the way back.
WIDTHS, RIDGES = (0.01, 0.03, 0.1, 0.3, 1.0), (1e-3, 1e-2, 1e-1, 1.0)
Array = NDArray[Any]
Model = Callable[[Array], Array]


def kernel_pca(train: Array, rank: int, seed: int) -> Model:
    """Return the reconstruction by the kernel PCA with the smallest error on a fifth of the training items."""
    order = np.random.default_rng(seed).permutation(len(train))
    held, rest = np.split(train[order], [len(train) // 5])

    def fitted(items: Array, width: float, ridge: float) -> KernelPCA:
        return KernelPCA(
            rank, kernel="rbf", gamma=width / items.shape[1], alpha=ridge, fit_inverse_transform=True, random_state=0
        ).fit(items)

    def error(width: float, ridge: float) -> float:
        model = fitted(rest, width, ridge)
        return float(np.square(model.inverse_transform(model.transform(held)) - held).mean())

    chosen = min(((width, ridge) for width in WIDTHS for ridge in RIDGES), key=lambda pair: error(*pair))
    model = fitted(train, *chosen)
    return lambda items: np.asarray(model.inverse_transform(model.transform(items)))


def umap(train: Array, rank: int, seed: int) -> Model:
    """Return the reconstruction by UMAP."""
    from umap import UMAP

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one thread, since the seed is given
        model = UMAP(n_components=rank, random_state=seed).fit(train)
    return lambda items: np.asarray(model.inverse_transform(model.transform(items)))


METHODS = {"kernel PCA": kernel_pca, "UMAP": umap}


def measure() -> Iterator[dict[str, Any]]:
    """Yield a row for each method, data set, rank and seed."""
    known = importlib.util.find_spec("umap") is not None
    for data, rank in CELLS:
        for seed in SEEDS:
            held, train = np.split(items := items_of(data, seed), [len(items) // 4])
            mean, deviation = train.mean(axis=0), train.std(axis=0)
            deviation[deviation == 0] = 1.0
            held, train = (held - mean) / deviation, (train - mean) / deviation
            for name, method in METHODS.items():
                if name == "UMAP" and (rank > 2 or not known):
                    continue
                start = time.perf_counter()
                model = method(train, rank, seed)
                seconds = time.perf_counter() - start
                error = float(np.square(model(held) - held).mean())
                row = {"method": name, "data": data, "rank": rank, "seed": seed, "mse": error}
                yield row | {"seconds": round(seconds, 2)}


def table(rows: list[dict[str, Any]]) -> str:
    """Return errors as shares of the variance, means of the seeds, beside those of LoRAE and PCA."""
    known = {}
    for line in records_path(STUDY).read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        known[record["name"]] = record["result"]
    lines = []
    for data, rank in CELLS:
        results = [known[f"{data}, rank {rank}, seed {seed}"] for seed in SEEDS]
        variances = dict(zip(SEEDS, (result["variance"] for result in results), strict=True))
        cells = [np.mean([result[key] / result["variance"] for result in results]) for key in ("mse", "pca_mse")]
        for name in METHODS:
            own = [row for row in rows if (row["method"], row["data"], row["rank"]) == (name, data, rank)]
            cells.append(np.mean([row["mse"] / variances[row["seed"]] for row in own]) if own else np.nan)
        smallest = np.nanmin(cells)
        words = ["–" if np.isnan(cell) else f"{cell:.3f}" for cell in cells]
        shown = [f"**{word}**" if word == f"{smallest:.3f}" else word for word in words]
        lines.append([data, str(rank), *shown])
    return markdown_table(["data", "rank", "LoRAE", "PCA", *METHODS], lines)


def draw() -> None:
    """Draw the table from the record."""
    write_section(PAGE, SECTION, table(json.loads(RECORD.read_text(encoding="utf-8"))["rows"]))


def main() -> None:
    """Measure, print and record, then draw; with --draw-only draw from the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draw-only", action="store_true", help="draw the table from the record, measure nothing")
    if not parser.parse_args().draw_only:
        rows = []
        for row in measure():
            rows.append(row)
            print(", ".join(f"{name} {value}" for name, value in row.items()), flush=True)
        record = {"schema": 1, "command": "make bench", "sklearn": sklearn.__version__, "rows": rows}
        RECORD.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    draw()


if __name__ == "__main__":
    main()
