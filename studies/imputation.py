"""Compare imputations of missing entries: the mean, neighbors, regressions, PCA and LoRAE.

Entries are removed at random, three times with another seed. Errors are those of the removed entries, in deviations of
the columns. `make study-imputation` measures what has no record and draws the table of docs/estimator.md.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits, load_wine, make_swiss_roll
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

import lorae
from lorae import LoRAE
from studies.common import has_record, markdown_table, read_records, run_study, write_records, write_section

STUDY, PAGE = "imputation", "docs/estimator.md"
SEEDS = (0, 1, 2)
Array = NDArray[Any]


def turned_roll(seed: int) -> Array:
    """Return points of the swiss roll turned into ten dimensions, with noise of 0.01 of their deviation."""
    generator = np.random.default_rng(seed)
    points = make_swiss_roll(1500, random_state=seed)[0]
    turned = points / points.std(axis=0) @ np.linalg.qr(generator.normal(size=(10, 3)))[0].T
    return np.asarray(turned + 0.01 * generator.normal(size=turned.shape))


DATA: dict[str, Callable[[int], Array]] = {
    "swiss roll": turned_roll,
    "wine": lambda _: load_wine().data,
    "breast cancer": lambda _: load_breast_cancer().data,
    "digits": lambda _: load_digits().data,
}
# Data, share of the entries that is removed, and rank of PCA and LoRAE.
CASES = (
    ("swiss roll", 0.1, 2),
    ("swiss roll", 0.3, 2),
    ("swiss roll", 0.3, 3),
    ("wine", 0.1, 4),
    ("wine", 0.3, 4),
    ("breast cancer", 0.1, 10),
    ("breast cancer", 0.3, 10),
    ("digits", 0.1, 16),
    ("digits", 0.3, 16),
)
# Of scikit-learn, by default, but with neighbors of standardized columns, and regressions on ten columns: on all 64 of
# digits they take minutes.
OTHERS: dict[str, Callable[[], Any]] = {
    "mean": SimpleImputer,
    "KNNImputer": KNNImputer,
    "IterativeImputer": lambda: IterativeImputer(n_nearest_features=10, random_state=0),
}
TITLES = (*(f"`{name}`" if name != "mean" else "mean" for name in OTHERS), "filled", "PCA", "`LoRAE`")


def measure(data: str, share: float, rank: int, seed: int) -> dict[str, float]:
    """Return the mean squared error of removed entries by imputation, in deviations of the columns."""
    items = DATA[data](seed)
    varying = items.std(axis=0) > 0
    items = items[:, varying]
    items = (items - items.mean(axis=0)) / items.std(axis=0)
    removed = np.random.default_rng(seed).random(items.shape) < share
    given = np.where(removed, np.nan, items)
    model = LoRAE(rank=rank, handle_missing="mask", random_state=seed).fit(given)
    filled = given if model._imputation is None else model._imputation.fill(given)
    pca = PCA(rank).fit(filled)
    found = {"filled": filled, "PCA": pca.inverse_transform(pca.transform(filled)), "LoRAE": model.impute(given)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # ten rounds are the default
        found |= {name: other().fit_transform(given) for name, other in OTHERS.items()}
    return {name: float(np.square(found[name] - items)[removed].mean()) for name in (*OTHERS, "filled", "PCA", "LoRAE")}


def _name(data: str, share: float, rank: int, seed: int) -> str:
    return f"{data}, {share:.0%}, rank {rank}, seed {seed}"


def train(seeds: list[str]) -> None:
    """Measure what has no record."""
    for seed in map(int, seeds):
        for data, share, rank in CASES:
            name = _name(data, share, rank, seed)
            if has_record(STUDY, name):
                continue
            result = measure(data, share, rank, seed)
            settings = {"method": "lorae+", "data": data, "removed": share, "rank": rank, "seed": seed}
            machine = {"torch": torch.__version__, "threads": torch.get_num_threads()}
            record = {"name": name, "version": lorae.__version__, "settings": settings, "machine": machine}
            write_records(STUDY, [record | {"revision": 2, "result": result}])
            print(name, {key: round(value, 3) for key, value in result.items()}, flush=True)


def draw() -> None:
    """Write the table of `docs/estimator.md`: means of the seeds."""
    found: dict[tuple[str, float, int], list[dict[str, float]]] = {}
    for record in read_records(STUDY, [_name(*case, seed) for case in CASES for seed in SEEDS]):
        settings = record["settings"]
        case = settings["data"], settings["removed"], settings["rank"]
        found.setdefault(case, []).append(record["result"])
    rows = [
        [data, f"{share:.0%}", str(rank), *(_mean(results, name) for name in results[0])]
        for (data, share, rank), results in found.items()
    ]
    write_section(PAGE, STUDY, markdown_table(["data", "removed", "rank", *TITLES], rows))


def _mean(results: list[dict[str, float]], name: str) -> str:
    return f"{np.mean([result[name] for result in results]):.3f}"


if __name__ == "__main__":
    run_study(__doc__, train, draw, parts=("seeds", SEEDS))
