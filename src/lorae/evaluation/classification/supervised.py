"""The supervised row of the paper's table 6: encoder and classifier trained from scratch on raw images."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lorae.errors import LoraeError
from lorae.evaluation.classification.checkpoints import TrainingCheckpoints
from lorae.evaluation.classification.fitting import measure
from lorae.evaluation.classification.heads import Heads
from lorae.evaluation.classification.protocol import Protocol, labeled_data
from lorae.models.autoencoder import Scaling
from lorae.models.networks import build_networks
from lorae.randomness import drawing_from
from lorae.system.hardware import keep_freed_memory, memory_format

# A step of one seed costs 40 ms on the MNIST network (20 ms in bfloat16), where five heads on latents take 1.5 ms.
# 3,000 steps are five epochs of all labels, and all 500 of ten and of a hundred: minutes a seed instead of hours.
MAX_STEPS = 3000

# Validating on 5,000 images costs as much as twenty steps: at this number, a fifth of the time.
JUDGED = 30


class Supervised(nn.Module):
    """Scaling, encoder and classifier of one seed; images are in channels-last order, which CPUs convolve faster.

    With `bfloat16` the convolutions run under autocast; linear layers stay in float32 (see `layers.Linear`).
    """

    def __init__(self, scaling: Scaling, encoder: nn.Module, heads: Heads, *, bfloat16: bool = False) -> None:
        super().__init__()
        self.scaling = scaling
        self.encoder = encoder
        self.heads = heads
        self.mixed_precision = bfloat16
        self.layout = memory_format("cpu", "bfloat16" if bfloat16 else "float32")
        self.encoder.to(memory_format=self.layout)  # type: ignore[call-overload]

    def extra_repr(self) -> str:
        """Return the precision for `repr`, as no parameter shows it."""
        return f"bfloat16={self.mixed_precision}"

    def forward(self, items: Tensor) -> Tensor:
        """Map raw items, (1, n, c, h, w) or (1, n, d), to scores, float32 (1, n, classes), before the softmax."""
        x = self.scaling(items[0])
        if x.ndim == 4:
            x = x.contiguous(memory_format=self.layout)
        # No cache of cast weights, see `Objective.autocast`.
        with torch.autocast("cpu", torch.bfloat16, enabled=self.mixed_precision, cache_enabled=False):
            latents = self.encoder(x)
        scores: Tensor = self.heads(latents.float().unsqueeze(0))
        return scores


def supervised(
    train_items: NDArray[Any],
    train_labels: NDArray[Any] | None,
    test_items: NDArray[Any],
    test_labels: NDArray[Any] | None,
    *,
    network: str,
    latent_dim: int,
    width: float = 1.0,
    build_encoder: Callable[[], nn.Module] | None = None,
    bfloat16: bool = False,
    advance: Callable[[int], Any] | None = None,
    trainings: TrainingCheckpoints | None = None,
    **protocol: Any,
) -> dict[str, Any]:
    """Measure the test accuracy of an encoder and a classifier trained from scratch, with the result of `classify`.

    train_items, test_items: raw images (n, c, h, w), vectors (n, d) or tensors (n, ...)
    network, latent_dim, width: of the encoder
    build_encoder: gives a new encoder of that width, for networks that are not built in
    bfloat16: whether to run the convolutions under autocast
    advance: called with the steps done of each seed; `total_steps` with this `max_steps` gives the total of a seed
    protocol: fields of `Protocol`, by default with `max_steps` of 3000

    Source: LoRAE (arXiv:2310.16194), table 6, "supervised".
    """
    chosen = Protocol(**{"max_steps": MAX_STEPS, "judged": JUDGED, **protocol})
    data = labeled_data(_check_items(train_items), train_labels, _check_items(test_items), test_labels)
    scaling = Scaling(data.train.shape[1:])
    scaling.fit(data.train)

    def build(generators: Sequence[torch.Generator]) -> nn.Module:
        (generator,) = generators
        make = build_encoder or (lambda: build_networks(network, data.train.shape[1:], latent_dim, width)[0])
        encoder = _initialized(make, generator)
        return Supervised(scaling, encoder, Heads(latent_dim, data.classes, generators), bfloat16=bfloat16)

    keep_freed_memory()
    groups = [[seed] for seed in chosen.seeds]
    result = measure(data, build, chosen, groups, "none: trained from raw items", advance, trainings)
    result["protocol"] |= {"network": network, "latent_dim": latent_dim, "width": width, "bfloat16": bfloat16}
    return result


def _check_items(items: NDArray[Any]) -> NDArray[Any]:
    checked = np.asarray(items)
    if checked.ndim < 2 or not checked.size:
        raise LoraeError(f"items: got shape {checked.shape}, expected images (n, c, h, w), vectors (n, d) or tensors")
    if np.issubdtype(checked.dtype, np.floating) and not np.isfinite(checked).all():
        raise LoraeError("items: got values that are not finite, expected finite ones")
    return checked


def _initialized(make: Callable[[], nn.Module], generator: torch.Generator) -> nn.Module:
    """Make an encoder with initial weights from a generator that the given one seeds."""
    seed = int(torch.randint(2**62, (), generator=generator, device="cpu"))
    with drawing_from(torch.Generator("cpu").manual_seed(seed), everything=True):
        return make()
