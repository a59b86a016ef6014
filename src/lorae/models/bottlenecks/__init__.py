"""Modules between encoder and decoder: `forward(h)` gives a `Latent`; linear ones also have `matrix()`."""

from lorae import plugins
from lorae.errors import unknown_name
from lorae.models.bottlenecks.base import Bottleneck as Bottleneck
from lorae.models.bottlenecks.base import Latent as Latent
from lorae.models.bottlenecks.batch_svd import TruncatedBottleneck as TruncatedBottleneck
from lorae.models.bottlenecks.flow import FlowBottleneck as FlowBottleneck
from lorae.models.bottlenecks.gaussian import GaussianBottleneck as GaussianBottleneck
from lorae.models.bottlenecks.identity import IdentityBottleneck as IdentityBottleneck
from lorae.models.bottlenecks.linear import LinearBottleneck as LinearBottleneck
from lorae.models.bottlenecks.narrow import NarrowBottleneck as NarrowBottleneck
from lorae.models.bottlenecks.nested import NestedBottleneck as NestedBottleneck
from lorae.models.bottlenecks.quantizer import QuantizerBottleneck as QuantizerBottleneck

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
    """Return the class of a bottleneck; LoraeError for one that is unknown or ambiguous, or fails to import."""
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
