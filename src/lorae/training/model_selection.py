"""Choose between PCA and trained networks by held-out error, so that a chosen model is never behind PCA."""

import copy
import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae.config.settings import ARRAY, Settings
from lorae.data import Dataset, Split, even_rows
from lorae.errors import MODEL_FAILURES, CollapsedError, DivergedError
from lorae.metrics.linear_dimension import linear_dimension
from lorae.metrics.linear_floor import as_vectors, mean_squares
from lorae.models.autoencoder import Autoencoder, ModelSpec
from lorae.models.linear_path import continued_as_pca, set_linear_path, set_strength
from lorae.runs.store import InMemoryRun
from lorae.system.hardware import thread_count
from lorae.training.best_weights import PATIENCE, BestWeights
from lorae.training.builders import build, build_objective, linear_path_rows
from lorae.training.candidates import STRENGTHS, Candidate, Judgment, Selection
from lorae.training.continuation import Continuation
from lorae.training.judging import FEW, FOLDS, MOST_ASIDE, Folds, fit_floor, judge
from lorae.training.rank_search import automatic_bound
from lorae.training.trainer import Trainer

# Deviations of the noise on latents of deviation one that are tried. Noise keeps a decoder smooth between few items: on
# scikit-learn's digits 0.3 takes a fifth off the held-out error at 24 dimensions, on breast cancer it adds a fifth. A
# network as narrow as the rank, which starts as the PCA of that rank, is tried with the last one.
NOISES = (0.3, 0.1, 0.0)
# Length of a trial, as a share of all steps. The best one is then trained at full length, unless its error is far above
# PCA's, since curvature that pays shows early, or was smallest before this share of the trial: more steps overfit more.
TRIAL, HOPELESS, OVERFITTED = 0.15, 1.1, 0.6
# A search for the rank whose error is below this share of PCA's ends with a good model; no others are tried.
CLEAR = 0.7
# Share of the variance outside the directions of a wide network, which a bound on its rank then narrows.
UNUSED = 0.01
# An error of PCA below this share of the variance is float32's rounding in a network: nothing is left to learn.
EXACT = 1e-10

# A smaller rank than PCA needs must be carried by curvature: by a network whose error is below this share of PCA's at
# that rank.
CURVED = 0.9


class ModelSelection:
    """Selection of rank and model for items as networks take them.

    Parameters
    ----------
    settings : Settings
        Resolved; the rank is `auto`, a share of the variance, or a number. The noise is replaced by each of `noises`.
    items : array of shape (n, ...)
        Vectors in units of their deviations, float64, or images, uint8 or float32.
    noises : tuple of float
        Deviations of the noise on latents to choose from.
    targets : array of shape (n, ...), default=None
        The items with NaN for entries that were filled in, of which no error is counted; None for none.
    weights : array of shape (n,), default=None
        Weights of the items, of mean 1: in the PCA, the batches, and the errors; None weighs them alike.
    start : Continuation, default=None
        A network that the candidates go on from, whose width is the rank that is asked for; None starts as PCA.
    folds : int, default=5
        Parts of the items, of which the first one is held out; at least 3, since a network may be judged by others.
    patience : float, default=0.35
        Share of all steps after which a training whose held-out error has not fallen stops; infinite for never.
    quiet : bool, default=True
        Show no progress bar.
    """

    def __init__(
        self,
        settings: Settings,
        items: NDArray[Any],
        noises: tuple[float, ...],
        *,
        targets: NDArray[Any] | None = None,
        weights: NDArray[np.float64] | None = None,
        start: Continuation | None = None,
        folds: int = FOLDS,
        patience: float = PATIENCE,
        quiet: bool = True,
    ) -> None:
        self.settings = settings
        self.items = items
        self.noises = noises
        self.start = start
        self.patience = patience
        self.quiet = quiet
        self.folds = Folds(len(items), settings.seed, folds)
        if start is not None:
            self.folds.set_aside(*start.set_aside(self.folds.order, len(self.folds.held(0))))
        self.all = Split(items, weights=weights, targets=targets)
        self.kept, self.held = self.all.at(self.folds.kept(0)), self.all.at(self.folds.held(0))
        assert settings.latent_dim is not None
        self.width = settings.latent_dim
        self.floor = fit_floor(self.kept, self.held, self.width)
        self.variance = self.floor.error(0)
        some = self.all.at(even_rows(len(items), MOST_ASIDE))
        self.linear_dimension = linear_dimension(as_vectors(some.inputs), self.width, some.weights)
        self.search: dict[str, Any] | None = None
        self.failure: DivergedError | CollapsedError | None = None

    def select(self) -> Selection:
        """Train candidates and return the one with the smallest held-out error, or PCA."""
        rank, candidates = self._chosen_rank()
        linear = self.floor.error(rank)
        decided = linear < EXACT * self.variance or (candidates and candidates[0].error < CLEAR * linear)
        if self._can_judge and not decided:
            candidates += self._trials(rank)
        if self.failure is not None and not candidates:
            raise self.failure
        # One that owes its error to its linear path alone is the PCA of fewer items, whatever its luck.
        curved_ones = [candidate for candidate in candidates if candidate.is_curved]
        best = min(curved_ones or candidates, key=lambda candidate: candidate.error, default=None)
        linear_model = Judgment(self.floor.at(rank), self.floor.at(rank), self.floor.at(0), self.held.error_weights)
        judged = None if best is None or self._hopeless(best, rank) else self._judged(best, rank)
        curved = judged is not None and judged.pays
        used = judged if judged is not None and judged.pays else linear_model
        error, pca_error, variance = used.errors
        if self.search is not None:
            self.search |= {"rank": rank, "mse": error, "reached": error <= self.search["bound"]}
        return Selection(
            finished(best.model, self.all, used.strength) if best is not None and curved else self.pca(rank),
            rank,
            curved,
            error,
            pca_error,
            variance,
            self.search,
            best.history if best is not None else [],
        )

    def pca(self, rank: int) -> Autoencoder:
        """Return the PCA of all items as a model without hidden layers."""
        floor = fit_floor(self.all, self.held, rank)
        largest = np.take_along_axis(floor.axes, np.abs(floor.axes).argmax(axis=1)[:, None], axis=1)
        model = Autoencoder.initialized(ModelSpec("linear", self.items.shape[1:], rank))
        if self.items.dtype == np.float64:
            model.double()
        set_linear_path(model, floor.mean, np.where(largest < 0, -1.0, 1.0) * floor.axes)
        return model.eval()

    @property
    def trained_on(self) -> NDArray[np.int64]:
        """Rows of the items that the chosen network is trained on."""
        return self.folds.kept(0)

    @property
    def _can_judge(self) -> bool:
        return self.folds.can_judge and self.variance > 0

    def _chosen_rank(self) -> tuple[int, list[Candidate]]:
        """Return the rank, and the model of a search for it if that has this rank."""
        if isinstance(self.settings.rank, int):
            return self.settings.rank, []
        width = self.linear_dimension or min(self.width, self.floor.directions)
        searched = self._train(self.noises[0], 1.0, width, self.settings.rank) if self._can_judge else None
        tried = [] if self.search is None else self.search["tried"]
        unbounded = min([self.floor.error(self.width), *(each["mse"] for each in tried)])
        if isinstance(self.settings.rank, float):
            bound = (1 - self.settings.rank) * self.variance
        else:
            bound = automatic_bound(unbounded, self.variance)
        rank = self.floor.smallest_rank(bound)
        if self.settings.rank == "auto":
            rank = self.linear_dimension or rank
        smaller = rank if searched is None or self.search is None else self.search["rank"]
        self.search = {"bound": bound, "variance": self.variance, "tried": tried}
        if searched is None or smaller > rank or searched.error > min(bound, CURVED * self.floor.error(smaller)):
            return rank, []
        judged = self._judged(searched, smaller)
        kept = judged is not None and (self.settings.rank == "auto" or judged.errors[0] <= bound)
        return (smaller, [searched]) if judged is not None and judged.pays and kept else (rank, [])

    def _trials(self, rank: int) -> list[Candidate]:
        """Train with each noise for a while, and the best one at full length."""
        needed = self.linear_dimension or self.floor.smallest_rank(UNUSED * self.variance)
        wide = max(rank, min(needed, self.floor.directions))
        plans = [(noise, wide) for noise in self.noises[:-1]] + [(self.noises[-1], rank)]
        if self.start is not None:
            plans = [(noise, rank) for noise in self.noises]
        trials = [self._train(noise, TRIAL, width, rank) for noise, width in plans]
        trained = [trial for trial in trials if trial is not None]
        best = min(trained, key=lambda candidate: candidate.error, default=None)
        if best is None or len(self.items) < FEW or self._hopeless(best, rank):
            return trained
        if best.reached_at < OVERFITTED * TRIAL:
            return trained
        full = self._train(best.noise, 1.0, best.latent_dim, rank)
        return trained + ([full] if full is not None else [])

    def _hopeless(self, candidate: Candidate, rank: int) -> bool:
        return candidate.error > HOPELESS * self.floor.error(rank)

    def _train(self, noise: float, share: float, latent_dim: int, rank: int | float | str | None) -> Candidate | None:
        """Train a network with one noise for a share of all steps; None if it diverges or collapses."""
        settings = self._settings(noise, share, latent_dim, rank)
        best = self._best_weights()
        trainer = self._trainer(settings, self.kept, best)
        try:
            model = trainer.fit()
            if not isinstance(rank, int):
                self.search = trainer.schedule.result()
            errors, history = _errors(model, self.kept, self.held), _history(trainer.run)
            means = np.average(errors, axis=0, weights=self.held.error_weights)
        except MODEL_FAILURES as failure:
            self.failure = failure
            return None
        reached_at = share * best.reached_at
        return Candidate(
            model, errors, float(means[:-1].min()), float(means[-1]), noise, latent_dim, share, reached_at, history
        )

    def _settings(self, noise: float, share: float, latent_dim: int, rank: int | float | str | None) -> Settings:
        assert isinstance(self.settings.epochs, int)
        return dataclasses.replace(
            self.settings,
            bottleneck={"noise": noise} if noise > 0 else {},
            epochs=max(1, round(share * self.settings.epochs)),
            latent_dim=latent_dim,
            rank=rank,
        )

    def _best_weights(self) -> BestWeights:
        held = as_inputs(self.all.at(self.folds.choosing))
        return BestWeights(held.inputs, self.patience, held.error_weights, held.targets)

    def _trainer(self, settings: Settings, kept: Split, best: BestWeights) -> Trainer:
        test = Split(best.items, targets=best.targets)
        dataset = Dataset(ARRAY, as_inputs(kept), test, "array", "", aside=best.items)
        if self.start is None:
            objective = build(settings, dataset)
        else:
            objective = build_objective(settings, self.start.restarted(settings, dataset.train.inputs))
            best.start_from(objective.model)
        run = InMemoryRun(settings, thread_count(settings.batch_size, objective.model))
        return Trainer(run, dataset, objective, best=best, quiet=self.quiet)

    def _judged(self, candidate: Candidate, rank: int) -> Judgment | None:
        """Return errors of a network and of PCA on held-out items; None if it diverges, collapses or is linear."""
        if self.start is None and not candidate.is_curved:
            return None
        judged = judge(
            self.all, self.folds, rank, candidate.errors, lambda kept, held: self._again(candidate, kept, held, rank)
        )
        return judged and dataclasses.replace(judged, proven=self.start is not None)

    def _again(self, candidate: Candidate, kept: Split, held: Split, rank: int) -> NDArray[np.float64] | None:
        """Return the errors on other held-out items of a network trained like the candidate.

        None if it diverges or collapses. The weights that are kept are chosen by the first held-out fold, as for the
        candidate.
        """
        settings = self._settings(candidate.noise, candidate.share, candidate.latent_dim, rank)
        try:
            model = self._trainer(settings, kept, self._best_weights()).fit()
            return _errors(model, kept, held)
        except MODEL_FAILURES:
            return None


def finished(model: Autoencoder, items: Split, strength: float = 1.0) -> Autoencoder:
    """Return a trained network with codes as wide as its rank, a fitted linear path, and PCA beyond the items.

    strength: factor of the corrections to the linear path, before that is fitted
    """
    return _fitted(_narrowed(model, items), items, strength)


def _narrowed(model: Autoencoder, items: Split) -> Autoencoder:
    return model.truncate(as_inputs(items).inputs, weights=items.weights)


def _fitted(small: Autoencoder, items: Split, strength: float) -> Autoencoder:
    fitted = copy.deepcopy(small)
    some = as_inputs(items.at(linear_path_rows(items.inputs.shape)))
    set_strength(fitted, strength, some.inputs, some.weights, some.targets)
    return continued_as_pca(fitted, some.inputs, some.weights)


def _errors(model: Autoencoder, kept: Split, held: Split) -> NDArray[np.float64]:
    """Return errors on held-out items of a network that was trained on kept ones, for each of `STRENGTHS` (m, s)."""
    small, found = _narrowed(model, kept), []
    for strength in STRENGTHS:
        restored = _fitted(small, kept, strength).reconstruct(as_inputs(held).inputs)
        found.append(mean_squares(as_vectors(restored) - as_vectors(held.inputs), held.targets))
    return np.stack(found, axis=1)


def _history(run: Any) -> list[dict[str, Any]]:
    epochs = (record for record in run.records if record["event"] == "epoch")
    return [{"epoch": row["epoch"], "mse": row["test_mse"], "rank": row["rank"]} for row in epochs]


def as_inputs(items: Split) -> Split:
    """Return items as networks take them: vectors in float32."""
    if items.inputs.dtype != np.float64:
        return items
    targets = None if items.targets is None else items.targets.astype(np.float32)
    return Split(items.inputs.astype(np.float32), weights=items.weights, targets=targets)
