"""The paper's classifier on frozen latents, for several seeds at once by batched matrix products."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lorae.evaluation.classification.checkpoints import TrainingCheckpoints
from lorae.evaluation.classification.fitting import measure
from lorae.evaluation.classification.protocol import Protocol, labeled_latents

# Dropout factors of eight units for each value of a byte: 0, or 2 so that the expectation stays.
_KEPT_TWICE = 2.0 * ((torch.arange(256, device="cpu").unsqueeze(1) >> torch.arange(8, device="cpu")) & 1).float()


class Heads(nn.Module):
    """One classifier for each seed: twice linear, ReLU and dropout of one half, then linear to the classes.

    Each seed's generator draws its initial weights, distributed as in torch.nn.Linear, and its dropout, so that no
    seed's draws depend on the others.
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
    features: str = "the latents",
    advance: Callable[[int], Any] | None = None,
    trainings: TrainingCheckpoints | None = None,
    **protocol: Any,
) -> dict[str, Any]:
    """Measure the test accuracy of the paper's classifier on frozen latents, unscaled, for several numbers of labels.

    features: description of the latents for the stored protocol
    advance, trainings: as in `measure`
    protocol: fields of `Protocol`

    Returns plain JSON values: for each count mean, sample standard deviation and values (shares in [0, 1]), n, epochs,
    steps, and the step at which each seed's head was `picked`; then `protocol` and `left_out`.

    Source: LoRAE (arXiv:2310.16194), table 6; the details of the head are from its authors' code.
    """
    chosen = Protocol(**protocol)
    data = labeled_latents(train_latents, train_labels, test_latents, test_labels)

    def build(generators: Sequence[torch.Generator]) -> nn.Module:
        return Heads(data.train.shape[1], data.classes, generators)

    return measure(data, build, chosen, [list(chosen.seeds)], features, advance, trainings)
