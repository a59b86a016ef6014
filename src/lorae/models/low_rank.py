"""The square linear layer whose rank LoRAE lowers, and the way to find its matrix among the parameters of a network."""

import threading
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn

from lorae.errors import CollapsedError, DivergedError
from lorae.metrics.ranks import rank_at
from lorae.models.layers import Linear
from lorae.validation import choice, whole

# Below this share of the largest, a singular value of M is the rounding of its float32 entries: leaving it out changes
# no output by more than that rounding does.
ROUNDING = 1e-6

# All layers alive, so that an optimizer, which has parameters only, can tell their matrices from other weights.
_layers: "WeakSet[LowRankLinear]" = WeakSet()
_lock = threading.Lock()


class LowRankLinear(Linear):
    """A square linear layer z = M h without bias, to stand between an encoder and a decoder.

    A penalty on the nuclear norm of M (`nuclear_norm_penalty`, or proximal steps by `ProximalAdam` or `proximal_step`)
    lowers its rank during the training, and with it the dimension of the latent z. Afterwards `fold` or `truncate`
    removes the layer. It computes in the dtype of M under autocast too, so that latents are never rounded to bfloat16.

    Parameters
    ----------
    latent_dim : int
        Width of h and z. An upper bound of the dimension that the training finds: start with more than needed.
    init : {"identity", "orthogonal", "default"}, default="identity"
        First M. The identity starts with the network as it is without the layer. "default" is that of `nn.Linear`, as
        in the paper, whose singular values differ, so that the small ones vanish first.
    dim : int, default=-1
        Dimension of the input that holds the latent: the last one for vectors (n, d) and sequences (n, t, d), as in
        `nn.Linear`; 1 for feature maps (n, d, h, w), where the layer equals a 1x1 convolution.

    Raises
    ------
    LoraeError
        For a width below 1 and an unknown init.

    Notes
    -----
    Source: Mazumder et al., WACV 2024 (arXiv:2310.16194), section 3.

    Examples
    --------
    >>> layer = LowRankLinear(4)
    >>> layer(torch.ones(2, 7, 4)).shape
    torch.Size([2, 7, 4])
    >>> LowRankLinear(4, dim=1)(torch.ones(2, 4, 8, 8)).shape
    torch.Size([2, 4, 8, 8])
    >>> layer.rank()
    4
    """

    def __init__(self, latent_dim: int, init: str = "identity", *, dim: int = -1) -> None:
        latent_dim = whole(1).check("latent_dim", latent_dim, "argument latent_dim")
        init = choice("identity", "orthogonal", "default").check("init", init, "argument init")
        super().__init__(latent_dim, latent_dim, bias=False)
        self.latent_dim = latent_dim
        self.dim = dim
        if init == "identity":
            nn.init.eye_(self.weight)
        elif init == "orthogonal":
            nn.init.orthogonal_(self.weight)
        _register(self)

    def __setstate__(self, state: dict[str, Any]) -> None:  # of copies, which no constructor makes
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        _register(self)

    def forward(self, input: Tensor) -> Tensor:
        """Map h to z, both of any shape with latent_dim entries along `dim`."""
        if self.dim == -1:
            return super().forward(input)
        return super().forward(input.movedim(self.dim, -1)).movedim(-1, self.dim)

    def rank(self) -> int:
        """Return the number of singular values of M above 1e-6 of the largest; 0 if all are zero."""
        try:
            return numerical_rank(self.weight.detach())
        except CollapsedError:
            return 0

    def extra_repr(self) -> str:
        """Return the arguments that differ from the defaults, for `repr`."""
        return f"{self.latent_dim}" + (f", dim={self.dim}" if self.dim != -1 else "")


def low_rank_matrices(parameters: list[nn.Parameter]) -> list[nn.Parameter]:
    """Return those of the parameters that are the M of a `LowRankLinear`, in their order."""
    with _lock:
        known = {id(layer.weight) for layer in _layers}
    return [parameter for parameter in parameters if id(parameter) in known]


def _register(layer: LowRankLinear) -> None:
    with _lock:
        _layers.add(layer)


def numerical_rank(matrix: Tensor) -> int:
    """Count the singular values of M above `ROUNDING` times the largest.

    Raises CollapsedError if all are zero, DivergedError if one is not finite.
    """
    if not matrix.isfinite().all():
        raise DivergedError("truncate: M has entries that are not finite, expected finite ones; the model has diverged")
    rank = rank_at(torch.linalg.svdvals(matrix.double()).cpu().numpy(), ROUNDING)
    if rank == 0:
        raise CollapsedError(
            "truncate: M is zero, expected at least one direction: the model has collapsed and decodes one item only; "
            "train it with a smaller penalty"
        )
    return rank
