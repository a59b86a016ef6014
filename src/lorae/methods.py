"""The whole zoo as one table: a method is a bottleneck and the penalties that act on it.

This module imports no torch, so that `lorae methods` and `lorae --help` answer at once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lorae import penalties
from lorae.errors import LoraeError


@dataclass(frozen=True)
class Method:
    """A row of the zoo.

    bottleneck: key of `lorae.bottlenecks.BOTTLENECKS`; bottleneck_options: its keyword arguments.
    penalties: penalty name -> default weight. main_penalty: the one that `--penalty W` sets.
    """

    name: str
    summary: str
    source: str
    bottleneck: str
    bottleneck_options: Mapping[str, Any] = field(default_factory=dict)
    penalties: Mapping[str, float] = field(default_factory=dict)
    main_penalty: str | None = None


def table(rows: Iterable[Method]) -> dict[str, Method]:
    """Rows by name; refuses a name that stands twice."""
    by_name: dict[str, Method] = {}
    for row in rows:
        if row.name in by_name:
            raise ValueError(f"method {row.name!r} stands twice in the table")
        by_name[row.name] = row
    return by_name


METHODS = table(
    [
        Method(
            name="ae",
            summary="plain autoencoder: encoder and decoder, no penalty",
            source="Rumelhart, Hinton, Williams (1985)",
            bottleneck="identity",
        ),
        Method(
            name="irmae",
            summary="implicit rank minimisation: eight linear layers between encoder and decoder, no penalty",
            source="Jing, Zbontar, LeCun, NeurIPS 2020 (arXiv:2010.00679)",
            bottleneck="linear",
            # Eight is the count for MNIST in the IRMAE authors' code; the LoRAE paper does not state one.
            bottleneck_options={"layers": 8},
        ),
        Method(
            name="lorae",
            summary="low-rank autoencoder: one linear layer M, penalised by its nuclear norm",
            source="Mazumder et al., WACV 2024 (arXiv:2310.16194), equation 1",
            bottleneck="linear",
            # The paper does not say how M starts. From the identity the model starts as the plain autoencoder;
            # torch's default, in the authors' code, starts many directions near zero, where the penalty removes them
            # before the data can use them: after an epoch of MNIST at 1e-4, 17 directions are left instead of 29,
            # and the error is 1.5 times as large.
            bottleneck_options={"layers": 1, "init": "identity"},
            penalties={"nuclear": 1e-3},  # the paper's lambda for MNIST; data sets may state another
            main_penalty="nuclear",
        ),
    ]
)


def get_method(name: str) -> Method:
    """The row of this name; LoraeError with the known names otherwise."""
    if name not in METHODS:
        raise LoraeError(f"method: got {name!r}, expected one of {', '.join(METHODS)}")
    return METHODS[name]


def list_methods() -> list[dict[str, str]]:
    """Every method and every penalty: kind, name, source and a one-line summary.

    >>> [row["name"] for row in list_methods() if row["kind"] == "method"]
    ['ae', 'irmae', 'lorae']
    """
    rows = [
        {"kind": "method", "name": method.name, "source": method.source, "summary": method.summary}
        for method in METHODS.values()
    ]
    return rows + [
        {"kind": "penalty", "name": name, "source": penalty.source, "summary": penalty.summary}
        for name, penalty in penalties.all_penalties().items()
    ]
