"""Compare the trace term of the Frechet distance with `scipy.linalg.sqrtm`, at the width of Inception's features.

Both get the same covariances in one process. The reference for the error is the nuclear norm of X^T Y of the centered
feature matrices themselves, in float64, which needs no square root of a covariance. Run it by `make bench`.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import linalg

from lorae.metrics.frechet import Moments, root_product_trace

RECORD = Path(__file__).parents[1] / "results" / "benchmarks" / "frechet.json"
WIDTH, ROUNDS = 2048, 3


def features(n: int, width: int, seed: int) -> np.ndarray[Any, Any]:
    """Draw correlated features whose variances fall over six decades, as in real networks: float64 (n, width)."""
    generator = np.random.default_rng(seed)
    mixing = np.linalg.qr(np.random.default_rng(99).normal(size=(width, width)))[0]
    return generator.normal(size=(n, width)) * np.logspace(0, -3, width) @ mixing


def exact(first: np.ndarray[Any, Any], second: np.ndarray[Any, Any]) -> float:
    """Return tr((C1 C2)^(1/2)), computed from the triangular factors of the centered features."""
    centered = [(x - x.mean(0)) / np.sqrt(len(x) - 1) for x in (first, second)]
    factors = [np.asarray(np.linalg.qr(x, mode="r")) for x in centered]
    return float(torch.linalg.svdvals(torch.from_numpy(factors[0] @ factors[1].T)).sum())


def by_sqrtm(first: np.ndarray[Any, Any], second: np.ndarray[Any, Any]) -> float:
    """Return the same term as the usual scripts compute it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(np.trace(linalg.sqrtm(first @ second)).real)


def timed(function: Callable[[], float]) -> tuple[float, float]:
    """Return the value of a function and the seconds that it took."""
    start = time.perf_counter()
    value = function()
    return value, time.perf_counter() - start


def compare(n: int, width: int, rounds: int) -> dict[str, float]:
    """Return the errors of both ways, their times, and the median ratio of the times within a round."""
    first, second = features(n, width, 1), features(n, width, 2) * 1.1
    moments = Moments.of(first), Moments.of(second)
    covariances = [part.covariance for part in moments]
    reference = exact(first, second)
    ours, theirs = [], []
    for _ in range(rounds):
        value, seconds = timed(lambda: root_product_trace(*covariances))
        other, longer = timed(lambda: by_sqrtm(*covariances))
        ours.append(seconds)
        theirs.append(longer)
    return {
        "n": n,
        "width": width,
        "relative_error": abs(value - reference) / reference,
        "relative_error_sqrtm": abs(other - reference) / reference,
        "seconds": float(np.median(ours)),
        "seconds_sqrtm": float(np.median(theirs)),
        "ratio": float(np.median(np.array(theirs) / np.array(ours))),
    }


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=WIDTH)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    cases = {
        "more items than features": compare(5 * options.width, options.width, options.rounds),
        "fewer items than features": compare(options.width // 2, options.width, 1),
    }
    for name, case in cases.items():
        print(f"{name}: {json.dumps(case)}")
    record = {
        "schema": 1,
        "command": "make bench",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "cases": cases,
    }
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    RECORD.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
