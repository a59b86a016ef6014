"""Draw docs/methods.md, every method and penalty with its loss, from the tables of the package."""

import re

from lorae.config.methods import METHODS, TERMS, Method
from lorae.penalties import all_penalties
from lorae.system.files import write_atomically
from studies import common

PAGE = "docs/methods.md"
HEAD = r"""# Methods

All methods and penalties, with their losses and sources. `lorae methods` prints the same. Every weight has a flag
`--penalties.NAME W`; `--penalty W` sets the weight printed in bold. [zoo.md](zoo.md) compares the
methods on MNIST, [when.md](when.md) says which one to take. `make figures` draws this page from the tables of the
package."""
SYMBOLS = r"""## Losses

$x$ is an item, $E$ the encoder, $D$ the decoder with weights $\theta_D$, $h = E(x)$ its output, $z$ the latent of $l$
coordinates with deviations $s_i$, $M$ a matrix between $h$ and $z$, $\sigma_i$ its singular values, $A$ an adversary's
score, $S$ the logistic function; $w$ and $v$ are weights. $\operatorname{mean}$ is over all entries of a batch,
$\operatorname{sum}$ over those of an item. Unless stated otherwise, $z = h$."""


def page() -> str:
    """Return the whole page."""
    penalties = [
        [f"`{row.name}`", f"${row.equation}$" if row.equation else "", row.summary, _linked(row.source)]
        for row in all_penalties().values()
    ]
    parts = [
        HEAD,
        common.markdown_table(["method", "description", "weights", "source"], [_row(row) for row in METHODS.values()]),
        SYMBOLS,
        common.markdown_table(["method", "loss"], [[f"`{row.name}`", row.equation] for row in METHODS.values()]),
        "## Penalties",
        common.markdown_table(["name", "value", "description", "source"], penalties),
        "## Terms of bottlenecks and adversaries",
        common.markdown_table(["name", "description"], [[f"`{name}`", text] for name, text in TERMS.items()]),
    ]
    return "\n\n".join(parts) + "\n"


def _row(method: Method) -> list[str]:
    weights = ", ".join(
        f"**{name} {weight:g}**" if name == method.main else f"{name} {weight:g}"
        for name, weight in method.weights.items()
    )
    return [f"`{method.name}`", method.summary, weights, _linked(method.source)]


def _linked(source: str) -> str:
    """Return a source with its number at arXiv, or its page of this documentation, as a link."""
    source = re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", source)
    return re.sub(r"docs/(\w+\.md)", r"[\1](\1)", source)


def draw() -> None:
    """Write the page."""
    write_atomically(common.ROOT / PAGE, page().encode())
