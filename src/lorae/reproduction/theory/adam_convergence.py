"""Theorem 1: the smallest gradient against the number of steps of full-batch Adam, compared with T^(-1/4)."""

import functools
import math
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lorae.data.manifolds import build_manifold
from lorae.randomness import drawing_from
from lorae.reports.formatting import mean_and_deviation
from lorae.reproduction.jobs.store import Job, Record
from lorae.reproduction.pages.blocks import Block, ClaimResult, Grid, Page, Text, not_measured, plot
from lorae.reproduction.theory.plots import convergence_figure
from lorae.reproduction.theory.rank_scaling import fit_all
from lorae.system.files import read_toml

# Increased when a measurement changes without a change of settings, which invalidates earlier records.
PROTOCOL = 1

_TABLES = read_toml("lorae.reproduction.theory", "theory.toml")["convergence"]
STEPS: dict[str, list[int]] = _TABLES["steps"]
PROBLEM: dict[str, Any] = _TABLES["problem"]
TEXTS: dict[str, str] = _TABLES["texts"]

# Adam's first decay rate and epsilon, as in training.
BETA, EPSILON = 0.9, 1e-8


def jobs(preset: str, seeds: int) -> list[Job]:
    """Return the jobs: each seed runs each number of steps at the theorem's rate, and the last at a constant rate."""
    runs = [*(("theorem", steps) for steps in STEPS[preset]), ("constant", STEPS[preset][-1])]
    common = {"study": "theorem1", "protocol": PROTOCOL, **PROBLEM}
    return [
        Job(f"theorem1 {rate} rate, {steps} steps, seed {seed}", common | {"rate": rate, "steps": steps, "seed": seed})
        for seed in range(seeds)
        for rate, steps in runs
    ]


def learning_rate(rate: str, scale: float, steps: int) -> float:
    """Return the theorem's scale / sqrt(steps), or for a constant rate that of 100 steps.

    >>> learning_rate("theorem", 0.01, 100)
    0.001
    """
    return scale / math.sqrt(steps if rate == "theorem" else 100)


def smoothed_nuclear_norm(matrix: Tensor, smoothing: float) -> Tensor:
    """Return tr((M^T M + e^2 I)^(1/2)), smooth at every M, at most l e above the nuclear norm; float64 (l, l) -> ()."""
    values = torch.linalg.eigvalsh(matrix.T @ matrix + smoothing**2 * torch.eye(len(matrix), dtype=matrix.dtype))
    norm: Tensor = values.clamp(min=0).sqrt().sum()
    return norm


class SmoothAutoencoder(nn.Module):
    """tanh networks with one hidden layer around M, which starts as the identity; float64."""

    def __init__(self, data_dim: int, width: int, latent_dim: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(data_dim, width), nn.Tanh(), nn.Linear(width, latent_dim))
        self.matrix = nn.Parameter(torch.eye(latent_dim))
        self.decoder = nn.Sequential(nn.Linear(latent_dim, width), nn.Tanh(), nn.Linear(width, data_dim))
        self.double()

    def loss(self, x: Tensor, weight: float, smoothing: float) -> Tensor:
        """Return equation 1 with the mean squared error over all entries; x: float64 (n, data_dim)."""
        restored = self.decoder(self.encoder(x) @ self.matrix.T)
        error: Tensor = (restored - x).square().mean()
        return error + weight * smoothed_nuclear_norm(self.matrix, smoothing)


def smallest_sigma(gamma: float) -> float:
    """Return the norm that all gradients must exceed for the proof's constant to be positive, if gamma bounds them.

    It is gamma beta / (1 - beta) (1 + gamma / epsilon), always above gamma, so that the proof covers no run.
    Source: LoRAE (arXiv:2310.16194), supplement, extension 1, psi_1 > gamma / epsilon as t grows.

    >>> float(f"{smallest_sigma(1e-8):.3g}")
    1.8e-07
    """
    return gamma * BETA / (1 - BETA) * (1 + gamma / EPSILON)


def gradient_norms(model: SmoothAutoencoder, x: Tensor, configuration: dict[str, Any]) -> Iterator[tuple[float, float]]:
    """Yield the loss and the Euclidean norm of its gradient before each step of Adam on all data."""
    rate = learning_rate(configuration["rate"], configuration["scale"], configuration["steps"])
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, betas=(BETA, 0.999), eps=EPSILON)
    for _ in range(configuration["steps"]):
        optimizer.zero_grad()
        loss = model.loss(x, configuration["weight"], configuration["smoothing"])
        loss.backward()  # type: ignore[no-untyped-call]
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        norm = torch.linalg.vector_norm(torch.stack([gradient.norm() for gradient in gradients]))
        yield float(loss.detach()), float(norm)
        optimizer.step()


def measure(configuration: dict[str, Any]) -> dict[str, Any]:
    """Run Adam; return the smallest norm of the gradient, its values at powers of two, and the largest norm."""
    seed, n = configuration["seed"], configuration["n"]
    vectors = build_manifold("warped", configuration["dimension"], seed=seed).sample(n, seed=seed)
    x = torch.from_numpy(vectors).double()
    x = (x - x.mean(0)) / x.std()
    with drawing_from(torch.Generator("cpu").manual_seed(seed), everything=True):
        model = SmoothAutoencoder(x.shape[1], configuration["width"], configuration["latent_dim"])
    losses, norms = zip(*gradient_norms(model, x, configuration), strict=True)
    powers = [2**exponent for exponent in range(int(math.log2(len(norms))) + 1)]
    return {
        "smallest_gradient": min(norms),
        "largest_gradient": max(norms),
        "first_gradient": norms[0],
        "running": [[steps, min(norms[:steps])] for steps in powers],
        "first_loss": losses[0],
        "last_loss": losses[-1],
    }


def page(records: list[Record], folder: Path) -> Page:
    """Build the page of the theorem: smallest gradients, the exponent of their decay, and the limits of the proof."""
    points = _points(records)
    if not points:
        return not_measured("theorem1", TEXTS["title"], TEXTS["decay"])
    curves = [record["result"]["running"] for record in records if record["configuration"]["rate"] == "constant"]
    draw = functools.partial(convergence_figure, points, curves)
    problem = records[0]["configuration"]
    blocks: tuple[Block, ...] = (
        Text(TEXTS["problem"].format(**problem)),
        _grid(points, problem["scale"]),
        plot(folder, "theorem1", "The smallest norm of the gradient within T steps", draw),
        _decay(records),
        _condition(records),
    )
    return Page("theorem1", TEXTS["title"], blocks)


def _points(records: list[Record]) -> dict[int, list[float]]:
    """Return steps -> the smallest gradients of all seeds, at the theorem's rate."""
    found: dict[int, list[float]] = {}
    for record in records:
        if record["configuration"]["rate"] == "theorem":
            steps = record["configuration"]["steps"]
            found.setdefault(steps, []).append(record["result"]["smallest_gradient"])
    return dict(sorted(found.items()))


def _grid(points: dict[int, list[float]], scale: float) -> Grid:
    first = min(points)
    start, rows = statistics.fmean(points[first]), []
    for steps, norms in points.items():
        claimed = start * (steps / first) ** -0.25
        rate = learning_rate("theorem", scale, steps)
        rows.append((f"{steps:,}", f"{rate:.2g}", mean_and_deviation(norms, ".3g", ".2g"), f"{claimed:.3g}"))
    header = ("T", "learning rate", "smallest gradient", "T^(-1/4) from the first")
    return Grid("Smallest norm of the gradient", header, tuple(rows))


def _decay(records: list[Record]) -> ClaimResult:
    points = _points(records)
    # The first steps, far from any minimum, say little about the rate of decay.
    last = dict(list(points.items())[-2:])
    fit, late = fit_all(points), fit_all(last)
    if fit is None or late is None:
        return ClaimResult(TEXTS["decay"], None, "not measured at two numbers of steps")
    seen = f"it scales like T^({fit.exponent:.2f} ± {fit.error:.2f}) from {min(points)} to {max(points)} steps"
    seeds = sorted({record["configuration"]["seed"] for record in records})
    curves = [_points([record for record in records if record["configuration"]["seed"] == seed]) for seed in seeds]
    # An interrupted study may have a single number of steps for a seed, which has no exponent.
    own = ", ".join("–" if (line := fit_all(curve)) is None else f"{line.exponent:.2f}" for curve in curves)
    ends = " to ".join(str(steps) for steps in last)
    seen += f" (seed by seed {own}); from {ends} steps alone like T^({late.exponent:.2f})"
    return ClaimResult(TEXTS["decay"], fit.exponent <= -0.25, seen)


def _condition(records: list[Record]) -> ClaimResult:
    largest = max(record["result"]["largest_gradient"] for record in records)
    sigma = smallest_sigma(largest)
    seen = TEXTS["condition"].format(largest=largest, bound=9 * largest, sigma=sigma, epsilon=EPSILON)
    return ClaimResult(TEXTS["proof"], False, seen)
