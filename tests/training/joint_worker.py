"""Trainings that two processes take together, or one alone; the first process saves the weights.

Started as `python -m torch.distributed.run --nproc-per-node 2 -m tests.training.joint_worker NAMES FOLDER`.
"""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lorae.config.methods import METHODS
from lorae.config.resolution import resolve
from lorae.config.settings import ARRAY, Settings
from lorae.data import Dataset, Split
from lorae.penalties import register_penalty
from lorae.runs.store import InMemoryRun
from lorae.system.processes import ALONE, Processes, session
from lorae.training.trainer import Trainer

# 96 items in batches of 19: the last of an epoch has one item, so that a process has none. 54 steps. Not the network
# that starts as PCA: the gradients of its inner layers start as rounding errors, which Adam makes steps of full size.
SMALL: dict[str, Any] = {"latent_dim": 8, "width": 0.125, "epochs": 9, "batch_size": 19, "network": "mnist"}


def squares() -> np.ndarray[Any, Any]:
    """Return grey squares at random places, uint8 (96, 1, 16, 16)."""
    rng = np.random.default_rng(0)
    pictures = np.zeros((96, 1, 16, 16), np.uint8)
    for picture in pictures:
        x, y, side = rng.integers(0, 10), rng.integers(0, 10), rng.choice([3, 6])
        picture[0, y : y + side, x : x + side] = rng.integers(100, 256)
    return pictures


def plane(missing: bool = False) -> Split:
    """Return points of a plane in six dimensions with weights, and targets of which a fifth is missing."""
    rng = np.random.default_rng(1)
    points = (rng.normal(size=(96, 2)) @ rng.normal(size=(2, 6)) + 0.1 * rng.normal(size=(96, 6))).astype(np.float32)
    weights = rng.uniform(0.2, 1.8, 96)
    targets = np.where(rng.random(points.shape) < 0.2, np.float32(np.nan), points) if missing else None
    return Split(points, weights=weights / weights.mean(), targets=targets)


def batch_spread(context: Any) -> torch.Tensor:
    """Variance of reconstructions and latents in a batch, relative to that of inputs: needs the whole batch."""
    inputs, latents, reconstructions = (
        part.flatten(1).var(0, correction=0).sum() + 1
        for part in (context.inputs, context.latents, context.reconstructions)
    )
    return latents * reconstructions / inputs


def trainings() -> dict[str, tuple[dict[str, Any], Callable[[], Split]]]:
    """Return settings and training items by name: those of every method, and of what a method does not show."""

    def images() -> Split:
        return Split(squares())

    def points() -> Split:
        return Split(plane().inputs)

    found: dict[str, tuple[dict[str, Any], Callable[[], Split]]]
    found = {method: (SMALL | {"method": method}, images) for method in METHODS}
    # Of 256 codes for numbers of one dimension some are so near each other that a rounding chooses.
    found["vq-vae"] = SMALL | {"method": "vq-vae", "bottleneck": {"codes": 8}}, images
    found["clipped"] = SMALL | {"method": "lorae", "clip_gradients": 0.05}, images
    found["normalized"] = SMALL | {"method": "lorae+", "normalize": "coordinates", "network": "mlp"}, plane
    found["noisy"] = SMALL | {"method": "lorae+", "bottleneck": {"noise": 0.1}}, images
    found["held"] = SMALL | {"method": "lorae", "penalty_every": 5}, images
    found["coupled"] = SMALL | {"method": "ae", "penalties": {"batch_spread": 0.1}}, images
    found["smooth"] = SMALL | {"method": "rae-sn", "penalties": {"decoder_gradient": 1e-3}}, images
    found["pieces"] = SMALL | {"method": "vae", "accumulate": 2, "penalties": {"decoder_gradient": 1e-3}}, images
    found["weighted"] = SMALL | {"method": "lorae+", "network": "mlp"}, plane
    found["missing"] = SMALL | {"method": "lorae", "network": "mlp"}, lambda: plane(missing=True)
    found["summed"] = SMALL | {"method": "vae", "network": "mlp", "reconstruction": "sum"}, lambda: plane(missing=True)
    found["search"] = SMALL | {"method": "lorae+", "network": "mlp", "rank": "auto", "epochs": 40, "lr": 1e-2}, points
    found["path"] = SMALL | {"method": "lorae+", "network": "mlp", "penalty_path": (1e-3, 1e-1, 3)}, points
    found["stalled"] = SMALL | {"method": "ae", "network": "mlp", "epochs": "auto", "patience": 2}, points
    return found


def train(name: str, processes: Processes = ALONE, accumulate: int = 1) -> dict[str, Any]:
    """Return weights, adversary, records and decisions of a training."""
    given, items = trainings()[name]
    split = items()
    kind = "images" if split.inputs.ndim == 4 else "vectors"
    aside = split.inputs[:20] if given.keys() & {"rank", "penalty_path"} or given["epochs"] == "auto" else None
    dataset = Dataset(ARRAY, split, Split(split.inputs[:30]), "array", "", aside=aside)
    given = {"accumulate": accumulate} | given
    chosen = Settings(device="cpu", precision="float32", data=ARRAY, log_every=10, **given)
    settings = resolve(chosen, kind, dataset.shape)
    run = InMemoryRun(settings, 1)
    trainer = Trainer(run, dataset, quiet=True, processes=processes)
    model = trainer.fit()
    values = [(record["loss"], record["terms"]) for record in run.records if record["event"] == "step"]
    decided = trainer.schedule.result(), trainer.schedule.stopping()
    weights = dict(model.state_dict()) | trainer.objective.modules.state_dict()
    return {"weights": weights, "values": values, "decided": decided, "draws": trainer.generator.get_state()}


def register() -> None:
    """Add the penalty of a program that has no declaration."""
    register_penalty("batch_spread", batch_spread, "this test")


def main(names: Iterable[str], folder: Path) -> None:
    """Train under each name in all processes."""
    torch.set_num_threads(1)
    register()
    for name in names:
        with session("cpu") as processes:
            result = train(name, processes)
            if processes.first:
                torch.save(result, folder / f"{name}.pt")


if __name__ == "__main__":
    main(sys.argv[1].split(","), Path(sys.argv[2]))
