"""The end of a training that chooses its own: its network, or the PCA of all items unless the network is better."""

import copy
import dataclasses
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lorae.config.resolution import has_pca_floor
from lorae.config.settings import ARRAY, Settings
from lorae.data import Dataset, Split
from lorae.errors import MODEL_FAILURES
from lorae.models.autoencoder import Autoencoder
from lorae.models.linear_path import limit_corrections, scaled_rows, set_strength
from lorae.runs.store import InMemoryRun
from lorae.training.builders import PRINCIPAL_ENTRIES, build, build_model, linear_path_rows
from lorae.training.candidates import STRENGTHS, Judgment
from lorae.training.judging import Folds, fit_floor, judge
from lorae.training.trainer import Trainer, limited


def with_pca_floor(trainer: Trainer, model: Autoencoder, *, quiet: bool) -> tuple[Autoencoder, dict[str, Any] | None]:
    """Return the model that a finished training ends with, and its `stopping`.

    For settings with a floor, this is the network with its linear path fitted to all training items if it is better
    than PCA of its rank by more than chance, and else the PCA of all training items. Both depend on the weights and the
    settings alone, so that they are the same after an interruption. A latent without a direction stays as it is, and
    so does a network for more items than a PCA of all of them should take: these are hard to overfit.
    """
    stopping, settings = trainer.schedule.stopping(), trainer.settings
    if stopping is None or not has_pca_floor(settings, trainer.dataset.kind):
        return model, stopping
    inputs = trainer.dataset.train.inputs
    rank = settings.rank if isinstance(settings.rank, int) else model.spectrum(inputs).rank
    if rank == 0 or inputs.size > PRINCIPAL_ENTRIES:
        return model, stopping
    rows = Split(scaled_rows(model, inputs))
    folds = Folds(len(rows), settings.split_seed)
    judged = _judged(trainer, model, rows, folds, rank, quiet) if folds.can_judge else None
    floor: dict[str, Any] = {"kept": "network" if judged is not None and judged.pays else "pca", "rank": rank}
    if judged is not None:
        floor |= dict(zip(("error", "pca_error"), judged.errors, strict=False)) | {"items": len(judged.pca)}
    if judged is not None and judged.pays:
        floor["strength"] = judged.strength
        set_strength(model, judged.strength, inputs[linear_path_rows(inputs.shape)])
        return limited(model, trainer.dataset), stopping | {"floor": floor}
    return pca_of(settings, trainer.dataset, rank), stopping | {"floor": floor}


def _judged(trainer: Trainer, model: Autoencoder, rows: Split, folds: Folds, rank: int, quiet: bool) -> Judgment | None:
    """Return errors of the network and of PCA on held-out items; None if a training anew diverges or collapses.

    A network that is not better on the items that chose its weights is not trained anew for others.
    """
    kept, held = rows.at(folds.kept(0)), rows.at(folds.held(0))
    errors = _errors(model, trainer.dataset.train.inputs, folds.kept(0), folds.held(0), rank)
    floor = fit_floor(kept, held, rank)
    first = Judgment.of(errors, floor.at(rank), floor.at(0))
    if first.gain_over(first.pca)[0] <= 0:
        return first
    aside = held.inputs.astype(np.float32)

    def again(kept: Split, held: Split) -> NDArray[np.float64] | None:
        train, items = kept.inputs.astype(np.float32), held.inputs.astype(np.float32)
        dataset = Dataset(ARRAY, Split(train), Split(aside), "array", "", aside=aside)
        settings = dataclasses.replace(trainer.settings, vector_scale="none")
        objective = build(settings, dataset)
        try:
            network = Trainer(InMemoryRun(settings, trainer.run.threads), dataset, objective, quiet=quiet).fit()
            both = np.concatenate([train, items])
            return _errors(network, both, np.arange(len(train)), np.arange(len(train), len(both)), rank)
        except MODEL_FAILURES:
            return None

    return judge(rows, folds, rank, errors, again)


def _errors(
    model: Autoencoder, inputs: NDArray[Any], kept: NDArray[np.int64], held: NDArray[np.int64], rank: int
) -> NDArray[np.float64]:
    """Return errors on held rows of a network that was trained on kept ones, cut to a rank, by strength (m, s)."""
    items, found = inputs[kept], []
    small, some = model.truncate(items, rank), items[linear_path_rows(items.shape)]
    for strength in STRENGTHS:
        fitted = copy.deepcopy(small)
        set_strength(fitted, strength, some)
        limit_corrections(fitted, some)
        found.append(fitted.squared_errors(inputs[held]))
    return np.stack(found, axis=1)


def pca_of(settings: Settings, dataset: Dataset, rank: int) -> Autoencoder:
    """Return the PCA of all training items as a model with the networks of the settings, and an M of some rank."""
    model = build_model(dataclasses.replace(settings, epochs=1), dataset)  # with a given end nothing is held out
    matrix = model.bottleneck.single_matrix()
    with torch.no_grad():
        if settings.normalize == "none":  # else the start has set M
            matrix.copy_(torch.eye(len(matrix)))
        matrix[rank:] = 0
    return limited(model.eval(), dataset)
