"""Draw docs/methods.md, every method and penalty with its loss, from the tables of the package."""

from lorae.config.methods import METHODS, TERMS, Method
from lorae.penalties import all_penalties
from lorae.system.files import write_atomically
from studies import common

PAGE = "docs/methods.md"
HEAD = """# Methods

All methods and penalties, with their losses and sources. `lorae methods` prints the same. Every weight has a flag
`--penalties.NAME W`; `--penalty W` sets the weight printed in bold. [zoo.md](zoo.md) compares the
methods on MNIST.

x is an item, E the encoder, D the decoder, h = E(x) its output, z the latent, M a matrix between them, s its singular
values, A an adversary's score, S the logistic function. "mean" is over all entries of a batch, "sum" over those of an
item. `make figures` draws this page from the tables of the package."""


def page() -> str:
    """Return the whole page."""
    methods = [_row(method) for method in METHODS.values()]
    penalties = [[f"`{row.name}`", row.summary, row.source] for row in all_penalties().values()]
    terms = [[f"`{name}`", meaning] for name, meaning in TERMS.items()]
    parts = [
        HEAD,
        common.markdown_table(["method", "description", "loss", "weights", "source"], methods),
        "## Penalties",
        common.markdown_table(["name", "description", "source"], penalties),
        "## Terms of bottlenecks and adversaries",
        common.markdown_table(["name", "description"], terms),
    ]
    return "\n\n".join(parts) + "\n"


def _row(method: Method) -> list[str]:
    weights = ", ".join(
        f"**{name} {weight:g}**" if name == method.main else f"{name} {weight:g}"
        for name, weight in method.weights.items()
    )
    return [f"`{method.name}`", method.summary, method.objective, weights, method.source]


def draw() -> None:
    """Write the page."""
    write_atomically(common.ROOT / PAGE, page().encode())
