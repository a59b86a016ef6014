"""The loss: one reconstruction term for all methods, the bottleneck's own terms, and the penalties."""

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy

from lorae.models.autoencoder import Autoencoder, Forward
from lorae.objectives.concurrent_penalty import ConcurrentPenalty
from lorae.objectives.linearized_penalty import LinearizedPenalty
from lorae.objectives.parts import Parts
from lorae.penalties import get_penalty, matrix_function, matrix_penalties, penalty_function
from lorae.penalties._context import PenaltyContext, penalized_matrix
from lorae.randomness import drawing_from, randn_like


class LossOutput(NamedTuple):
    """Loss of an optimizer target on a batch, its unweighted terms, and the latents; not detached.

    With several processes, loss and terms are the part of this process in them, which the others' parts are added to.
    """

    loss: Tensor
    terms: dict[str, Tensor]
    latents: Tensor


@dataclass(frozen=True)
class OptimizerTarget:
    """A set of parameters with the loss that they minimize, of a scaled batch."""

    name: str
    parameters: list[nn.Parameter]
    compute_loss: Callable[..., LossOutput]
    # The matrix whose nuclear norm is minimized by proximal steps, if any.
    matrix: nn.Parameter | None = None


@dataclass(eq=False)
class Objective:
    """Weighted sum of named terms, which are reported unweighted beside their `weights`."""

    model: Autoencoder
    weights: Mapping[str, float]  # of penalties, and of terms of the bottleneck or adversary
    _: KW_ONLY
    reconstruction: str = "mean"  # over all entries of a batch, or `sum` over an item and mean over the batch
    likelihood: str = "gaussian"  # squared error, or `bernoulli`: cross-entropy of pixels
    noise: float = 0.0  # standard deviation of noise on the encoder's input
    proximal: bool = False  # leaves the nuclear norm of M out of the loss, since proximal steps minimize it
    penalty_every: int = (
        1  # steps between two linearizations of the penalties of M alone; 1 computes them in every step
    )
    bfloat16: bool = False  # runs the convolutions under autocast

    def __post_init__(self) -> None:
        own = {name: self.weights.get(name, 0.0) for name in self.model.bottleneck.TERMS}
        # A penalty with weight zero has no effect, but is still measured, so that runs can be compared.
        self._penalties = {name: penalty_function(name) for name in self.weights if name not in own}
        self.weights = {"reconstruction": 1.0, **own, **self.weights}
        # On the device, so that a captured step sees a warm-up; 1 is full weight.
        self.penalty_scale = torch.ones((), dtype=torch.float32, device=self.model.scaling.scale.device)
        # The nuclear norm of M after the last proximal step, without a gradient: reported at no cost.
        self.proximal_norm = torch.zeros_like(self.penalty_scale)
        # Adversaries and linearized penalties, for checkpoints.
        self.modules = nn.ModuleDict()
        self.parts = Parts()
        self._concurrent: ConcurrentPenalty | None = None
        self._linearized: dict[str, LinearizedPenalty] = {}
        if self.penalty_every > 1:
            M = penalized_matrix(self.model.bottleneck)
            names = matrix_penalties(self._penalties, proximal=self.proximal)
            self._linearized = {name: LinearizedPenalty(matrix_function(name), M) for name in names}
            # This name is part of checkpoints.
            self.modules["held_penalties"] = nn.ModuleDict(self._linearized)

    def split(self, parts: Parts) -> None:
        """Compute batches in parts from now on; LoraeError for networks that do not allow it."""
        parts.check(self.model, self.modules)
        self.parts = parts

    def targets(self) -> list[OptimizerTarget]:
        """Return the targets that take a step on every batch, in turn."""
        matrix = self.model.bottleneck.single_matrix() if self.proximal else None
        return [OptimizerTarget("autoencoder", list(self.model.parameters()), self.compute_loss, matrix)]

    @property
    def reads_back(self) -> bool:
        """Whether a step waits for values from the GPU; penalties are linearized between steps."""
        waiting = (get_penalty(name).reads_back for name in self._penalties if name not in self._linearized)
        return self.model.bottleneck.READS_BACK or any(waiting)

    @property
    def has_foreign_parts(self) -> bool:
        """Whether the bottleneck or a penalty belongs to another package or program, whose draws are not known."""
        parts = [type(self.model.bottleneck), *(get_penalty(name).function for name in self._penalties)]
        return any(part is not None and not str(getattr(part, "__module__", "")).startswith("lorae.") for part in parts)

    def compute_concurrently(self) -> ConcurrentPenalty | None:
        """Move the penalties of M alone, if a graph can record them, from the loss to a stream beside the networks.

        Returns None on a CPU, without such penalties, and for an M that is a product.
        """
        names = matrix_penalties(self._penalties, proximal=self.proximal)
        chosen = [name for name in names if self.weights[name] != 0 and not get_penalty(name).reads_back]
        if not chosen or not self.penalty_scale.is_cuda:
            return None
        matrix = self.model.bottleneck.matrix()
        if not isinstance(matrix, nn.Parameter):
            return None
        linearized = {n: self._linearized.get(n) or LinearizedPenalty(matrix_function(n), matrix) for n in chosen}
        every_step = self.penalty_every == 1
        self._concurrent = ConcurrentPenalty(linearized, self.weights, matrix, self.penalty_scale, every_step)
        return self._concurrent

    def __call__(self, x: Tensor) -> LossOutput:
        """Return the loss of the model on a scaled batch."""
        return self.compute_loss(x)

    def compute_loss(self, x: Tensor, targets: Tensor | None = None) -> LossOutput:
        """Return loss, terms and latents of a scaled batch, of which `parts` may leave some rows to this process.

        targets: scaled, compared with reconstructions in place of x; entries of NaN are left out of the mean.
        """
        with self.parts.drawing():
            noisy = x + self.noise * randn_like(x) if self.noise > 0 else x
        with self.autocast(x):
            result = self.model(noisy) if self.parts.trivial else self._forward(noisy)
        x_hat = result.x_hat.float()
        own = {name: self.parts.once(term) for name, term in result.latent.terms.items()}
        terms = {"reconstruction": self._error(x_hat, x, targets)} | own
        context = PenaltyContext(
            self.model.encoder, self.model.decoder, self.model.bottleneck, x, result.h, result.latent.z, x_hat
        )
        for name, penalty in self._penalties.items():
            if self._is_concurrent(name):
                continue
            if self.proximal and name == "nuclear":
                terms[name] = self.parts.once(self.proximal_norm.clone())
            elif name in self._linearized:
                terms[name] = self.parts.once(self._linearized[name](context.matrix))
            else:
                terms[name] = self.parts.penalty(penalty, context, by_items=get_penalty(name).by_items)
        return LossOutput(self.total(terms), terms, result.latent.z)

    def _forward(self, x: Tensor) -> Forward:
        """Return the pass of the rows of this process, with the latents of the whole batch."""
        h = self.parts.whole(self.parts.apply(self.model.encoder, x))
        latent = self.model.bottleneck(h)
        return Forward(h, latent, self.parts.apply(self.model.decoder, self.parts.own(latent.z)))

    def held_out_loss(self, items: NDArray[Any], batch_size: int) -> float:
        """Return the mean loss of raw items that are not trained on; changes neither the model nor later draws.

        The networks are in evaluation mode; a bottleneck with terms of its own is not, as it has them in training only.
        """
        model, training = self.model, self.model.training
        buffers = [buffer.clone() for buffer in model.buffers()]
        device = self.penalty_scale.device
        before = torch.cuda.get_rng_state() if device.type == "cuda" else None
        model.eval()
        model.bottleneck.train(bool(model.bottleneck.TERMS))
        total, parts = 0.0, self.parts
        with drawing_from(torch.Generator("cpu").manual_seed(0), everything=self.has_foreign_parts):
            if before is not None:
                torch.cuda.manual_seed(0)
            for start in range(0, len(items), batch_size):
                batch = items[start : start + batch_size]
                rows = torch.as_tensor(np.array(batch[parts.begin(len(batch))]), device=device)
                output = self.compute_loss(model.scaling(rows))
                total += float(output.loss.detach()) * len(batch)
        total = float(parts.processes.summed(torch.tensor(total, dtype=torch.float64, device="cpu")))
        if before is not None:
            torch.cuda.set_rng_state(before)
        with torch.no_grad():
            for buffer, saved in zip(model.buffers(), buffers, strict=True):
                buffer.copy_(saved)
        model.train(training)
        return total / len(items)

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Return the weighted sum of terms; a warm-up scales all of them but the reconstruction."""
        loss: Tensor = terms["reconstruction"] if "reconstruction" in terms else terms[next(iter(terms))].new_zeros(())
        for name, term in terms.items():
            if name != "reconstruction" and self.weights[name] != 0:
                loss = loss + self.weights[name] * self.penalty_scale * term
        return loss

    def before_step(self, step: int) -> None:
        """Linearize the penalties of M anew before every `penalty_every`-th step; `step` counts from 0."""
        if step % self.penalty_every == 0:
            self.relinearize()

    def relinearize(self) -> None:
        """Linearize the penalties of M anew at the current M."""
        if self._concurrent is not None:
            self._concurrent.linearizes = True
        for name, penalty in self._linearized.items():
            if not self._is_concurrent(name):
                penalty.relinearize(penalized_matrix(self.model.bottleneck))

    def _is_concurrent(self, name: str) -> bool:
        return self._concurrent is not None and name in self._concurrent.penalties

    def autocast(self, x: Tensor) -> torch.autocast:
        """Return the autocast context of the convolutions."""
        # Without the cache of cast weights, which torch clears only where the outermost autocast ends: within another
        # one every step would use the weights of the first.
        return torch.autocast(x.device.type, torch.bfloat16, enabled=self.bfloat16, cache_enabled=False)

    def _error(self, x_hat: Tensor, x: Tensor, targets: Tensor | None = None) -> Tensor:
        seen = None if targets is None else ~targets.isnan()
        if targets is not None and seen is not None:
            x = torch.where(seen, targets, x)
        if self.likelihood == "bernoulli":
            error = binary_cross_entropy(x_hat, x, reduction="none")
        else:
            error = (x_hat - x).square()
        if seen is not None:
            error = error * seen
            if self.reconstruction == "mean":
                observed = self.parts.total(seen.sum())
                return (error.sum() if self.parts.has_items else 0 * error.sum()) / observed
        return self.parts.of_items(error.mean() if self.reconstruction == "mean" else error.sum() / len(x))
