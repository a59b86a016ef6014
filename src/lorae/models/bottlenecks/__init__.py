"""Modules between encoder and decoder: `forward(h)` gives a `Latent`; linear ones also have `matrix()`."""

from lorae import plugins
from lorae.errors import unknown_name
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
GROUP = "lorae.bottlenecks"


def get_bottleneck(name: str) -> type[Bottleneck]:
    """Return the class of a bottleneck, of this package or of another one (see `lorae.plugins`).

    Raises LoraeError for an unknown or ambiguous name, and for a package that cannot be imported.
    """
    installed = plugins.installed(GROUP)
    if name in installed:
        plugins.refuse_duplicates(GROUP, BOTTLENECKS)
        found = plugins.load(GROUP, name)
        if not (isinstance(found, type) and issubclass(found, Bottleneck)):
            raise plugins.misfit(GROUP, name, "a subclass of lorae.models.bottlenecks.Bottleneck")
        return found
    if name not in BOTTLENECKS:
        known = [*BOTTLENECKS, *installed]
        raise unknown_name("bottleneck", name, known, ending="; install the package that adds it")
    return BOTTLENECKS[name]


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
    "get_bottleneck",
]
