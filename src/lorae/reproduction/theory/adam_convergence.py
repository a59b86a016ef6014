"""Theorem 1: the smallest gradient against the number of steps of full-batch Adam, compared with T^(-1/4)."""

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
from lorae.reproduction.pages.blocks import Block, ClaimResult, Grid, Page, Picture, Text
from lorae.reproduction.theory.plots import plot_convergence
from lorae.reproduction.theory.rank_scaling import Fit, fit_exponent

# Increased when a measurement changes without a change of settings, which invalidates earlier records.
PROTOCOL = 1

# Adam's first decay rate and epsilon, as in training.
BETA, EPSILON = 0.9, 1e-8

# Steps of each run; the learning rate of the theorem depends on them.
STEPS = {
    "smoke": (16, 64, 256),
    "quick": (16, 64, 256, 1024, 4096),
    "paper": (16, 64, 256, 1024, 4096, 16384, 65536),
}

# A small problem, for steps on all data. The theorem assumes a smooth loss: hence tanh and a smoothed norm. The scale
# gives 100 steps the usual learning rate of 1e-3.
PROBLEM: dict[str, Any] = {
    "dimension": 5,
    "n": 500,
    "width": 64,
    "latent_dim": 16,
    "weight": 1e-3,
    "smoothing": 1e-3,
    "scale": 1e-2,
}


def jobs(preset: str, seeds: int) -> list[Job]:
    """Return the jobs: each seed runs each number of steps at the theorem's rate, and the last at a constant rate."""
    found = []
    for seed in range(seeds):
        for steps in STEPS[preset]:
            found.append(_job("theorem", steps, seed))
        found.append(_job("constant", STEPS[preset][-1], seed))
    return found


def _job(rate: str, steps: int, seed: int) -> Job:
    configuration = {"study": "theorem1", "protocol": PROTOCOL, "rate": rate, "steps": steps, "seed": seed, **PROBLEM}
    return Job(f"theorem1 {rate} rate, {steps} steps, seed {seed}", configuration)


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
    title = "Convergence of the gradient of full-batch Adam"
    points = _points(records, "theorem")
    if not points:
        nothing = ClaimResult("The smallest gradient falls at least like T^(-1/4) (theorem 1)", None, "not measured")
        return Page("theorem1", title, (Text("Nothing has been measured yet."), nothing))
    place = Path("pictures") / "theorem1.png"
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    plot_convergence(points, _curves(records), folder / place)
    problem = records[0]["configuration"]
    blocks: tuple[Block, ...] = (
        Text(
            f"Adam on all of {problem['n']} vectors at once (a warped manifold of dimension {problem['dimension']} in "
            f"60 columns), float64, tanh networks of {problem['width']} units around M ({problem['latent_dim']} x "
            f"{problem['latent_dim']}), weight {problem['weight']:g}. The theorem assumes a smooth loss, which the "
            "nuclear norm is not if M loses rank: here it is tr((M'M + e^2 I)^(1/2)) with "
            f"e = {problem['smoothing']:g}. The learning rate is {problem['scale']:g} / sqrt(T), as in the theorem. "
            "The theorem states a bound on the norm of the loss; its proof bounds the norm of the gradient."
        ),
        _grid(points, problem["scale"]),
        Picture(place, "The smallest norm of the gradient within T steps"),
        _decay(records),
        _condition(records),
    )
    return Page("theorem1", title, blocks)


def _points(records: list[Record], rate: str) -> dict[int, list[float]]:
    """Return steps -> the smallest gradients of all seeds."""
    found: dict[int, list[float]] = {}
    for record in records:
        if record["configuration"]["rate"] == rate:
            steps = record["configuration"]["steps"]
            found.setdefault(steps, []).append(record["result"]["smallest_gradient"])
    return dict(sorted(found.items()))


def _curves(records: list[Record]) -> list[list[list[float]]]:
    return [record["result"]["running"] for record in records if record["configuration"]["rate"] == "constant"]


def _grid(points: dict[int, list[float]], scale: float) -> Grid:
    first, start = next((steps, statistics.fmean(norms)) for steps, norms in points.items())
    rows = []
    for steps, norms in points.items():
        claimed = start * (steps / first) ** -0.25
        rate = learning_rate("theorem", scale, steps)
        rows.append((f"{steps:,}", f"{rate:.2g}", mean_and_deviation(norms, ".3g", ".2g"), f"{claimed:.3g}"))
    header = ("T", "learning rate", "smallest gradient", "T^(-1/4) from the first")
    return Grid("Smallest norm of the gradient", header, tuple(rows))


def _decay(records: list[Record]) -> ClaimResult:
    claim = "The smallest gradient falls at least like T^(-1/4) (theorem 1)"
    points = _points(records, "theorem")
    if len(points) < 2:
        return ClaimResult(claim, None, "not measured at two numbers of steps")
    fit = _fit(points)
    seen = f"it scales like T^({fit.exponent:.2f} ± {fit.error:.2f}) from {min(points)} to {max(points)} steps"
    seeds = sorted({record["configuration"]["seed"] for record in records})
    curves = [_points([record for record in records if record["configuration"]["seed"] == s], "theorem") for s in seeds]
    # An interrupted study may have a single number of steps for a seed, which has no exponent.
    own = ", ".join(f"{_fit(curve).exponent:.2f}" if len(curve) > 1 else "–" for curve in curves)
    # The first steps, far from any minimum, say little about the rate of decay.
    last = dict(list(points.items())[-2:])
    ends = " to ".join(str(steps) for steps in last)
    seen += f" (seed by seed {own}); from {ends} steps alone like T^({_fit(last).exponent:.2f})"
    return ClaimResult(claim, fit.exponent <= -0.25, seen)


def _fit(points: dict[int, list[float]]) -> Fit:
    pairs = [(steps, norm) for steps, norms in points.items() for norm in norms]
    return fit_exponent([steps for steps, _ in pairs], [norm for _, norm in pairs])


def _condition(records: list[Record]) -> ClaimResult:
    largest = max(record["result"]["largest_gradient"] for record in records)
    return ClaimResult(
        "The theorem's proof covers such a run (supplement, extension 1)",
        False,
        f"it needs gradients above a sigma > 9 gamma while gamma bounds them: gamma is {largest:.3g}, so sigma would "
        f"have to exceed {9 * largest:.3g} for psi_1 > 0, and {smallest_sigma(largest):.2g} for "
        f"epsilon - gamma / psi_1 > 0 with Adam's epsilon {EPSILON:g}. The nuclear norm itself, as it is trained "
        "with elsewhere, is not smooth where M loses rank. The decay therefore does not prove the theorem: it is an "
        "observation, not a consequence of the proof",
    )
