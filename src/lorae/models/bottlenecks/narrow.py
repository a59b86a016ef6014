"""Bottleneck of a given rank: a narrow linear layer between encoder and decoder."""

from torch import nn

from lorae.models.bottlenecks.base import check_option
from lorae.models.bottlenecks.linear import LinearBottleneck
from lorae.models.layers import Linear


class NarrowBottleneck(LinearBottleneck):
    """z = B A h with A of `rank` rows and B of as many columns.

    Source: Rumelhart, Hinton, Williams (1985); called diabolo after its shape by Schwenk and Milgram, NIPS 1994.
    """

    def __init__(self, latent_dim: int, rank: int = 16) -> None:
        super().__init__(latent_dim, layers=0)
        check_option(1 <= rank <= latent_dim, "rank", rank, f"1 to {latent_dim}, the latent's dimension")
        self.layers = nn.Sequential(Linear(latent_dim, rank, bias=False), Linear(rank, latent_dim, bias=False))
