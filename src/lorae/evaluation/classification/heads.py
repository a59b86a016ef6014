"""The paper's classifier on frozen latents, for several seeds at once by batched matrix products."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lorae.evaluation.classification.checkpoints import TrainingCheckpoints
from lorae.evaluation.classification.fitting import accuracies
from lorae.evaluation.classification.protocol import (
    COUNTS,
    EPOCHS,
    MAX_STEPS,
    SEEDS,
    available,
    check_latents,
    check_length,
    check_protocol,
    check_seeds,
    describe,
    labeled_data,
    plan,
    split_counts,
)

# Dropout factors of eight units for each value of a byte: 0, or 2 so that the expectation stays.
_KEPT_TWICE = 2.0 * ((torch.arange(256, device="cpu").unsqueeze(1) >> torch.arange(8, device="cpu")) & 1).float()


class Heads(nn.Module):
    """One classifier for each seed: twice linear, ReLU and dropout of one half, then linear to the classes.

    width: width of latents and hidden layers
    classes: number of classes
    generators: one for each seed: for its initial weights, distributed as in torch.nn.Linear, and for its dropout, so
        that no seed's draws depend on the others
    dropout: whether to use dropout in training mode

    >>> Heads(4, 3, [torch.Generator(), torch.Generator()])(torch.zeros(2, 5, 4)).shape
    torch.Size([2, 5, 3])
    """

    def __init__(self, width: int, classes: int, generators: Sequence[torch.Generator], *, dropout: bool = True):
        super().__init__()
        self.generators = generators
        self.dropout = dropout
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        bound = 1 / math.sqrt(width)
        for outputs in (width, width, classes):
            self.weights.append(_uniform((width, outputs), bound, generators))
            self.biases.append(_uniform((1, outputs), bound, generators))

    def forward(self, x: Tensor) -> Tensor:
        """Map latents, float32 (seeds, n, width), to scores (seeds, n, classes) before the softmax."""
        masks = self._masks(x) if self.training and self.dropout else None
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, x, weight)
            if index < len(self.weights) - 1:
                x = x.relu() if masks is None else x.relu() * masks[:, index]
        return x

    def _masks(self, x: Tensor) -> Tensor:
        """Draw dropout factors, 0 or 2, (seeds, hidden layers, n, width), 64 bits at a time: 20 times as fast."""
        shape = (len(self.weights) - 1, x.shape[1], x.shape[2])
        units = math.prod(shape)
        words = torch.empty(len(self.generators), math.ceil(units / 64), dtype=torch.int64)
        for row, generator in zip(words, self.generators, strict=True):
            row.random_(-(2**63), None, generator=generator)
        masks = _KEPT_TWICE.index_select(0, words.view(torch.uint8).flatten().int())
        return masks.view(len(words), -1)[:, :units].view(len(words), *shape)


def _uniform(shape: tuple[int, int], bound: float, generators: Sequence[torch.Generator]) -> nn.Parameter:
    draws = [
        torch.empty(shape, dtype=torch.float32).uniform_(-bound, bound, generator=generator) for generator in generators
    ]
    return nn.Parameter(torch.stack(draws))


def classify(
    train_latents: NDArray[Any],
    train_labels: NDArray[Any] | None,
    test_latents: NDArray[Any],
    test_labels: NDArray[Any] | None,
    *,
    counts: Iterable[int | str] = COUNTS,
    seeds: Iterable[int] = SEEDS,
    protocol: str = "validation",
    epochs: int = EPOCHS,
    max_steps: int | None = MAX_STEPS,
    features: str = "the latents",
    advance: Callable[[int], Any] | None = None,
    trainings: TrainingCheckpoints | None = None,
) -> dict[str, Any]:
    """Measure the test accuracy of the paper's classifier on frozen latents, for several numbers of labels.

    train_latents, test_latents: float (n, l), used without scaling, as in the paper
    train_labels, test_labels: int (n,)
    counts: numbers of labeled items; those above the number of items are listed in the result's `left_out`
    seeds: seeds of the labeled items, the initial weights and the order of the items
    protocol ({"validation", "authors_code"}): `validation` sets 5000 training items aside (a tenth of fewer than
        50,000), draws the labeled ones stratified from the rest, and reports the test accuracy at the best validation
        accuracy. `authors_code` takes the first items and the best TEST accuracy, as the released code does: its
        numbers are too good, because they are picked on the test set. It serves comparisons only, on latents before M.
    epochs: number of epochs, as in the authors' code
    max_steps: largest number of gradient steps; None trains all epochs, as in the paper
    features: description of the latents for the stored protocol
    advance: called with the number of steps done, for all seeds at once; `total_steps` gives their total
    trainings: keeps the trainings, so that the same call continues them after a kill

    Returns plain JSON values: for each count mean, sample standard deviation and values (shares in [0, 1]), n, epochs,
    steps, and the step at which each seed's head was `picked`; then `protocol` and `left_out`. Raises LoraeError for
    latents that are not finite, labels that are missing or do not fit, and a count below the number of classes.

    Source: LoRAE (arXiv:2310.16194), table 6; the details of the head are from its authors' code.
    """
    check_protocol(protocol)
    epochs, max_steps = check_length(epochs, max_steps)
    checked_seeds = check_seeds(seeds)
    train = check_latents(train_latents, "train_latents")
    data = labeled_data(train, train_labels, check_latents(test_latents, "test_latents"), test_labels)
    sizes, left_out = split_counts(counts, available(len(train), protocol), data.classes)

    def build(generators: Sequence[torch.Generator]) -> nn.Module:
        return Heads(train.shape[1], data.classes, generators)

    rows: dict[str, Any] = {
        name: accuracies(data, build, n, checked_seeds, protocol, plan(n, epochs, max_steps), advance, trainings)
        for name, n in sizes.items()
    }
    return rows | {
        "protocol": describe(data, protocol, checked_seeds, epochs, max_steps, features),
        "left_out": left_out,
    }
