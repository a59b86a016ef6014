"""Measure the cost of the nuclear norm in a training step of the MNIST network at batch 32, and its gradient's error.

Each way to compute it is compared with the same model without it: M trained by Adam, no penalty, no factorization. So
the cost is that of the penalty alone, not of the layer M. The cost of M itself is measured as well, against an
autoencoder without it. M gets the spectrum of a trained one. Rounds go through all contestants in turn, so that a busy
machine slows all of them, and ratios are taken within a round. Run it by `make bench`.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import lorae
from benchmarks.throughput import machine
from lorae.config.resolution import resolve
from lorae.config.settings import Settings
from lorae.data import Dataset
from lorae.linalg import nuclear_norm
from lorae.optim.proximal_adam import SHRINK_EVERY
from lorae.reports.formatting import markdown_table
from lorae.runs.store import InMemoryRun
from lorae.system.hardware import choose_precision
from lorae.training.trainer import Trainer

RECORD = Path(__file__).parents[1] / "results" / "benchmarks" / "penalty.json"
LATENT_DIMS, BATCH, PENALTY = (128, 512), 32, 1e-4
# Steps of a contestant in a round: two factorizations of the proximal route. Before the first round, some to settle.
ROUNDS, STEPS, SETTLING = 21, 2 * SHRINK_EVERY, 10 * SHRINK_EVERY
# Steps between two linearizations of the norm: as many as proximal steps add up.
EVERY = SHRINK_EVERY
RANKS = (1, 8, 64)
# Largest costs that the project aims at, as shares of a step.
TARGETS = {128: 0.05, 512: 0.15}

ONE_LAYER = {"method": "irmae", "bottleneck": {"layers": 1}, "matrix_init": "identity"}
# Name -> settings, and the contestant that differs only by not having the penalty.
CONTESTANTS: dict[str, tuple[dict[str, Any], str | None]] = {
    "ae": ({"method": "ae"}, None),
    "M": (ONE_LAYER, "ae"),
    "M, normalized": (ONE_LAYER | {"normalize": "coordinates"}, "ae"),
    "lorae": ({"method": "lorae", "penalty": PENALTY}, "M"),
    "lorae by autograd": ({"method": "lorae", "penalty": PENALTY}, "M"),
    f"lorae, penalty_every {EVERY}": (
        {"method": "lorae", "penalty": PENALTY, "penalty_every": EVERY},
        "M",
    ),
    "lorae+": ({"method": "lorae+", "penalty": PENALTY}, "M, normalized"),
}


def trained_matrix(latent_dim: int) -> torch.Tensor:
    """Build an M like one that Adam has trained on MNIST: few strong directions, the others weak, float32 (l, l)."""
    generator = torch.Generator().manual_seed(0)
    strong = latent_dim // 8
    values = torch.cat([torch.linspace(1, 0.3, strong), torch.logspace(-2, -4, latent_dim - strong)])
    U, V = (torch.linalg.qr(torch.randn(latent_dim, latent_dim, generator=generator))[0] for _ in range(2))
    return U * values @ V.mT


def build_trainer(name: str, latent_dim: int) -> Trainer:
    """Build the training of a contestant on MNIST and take some steps to settle."""
    split = lorae.load_data("mnist").train.first(SETTLING * BATCH)
    checked = Settings.from_values({**CONTESTANTS[name][0], "latent_dim": latent_dim}, lambda _: "the benchmark")
    settings = resolve(checked, "images", (1, 32, 32)).with_machine("cpu", choose_precision("auto", "cpu", "mnist"))
    run = InMemoryRun(settings, torch.get_num_threads())
    trainer = Trainer(run, Dataset("mnist", split, split, "", ""), quiet=True)
    if name == "lorae by autograd":
        trainer.objective._penalties["nuclear"] = lambda step: torch.linalg.matrix_norm(step.matrix, "nuc")
    if trainer.proximal is not None:
        trainer.proximal.weight.fill_(PENALTY)
    if name != "ae":
        trainer.model.bottleneck.single_matrix().data.copy_(trained_matrix(latent_dim))
    trainer.model.train()
    take_steps(trainer, SETTLING)
    return trainer


def take_steps(trainer: Trainer, count: int) -> None:
    """Take steps as `Trainer.fit` does, without statistics."""
    for index in range(count):
        trainer.objective.before_step(index)
        trainer.take_step(trainer.items[index * BATCH : (index + 1) * BATCH])
        if trainer.proximal is not None and (index + 1) % SHRINK_EVERY == 0:
            trainer.proximal.shrink()


def measure(latent_dim: int, rounds: int, clock: Callable[[], float]) -> dict[str, dict[str, float]]:
    """Return the milliseconds of a step of each contestant, and its cost as a share of its counterpart's step."""
    trainers = {name: build_trainer(name, latent_dim) for name in CONTESTANTS}
    measured: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    for number in range(rounds + 1):
        for name, trainer in trainers.items():
            start = clock()
            take_steps(trainer, STEPS)
            if number > 0:  # the first warms up
                measured[name].append(1000 * (clock() - start) / STEPS)
    return {name: row(name, measured) for name in CONTESTANTS}


def row(name: str, measured: dict[str, list[float]]) -> dict[str, float]:
    """Return the median milliseconds of a step, and median and quartiles of the cost within a round."""
    found = {"milliseconds": statistics.median(measured[name])}
    counterpart = CONTESTANTS[name][1]
    if counterpart is not None:
        costs = [ours / theirs - 1 for ours, theirs in zip(measured[name], measured[counterpart], strict=True)]
        found["cost"] = statistics.median(costs)
        found["cost_low"], _, found["cost_high"] = statistics.quantiles(costs, n=4) if len(costs) > 1 else costs * 3
    return found


def gradient_errors(latent_dim: int) -> dict[str, float]:
    """Return rank k -> largest error of an entry of the gradient at a matrix of rank k, against the exact U_k V_k^T."""
    errors = {}
    for rank in RANKS:
        generator = torch.Generator().manual_seed(rank)
        shape = (latent_dim, rank)
        U, V = (torch.linalg.qr(torch.randn(shape, generator=generator, dtype=torch.float64))[0] for _ in range(2))
        values = torch.linspace(1, 0.1, rank, dtype=torch.float64)
        matrix = (U * values @ V.mT).float().requires_grad_()
        nuclear_norm(matrix).backward()  # type: ignore[no-untyped-call]
        assert matrix.grad is not None
        errors[str(rank)] = float((matrix.grad - U @ V.mT).abs().max())
    return errors


def table(cases: dict[str, dict[str, Any]]) -> str:
    """Return the results as a table in Markdown."""
    rows = []
    for latent_dim, case in cases.items():
        for name, found in case["steps"].items():
            low, high = (f"{found[end]:.1%}" if end in found else "" for end in ("cost_low", "cost_high"))
            spread = f"{found['cost']:.1%} ({low} to {high})" if "cost" in found else ""
            rows.append((latent_dim, name, f"{found['milliseconds']:.1f}", CONTESTANTS[name][1] or "", spread))
    return markdown_table(("latent", "model", "a step, ms", "more than", "costs (quartiles)"), rows)


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--latent-dims", default=",".join(map(str, LATENT_DIMS)))
    parser.add_argument("--processor-time", action="store_true", help="count the time of this process only")
    options = parser.parse_args()
    clock = time.process_time if options.processor_time else time.perf_counter
    cases: dict[str, dict[str, Any]] = {}
    for latent_dim in map(int, options.latent_dims.split(",")):
        steps = measure(latent_dim, options.rounds, clock)
        cases[str(latent_dim)] = {
            "steps": steps,
            "gradient_errors": gradient_errors(latent_dim),
            "target": TARGETS.get(latent_dim),
        }
    print(table(cases))
    for name, case in cases.items():
        print(f"latent {name}: largest error of the gradient at rank k: {case['gradient_errors']}")
    record = {
        "schema": 1,
        "command": "make bench",
        "machine": machine(),
        "batch_size": BATCH,
        "rounds": options.rounds,
        "clock": clock.__name__,
        "cases": cases,
    }
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    RECORD.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
