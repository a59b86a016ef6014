"""What stands between encoder and decoder: `forward(h)` gives a `Latent`, linear ones also have `matrix()`."""

from lorae.bottlenecks.base import Bottleneck, Latent
from lorae.bottlenecks.identity import IdentityBottleneck
from lorae.bottlenecks.linear import LinearBottleneck

# Each is built as BOTTLENECKS[name](latent_dim, **options) with the options of the method's row.
BOTTLENECKS: dict[str, type[Bottleneck]] = {
    "identity": IdentityBottleneck,
    "linear": LinearBottleneck,
}

__all__ = ["BOTTLENECKS", "Bottleneck", "IdentityBottleneck", "Latent", "LinearBottleneck"]
