"""What stands between encoder and decoder: `forward(h)` gives a `Latent`, linear ones also have `matrix()`."""

from lorae.bottlenecks.base import Bottleneck, Latent
from lorae.bottlenecks.flow import FlowBottleneck
from lorae.bottlenecks.gaussian import GaussianBottleneck
from lorae.bottlenecks.identity import IdentityBottleneck
from lorae.bottlenecks.linear import LinearBottleneck
from lorae.bottlenecks.narrow import NarrowBottleneck
from lorae.bottlenecks.nested import NestedBottleneck
from lorae.bottlenecks.quantizer import QuantizerBottleneck
from lorae.bottlenecks.truncated import TruncatedBottleneck

# Each is built as BOTTLENECKS[name](latent_dim, **options) with the options of the method's row.
BOTTLENECKS: dict[str, type[Bottleneck]] = {
    "identity": IdentityBottleneck,
    "linear": LinearBottleneck,
    "gaussian": GaussianBottleneck,
    "flow": FlowBottleneck,
    "quantizer": QuantizerBottleneck,
    "narrow": NarrowBottleneck,
    "truncated": TruncatedBottleneck,
    "nested": NestedBottleneck,
}

__all__ = [
    "BOTTLENECKS",
    "Bottleneck",
    "FlowBottleneck",
    "GaussianBottleneck",
    "IdentityBottleneck",
    "Latent",
    "LinearBottleneck",
    "NarrowBottleneck",
    "NestedBottleneck",
    "QuantizerBottleneck",
    "TruncatedBottleneck",
]
