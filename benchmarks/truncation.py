"""Measure the savings of truncation on the MNIST network: parameters, file size, time of encoding and decoding.

Weights are random, and M has as many directions as a trained LoRAE keeps. Rounds alternate between the two
models, so that a busy machine slows both, and ratios are taken within a round. Run it by `make bench`.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from lorae.models.autoencoder import Autoencoder, ModelSpec
from lorae.reports.formatting import markdown_table

RECORD = Path(__file__).parents[1] / "results" / "benchmarks" / "truncation.json"
LATENT_DIM, RANK, BATCH, ROUNDS, REPEATS = 128, 20, 500, 7, 5


def full_model(latent_dim: int, rank: int) -> Autoencoder:
    """Build the paper's network for MNIST with an M of the given rank, in evaluation mode."""
    torch.manual_seed(0)
    options = {"layers": 1, "init": "orthogonal"}
    model = Autoencoder(ModelSpec("mnist", (1, 32, 32), latent_dim, 1.0, "linear", options)).eval()
    model.bottleneck.single_matrix().data[rank:] = 0
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def milliseconds(function: Callable[[], Any]) -> float:
    """Return the milliseconds of one call, as the mean over a few."""
    start = time.perf_counter()
    for _ in range(REPEATS):
        function()
    return 1000 * (time.perf_counter() - start) / REPEATS


def file_size(model: Autoencoder) -> float:
    """Return the bytes of the model as safetensors."""
    return float(len(save({name: value.contiguous() for name, value in model.state_dict().items()})))


def compare(batch: int, rank: int, rounds: int) -> dict[str, dict[str, float]]:
    """Return row -> value before, value after, and their ratio; for times the medians over rounds."""
    full = full_model(LATENT_DIM, rank)
    items = np.random.default_rng(0).integers(0, 256, (batch, 1, 32, 32), dtype=np.uint8)
    small = full.truncate(items)
    models = (full, small)
    codes = [model.encode(items) for model in models]
    error = np.abs(full.reconstruct(items) - small.reconstruct(items)).max()
    assert error <= 1e-5, error
    measured: dict[str, list[list[float]]] = {"encode, ms": [], "decode, ms": []}
    for number in range(rounds + 1):
        encoding = [milliseconds(partial(model.encode, items)) for model in models]
        decoding = [milliseconds(partial(model.decode, part)) for model, part in zip(models, codes, strict=True)]
        if number > 0:  # the first warms up
            measured["encode, ms"].append(encoding)
            measured["decode, ms"].append(decoding)
    both = [[e + d for e, d in zip(*pair, strict=True)] for pair in zip(*measured.values(), strict=True)]
    sizes = {
        "parameters": [float(sum(model.parameter_counts().values())) for model in models],
        "bytes": [file_size(model) for model in models],
    }
    rows = {name: row([values]) for name, values in sizes.items()}
    return rows | {name: row(values) for name, values in (measured | {"encode and decode, ms": both}).items()}


def row(rounds: list[list[float]]) -> dict[str, float]:
    """Return the medians before and after, and median and range of the ratios within a round."""
    ratios = [after / before for before, after in rounds]
    return {
        "before": statistics.median(before for before, _ in rounds),
        "after": statistics.median(after for _, after in rounds),
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
    }


def table(rows: dict[str, dict[str, float]]) -> str:
    """Return the results as a table in Markdown."""
    lines = []
    for name, values in rows.items():
        spread = f"{values['ratio']:.2f} ({values['ratio_low']:.2f} to {values['ratio_high']:.2f})"
        digits = 1 if name.endswith("ms") else 0
        lines.append((name, f"{values['before']:,.{digits}f}", f"{values['after']:,.{digits}f}", spread))
    return markdown_table(("quantity", "full", "truncated", "ratio (range)"), lines)


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--rank", type=int, default=RANK)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    rows = compare(options.batch, options.rank, options.rounds)
    print(table(rows))
    record = {
        "schema": 1,
        "command": "make bench",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "latent_dim": LATENT_DIM,
        "rank": options.rank,
        "batch": options.batch,
        "rows": rows,
    }
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    RECORD.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
