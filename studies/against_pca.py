"""Compare LoRAE with PCA of the same rank on held-out items: tables, linear subspaces, a curved roll and pictures.

A fourth of the items is held out, five times with another seed for tables at every rank, up to three times for the
rest. Tables are compared in standardized columns, pictures in [0, 1]. `make study-against-pca` measures what has no
record.
"""

import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine, make_swiss_roll

import lorae
from lorae import LoRAE
from lorae.metrics.explained import pca_error
from lorae.plotting.style import COLORS, legend_below, new_figure, save
from studies.common import (
    has_record,
    lowest_to_highest,
    markdown_table,
    read_records,
    results_folder,
    run_study,
    write_records,
    write_section,
)

STUDY, PAGE = "against-pca", "docs/pca.md"
SEEDS = (0, 1, 2, 3, 4)
# Seeds of what takes long: a rank that is found, pictures, subspaces.
FEWER = SEEDS[:3]
# Below this share of the variance an error is rounding; a ratio below the other one is shown as less than 1.
ROUNDING, LOWER = 1e-10, 0.9995
Array = NDArray[Any]


def table(load: Callable[[], Any]) -> Callable[[int], Array]:
    """Return a function of a seed that gives the items of a data set of scikit-learn, the same for every seed."""
    return lambda _: np.asarray(load().data)


# Items by seed, and the ranks that the page lists; all from 1 to the number of columns minus 1 are measured and drawn.
TABLES: dict[str, tuple[Callable[[int], Array], tuple[int, ...]]] = {
    "iris": (table(load_iris), (1, 2, 3)),
    "swiss roll": (lambda seed: make_swiss_roll(2000, random_state=seed)[0], (1, 2)),
    "wine": (table(load_wine), (1, 2, 3, 5, 8, 12)),
    "diabetes": (table(load_diabetes), (1, 2, 3, 5, 8, 9)),
    "breast cancer": (table(load_breast_cancer), (1, 2, 5, 10, 15, 20, 29)),
    "digits": (table(load_digits), (1, 2, 4, 8, 16, 24, 32, 48, 63)),
}
# Five directions in forty columns: number of items, and the noise's deviation as a share of the columns'.
COUNTS, SHARES, DIRECTIONS = (30, 60, 100, 300, 4000), (0.0, 0.05, 0.2), 5
PICTURES = (("photographs", 3), ("photographs", 8), ("faces", 3), ("faces", 8))


def items_of(data: str, seed: int) -> Array:
    """Return the items of a data set, in an order drawn by the seed."""
    generator = np.random.default_rng(seed)
    if data in TABLES:
        items = TABLES[data][0](seed)
    elif data.startswith("linear"):
        _, count, share = data.split(", ")
        items = subspace(int(count), float(share), generator)
    else:
        items = photographs(240, generator) if data == "photographs" else faces(400, generator)
    return items[generator.permutation(len(items))]


def subspace(count: int, share: float, generator: np.random.Generator) -> Array:
    """Return items (count, 40) of a linear subspace of five Gaussian directions, with noise."""
    points = generator.normal(size=(count, DIRECTIONS)) @ generator.normal(size=(DIRECTIONS, 40))
    return np.asarray(points + share * points.std() * generator.normal(size=points.shape))


def photographs(count: int, generator: np.random.Generator, side: int = 32) -> Array:
    """Return color pictures of three kinds, uint8 (count, 3, side, side): landscapes, balls and stripes, with grain."""
    y, x = np.mgrid[:side, :side] / side
    pictures = []
    for number in range(count):
        first, second = generator.random((2, 3, 1, 1))
        if number % 3 == 0:
            height, slope = generator.uniform(0.3, 0.7), generator.uniform(-0.3, 0.3)
            share = 1 / (1 + np.exp(30 * (height + slope * (x - 0.5) - y)))
        elif number % 3 == 1:
            center, radius = generator.uniform(0.2, 0.8, 2), generator.uniform(0.1, 0.3)
            share = 1 / (1 + np.exp(40 * (np.hypot(x - center[0], y - center[1]) - radius)))
        else:
            angle, frequency, phase = generator.uniform((0, 2, 0), (np.pi, 6, 2 * np.pi))
            wave = frequency * (x * np.cos(angle) + y * np.sin(angle))
            share = 0.5 + 0.5 * np.sin(2 * np.pi * wave + phase)
        pictures.append(first * share + second * (1 - share) + 0.02 * generator.normal(size=(3, side, side)))
    return np.asarray((255 * np.clip(pictures, 0, 1)).round().astype(np.uint8))


def faces(count: int, generator: np.random.Generator, side: int = 32) -> Array:
    """Return drawn gray faces of forty people in varying light and place, float32 (count, 1, side, side) in [0, 1]."""
    y, x = np.mgrid[:side, :side] / side - 0.5
    people = generator.uniform((0.28, 0.36, 0.5, 0.0, 0.12, 0.0), (0.36, 0.44, 0.8, 0.08, 0.2, 0.3), (40, 6))
    pictures = []
    for number in range(count):
        width, height, tone, eyes, mouth, hair = people[number % 40]
        (right, down), light = 0.05 * generator.normal(size=2), 0.25 * generator.normal()
        u, v = x - right, y - down
        head = 1 / (1 + np.exp(30 * ((u / width) ** 2 + (v / height) ** 2 - 1)))
        picture = 0.15 + head * tone * (1 + light * u / width)
        for sign in (-1, 1):
            picture -= 0.4 * tone * np.exp(-(((u - 0.12 * sign) / 0.04) ** 2) - ((v + eyes) / 0.03) ** 2)
        picture -= 0.35 * tone * np.exp(-((u / mouth) ** 2) - ((v - 0.18) / 0.03) ** 2)
        picture -= hair * head / (1 + np.exp(40 * (v + 0.25)))
        pictures.append(picture + 0.01 * generator.normal(size=picture.shape))
    return np.clip(pictures, 0, 1).astype(np.float32)[:, None]


def measure(data: str, rank: int | str, seed: int) -> dict[str, Any]:
    """Return the errors of LoRAE and of PCA on a fourth of the items, after fits to the others."""
    items = items_of(data, seed)
    held, train = np.split(items, [len(items) // 4])
    start = time.perf_counter()
    model = LoRAE(rank=rank, random_state=seed).fit(train)
    seconds = time.perf_counter() - start
    restored = model.inverse_transform(model.transform(held)) if items.ndim == 2 else model.model_.reconstruct(held)
    if items.ndim == 2:
        mean, deviation = train.mean(axis=0), train.std(axis=0)
        deviation[deviation == 0] = 1.0
        train, held, restored = ((part - mean) / deviation for part in (train, held, restored))
    elif items.dtype == np.uint8:
        train, held = train / 255, held / 255
    ranks = [0, model.rank_]
    variance, error = pca_error(train, held, ranks)
    return {
        "rank": model.rank_,
        "curved": model.curved_,
        "mse": float(np.square(restored.astype(np.float64) - held).mean()),
        "pca_mse": float(error),
        "variance": float(variance),
        "seconds": round(seconds, 1),
    }


@cache
def width_of(data: str) -> int:
    """Return the number of columns of a table."""
    return int(items_of(data, seed=0).shape[1])


def plans(seed: int) -> Iterator[tuple[str, int | str]]:
    """Yield data sets and ranks of a seed."""
    for data in TABLES:
        yield from ((data, rank) for rank in range(1, width_of(data)))
    if seed not in FEWER:
        return
    yield from ((data, "auto") for data in TABLES)
    yield from PICTURES
    for share in SHARES:
        for count in COUNTS:
            yield f"linear, {count}, {share:g}", "auto"
            yield f"linear, {count}, {share:g}", DIRECTIONS


def _name(data: str, rank: int | str, seed: int) -> str:
    return f"{data}, rank {rank}, seed {seed}"


def train(seeds: list[str]) -> None:
    """Measure what has no record."""
    for seed in map(int, seeds):
        for data, rank in plans(seed):
            name = _name(data, rank, seed)
            if has_record(STUDY, name):
                continue
            result = measure(data, rank, seed)
            settings = {"method": "lorae+", "data": data, "rank": rank, "seed": seed}
            machine = {"torch": torch.__version__, "threads": torch.get_num_threads()}
            record = {"name": name, "version": lorae.__version__, "settings": settings, "machine": machine}
            write_records(STUDY, [record | {"revision": 2, "result": result}])
            print(f"{name}: {result['mse'] / max(result['pca_mse'], 1e-20):.3f} of PCA's error", flush=True)


def draw() -> None:
    """Write the tables of `docs/pca.md` and draw its picture."""
    names = [_name(data, rank, seed) for seed in SEEDS for data, rank in plans(seed)]
    found: dict[tuple[str, Any], list[dict[str, Any]]] = {}
    for record in read_records(STUDY, names):
        settings = record["settings"]
        found.setdefault((settings["data"], settings["rank"]), []).append(record["result"])
    given = {key: results for key, results in found.items() if key[1] != "auto"}
    header = ["data", "rank", "LoRAE", "PCA", "ratio", "networks chosen"]
    rows = [
        [data, str(rank), *_errors(results), f"{sum(result['curved'] for result in results)} of {len(results)}"]
        for (data, rank), results in given.items()
        if data not in TABLES or rank in TABLES[data][1]
    ]
    write_section(PAGE, "errors", markdown_table(header, rows))
    summary = []
    for data in TABLES:
        of_ranks = {rank: results for (name, rank), results in given.items() if name == data}
        ratios = [_ratio(results) for results in of_ranks.values()]
        # None for a fit that had to wait for others.
        seconds = [
            time for results in of_ranks.values() for result in results if (time := result["seconds"]) is not None
        ]
        splits = lowest_to_highest(map(len, of_ranks.values()))
        below = f"{sum(ratio < LOWER for ratio in ratios)} of {len(ratios)}"
        times = [f"{np.median(seconds):.0f}", f"{max(seconds):.0f}"]
        summary.append([data, f"1 to {max(of_ranks)}", splits, f"{max(ratios):.3f}", below, *times])
    titles = ["data", "ranks", "splits", "largest ratio", "ranks with a ratio below 1"]
    titles += ["seconds of a fit, median", "largest"]
    write_section(PAGE, "every-rank", markdown_table(titles, summary))
    automatic = [
        [data, ", ".join(str(result["rank"]) for result in results), *_errors(results)]
        for (data, rank), results in found.items()
        if rank == "auto"
    ]
    write_section(PAGE, "auto", markdown_table(["data", "ranks", *header[2:5]], automatic))
    _draw_picture(given)


def _ratio(results: list[dict[str, Any]]) -> float:
    """Return the mean error of the splits relative to PCA's; 1 if both are rounding."""
    error, pca, variance = (sum(result[key] for result in results) for key in ("mse", "pca_mse", "variance"))
    return float(error / pca) if max(error, pca) >= ROUNDING * variance else 1.0


def _errors(results: list[dict[str, Any]]) -> list[str]:
    error, pca, variance = (
        float(np.mean([result[key] for result in results])) for key in ("mse", "pca_mse", "variance")
    )
    return [f"{error / variance:.4f}", f"{pca / variance:.4f}", f"{_ratio(results):.3f}"]


def _draw_picture(given: dict[tuple[str, Any], list[dict[str, Any]]]) -> None:
    figure, (axes,) = new_figure(1, height=3.4)
    handles = []
    for number, data in enumerate(TABLES):
        ratios = {rank: _ratio(results) for (name, rank), results in given.items() if name == data}
        handles += axes.plot(list(ratios), list(ratios.values()), "o-", color=COLORS[number], markersize=3)
    axes.axhline(1.0, color="gray", linewidth=1, linestyle="--")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_ylim(0)
    axes.set_xlabel("rank")
    axes.set_ylabel("error / PCA's error")
    legend_below(figure, handles, list(TABLES))
    save(figure, results_folder(STUDY) / "ratios.png")


if __name__ == "__main__":
    run_study(__doc__, train, draw, parts=("seeds", SEEDS))
