"""Judge a network against PCA by items that neither its training nor the choice of its weights has seen."""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from lorae.data import Split
from lorae.metrics.linear_floor import LinearFloor
from lorae.training.candidates import Judgment

# Folds of the items by default, of which the first one is held out; of more than 10,000 items, `MOST_ASIDE` give a mean
# error to about 2%.
FOLDS = 5
HELD_OUT = 1 / FOLDS
MOST_ASIDE = 2000

# With fewer items too few are held out to judge a network: the model is PCA.
FEWEST = 20
# With fewer items the other folds decide, in which the network is trained anew for as many steps: the fold that chose
# among networks and steps has too few items not to flatter the choice. On 22 irises, 60% below PCA were 60% above it on
# new ones.
FEW = 1000


class Folds:
    """Parts of n items at random by a seed: the first one chooses among weights, so nothing is trained on it.

    >>> folds = Folds(10, seed=0)
    >>> np.sort(np.concatenate([folds.kept(1), folds.held(1), folds.held(0)]))
    array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """

    def __init__(self, n: int, seed: int, count: int = FOLDS) -> None:
        self.count = count
        self.order = np.random.default_rng(seed).permutation(n)
        self._judging: NDArray[np.int64] | None = None
        self.choosing = self.held(0)

    def set_aside(self, choosing: NDArray[np.int64], judging: NDArray[np.int64]) -> None:
        """Choose and judge by these rows alone: a network that goes on has been trained on the others before."""
        self.choosing, self._judging = choosing, judging

    def held(self, number: int) -> NDArray[np.int64]:
        """Return the rows of a fold in their order, at most `MOST_ASIDE`."""
        if number == 0 and self._judging is not None:
            return self._judging
        return np.sort(self.order[number :: self.count][:MOST_ASIDE])

    def kept(self, number: int) -> NDArray[np.int64]:
        """Return the rows to train on if a fold is held out: those of neither that one nor the choosing ones."""
        return np.setdiff1d(self.order, np.concatenate([self.choosing, self.held(number)]))

    @property
    def can_judge(self) -> bool:
        """Whether there are enough items to judge a network."""
        return len(self.order) >= FEWEST and len(self.held(0)) >= FEWEST // FOLDS

    @property
    def judges(self) -> Iterable[int]:
        """Numbers of the folds that judge a network: all but the first one of few items, else the first one."""
        few = len(self.order) < FEW and self._judging is None
        return range(1, min(self.count, FOLDS)) if few else (0,)


def fit_floor(kept: Split, held: Split, most: int) -> LinearFloor:
    """Return the PCA of kept items with at most `most` components, and its errors on held-out ones."""
    return LinearFloor.fit(kept.inputs, held.inputs, most, kept.weights, held.error_weights, held.targets)


def judge(
    items: Split,
    folds: Folds,
    rank: int,
    errors: NDArray[np.float64],
    again: Callable[[Split, Split], NDArray[np.float64] | None],
) -> Judgment | None:
    """Return errors of a network and of PCA on the folds that judge, up to one after which much is lost.

    None if a training diverges or collapses.

    PCA of all items has seen the held-out ones. Its error on new ones follows from two errors on these: e + c/k of the
    PCA of the k items that the network had, and e - c/n of the PCA of all n. A network that is trained anew has fewer
    items than the candidate had, and is compared with the PCA of as many fewer.

    errors: of the network on the first fold, for each of `STRENGTHS` (m, s)
    again: trains the network anew on some items, and returns such errors on others, or None if it diverges or collapses
    """
    n, usual = len(items), len(folds.kept(0))
    everything = fit_floor(items, items, rank)
    judgments, rows = [], []
    for number in folds.judges:
        kept, held = items.at(folds.kept(number)), items.at(folds.held(number))
        found = again(kept, held) if number else errors
        if found is None:
            return None
        floor, seen = fit_floor(kept, held, rank), everything.at(rank)[folds.held(number)]
        weight = (len(kept) + usual) / (len(kept) + n)
        judgments.append((found, weight * floor.at(rank) + (1 - weight) * seen, floor.at(0)))
        rows.append(folds.held(number))
        weights = items.at(np.concatenate(rows)).error_weights
        network, pca, mean = (np.concatenate(parts) for parts in zip(*judgments, strict=True))
        judgment = Judgment.of(network, pca, mean, weights)
        gain, uncertainty = judgment.gain_over(pca)
        if gain < -uncertainty:  # more folds would hardly change that, and each of them is a training
            break
    return judgment
