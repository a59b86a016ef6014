"""What is minimised: one reconstruction term for all methods, the bottleneck's own terms, and the penalties."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lorae.bottlenecks import Latent
from lorae.errors import LoraeError
from lorae.model import Autoencoder
from lorae.penalties import penalty_function


@dataclass(frozen=True)
class Step:
    """What a penalty sees of one training step.

    x, x_hat: float32 batch and reconstruction, (n, c, h, w) or (n, d), images in [0, 1]; h: encoder output,
    float32 (n, latent_dim); latent: the bottleneck's result.
    """

    model: Autoencoder
    x: Tensor
    h: Tensor
    latent: Latent
    x_hat: Tensor

    @property
    def matrix(self) -> Tensor:
        """M of a linear bottleneck; LoraeError where the method has none."""
        matrix = self.model.bottleneck.matrix()
        if matrix is None:
            raise LoraeError(
                "this penalty acts on the linear layer M, but the method has none; use --method lorae or irmae"
            )
        return matrix


class Objective:
    """Weighted sum of named terms; the terms themselves are reported unweighted, with `weights` beside them.

    model: the autoencoder; penalties: name -> weight; reconstruction: `mean` over all entries of a batch, or `sum`
    over an item and mean over the batch; bfloat16: run the convolutions under autocast.
    """

    def __init__(
        self,
        model: Autoencoder,
        penalties: Mapping[str, float],
        *,
        reconstruction: str = "mean",
        bfloat16: bool = False,
    ) -> None:
        self.model = model
        self.reconstruction = reconstruction
        self.bfloat16 = bfloat16
        self.weights = {"reconstruction": 1.0, **penalties}
        # A weight of zero is a penalty switched off: it is still measured, so that runs can be compared.
        self._penalties = {name: penalty_function(name) for name in penalties}
        # On the device, so that a captured step sees a warm-up; 1 is full weight.
        self.penalty_scale = torch.ones((), device=model.scaling.scale.device)

    def __call__(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """The loss, its terms, and the detached latents of a scaled batch."""
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.bfloat16):
            result = self.model(x)
        x_hat = result.x_hat.float()
        error = (x_hat - x).square()
        terms = {"reconstruction": error.mean() if self.reconstruction == "mean" else error.sum() / len(x)}
        terms |= result.latent.terms
        step = Step(self.model, x, result.h, result.latent, x_hat)
        for name, penalty in self._penalties.items():
            terms[name] = penalty(step)
        loss = terms["reconstruction"]
        for name, weight in self.weights.items():
            if name != "reconstruction" and weight != 0:
                loss = loss + weight * self.penalty_scale * terms[name]
        return loss, terms, result.latent.z.detach()
