"""The page `docs/methods.md`: every method and penalty of the tables, with its loss. Run by `make figures`."""

import records

from lorae.methods import METHODS, TERMS
from lorae.penalties import all_penalties

PAGE = records.ROOT / "docs" / "methods.md"
HEAD = """# Methods

Drawn from the tables in `src/lorae/methods.py` and `src/lorae/penalties/` by `make figures`; `lorae methods` prints
the same. x is an item, E the encoder, D the decoder, h = E(x) its output, z the latent, M a matrix between them, s
its singular values, A an adversary's score, S the logistic function. "mean" is over all entries of a batch, "sum" over
those of an item. `--penalty W` sets the weight printed in bold; every weight has a flag `--penalties.NAME W`.
"""


def page() -> str:
    """The whole page."""
    lines = [HEAD, "| method | what it is | loss | weights | source |", "|---|---|---|---|---|"]
    for method in METHODS.values():
        weights = ", ".join(
            f"**{name} {weight:g}**" if name == method.main else f"{name} {weight:g}"
            for name, weight in method.weights.items()
        )
        cells = (f"`{method.name}`", method.summary, _escaped(method.objective), weights, method.source)
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["\n## Penalties\n", "| name | what it is | source |", "|---|---|---|"]
    lines += [f"| `{row.name}` | {_escaped(row.summary)} | {row.source} |" for row in all_penalties().values()]
    lines += ["\n## Terms that bottlenecks and adversaries give by themselves\n", "| name | what it is |", "|---|---|"]
    lines += [f"| `{name}` | {meaning} |" for name, meaning in TERMS.items()]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """A bar would end a cell of the table."""
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page())
