"""What stands between encoder and decoder: `forward(h)` gives a `Latent`, linear ones also have `matrix()`."""

from lorae.models.bottlenecks.base import Bottleneck, Latent
from lorae.models.bottlenecks.batch_svd import TruncatedBottleneck
from lorae.models.bottlenecks.flow import FlowBottleneck
from lorae.models.bottlenecks.gaussian import GaussianBottleneck
from lorae.models.bottlenecks.identity import IdentityBottleneck
from lorae.models.bottlenecks.linear import LinearBottleneck
from lorae.models.bottlenecks.narrow import NarrowBottleneck
from lorae.models.bottlenecks.nested import NestedBottleneck
from lorae.models.bottlenecks.quantizer import QuantizerBottleneck

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
