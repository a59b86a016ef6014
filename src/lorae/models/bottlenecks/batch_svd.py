"""Bottleneck of the rank-reduction autoencoder: a batch of latents projected onto its leading singular vectors."""

import torch
from torch import Tensor

from lorae.models.bottlenecks.base import Bottleneck, Latent, check_option


class TruncatedBottleneck(Bottleneck):
    """z = the best approximation of the batch h by a matrix of rank `rank` in training, z = P h in evaluation.

    P projects onto the leading eigenvectors of the moving average (`decay`) of h' h / n, an estimate over all the data.
    A GPU cannot record the step, which waits for the singular vectors. Source: Mounayer et al., Rank Reduction
    Autoencoders (arXiv:2405.13980); without the adaptive rank.
    """

    READS_BACK = True
    second_moment: Tensor

    def __init__(self, latent_dim: int, rank: int = 16, decay: float = 0.99) -> None:
        super().__init__(latent_dim)
        check_option(1 <= rank <= latent_dim, "rank", rank, f"1 to {latent_dim}, the latent's dimension")
        check_option(0 <= decay < 1, "decay", decay, "at least 0 and below 1")
        self.rank = rank
        self.decay = decay
        # It may start at zero, as its scale does not matter.
        self.register_buffer("second_moment", torch.zeros(latent_dim, latent_dim))

    def forward(self, h: Tensor) -> Latent:
        """Return the latent of h, float32 (n, latent_dim)."""
        if not self.training:
            return Latent(h @ self.matrix())
        batch = h.detach()
        if not batch.isfinite().all():  # svd would raise; the loss reports it, with its step
            return Latent(h)
        self.second_moment.lerp_(batch.mT @ batch / len(h), 1 - self.decay)
        U, _, Vt = torch.linalg.svd(batch, full_matrices=False)
        return Latent(_truncated(h, U[:, : self.rank], Vt[: self.rank].mT))

    def matrix(self) -> Tensor:
        """Return P, float32 (latent_dim, latent_dim), symmetric, without gradient."""
        _, vectors = torch.linalg.eigh(self.second_moment.double())
        leading: Tensor = vectors[:, -self.rank :]
        return (leading @ leading.mT).to(self.second_moment.dtype)


def _truncated(h: Tensor, U: Tensor, V: Tensor) -> Tensor:
    """Return h V V', (n, latent_dim), with a gradient that accounts for the rotation of U and V with h.

    The exact gradient divides by differences s_i^2 - s_j^2 of kept and dropped singular values and is unbounded. This
    is its limit for small s_j, the incoming gradient G projected onto the tangent space of matrices of that rank: U U'
    G + G V V' - U U' G V V'. With V fixed (G V V') latents would hardly leave their initial leading directions.
    """
    change = h - h.detach()  # zero, with the gradient of h
    rest = change - change @ V @ V.mT
    return h @ V @ V.mT + U @ (U.mT @ rest)
