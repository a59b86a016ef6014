"""Penalties: every module in this folder is one, and is found by itself.

A penalty `name` is the file `penalties/name.py` with

- a docstring whose first line says what it penalises,
- `SOURCE`, the paper or book it comes from,
- `READS_BACK = True` where it waits for values from the GPU, which a CUDA graph cannot record,
- `penalty(context)`, which takes a `PenaltyContext` and returns a scalar tensor, unweighted, with a gradient; or,
  where it looks at M alone, `of_matrix(matrix)`, so that its slope can be held for some steps (`--penalty-every`).

Nothing else has to be edited: `--penalties.name W`, `lorae methods` and the tests over all penalties find it.
Names and summaries are read from the source without running it, so that the command line need not import torch.
"""

import ast
import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from lorae.errors import LoraeError
from lorae.penalties._context import PenaltyContext as PenaltyContext

if TYPE_CHECKING:
    from torch import Tensor

    PenaltyFunction = Callable[[PenaltyContext], Tensor]
    MatrixFunction = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Penalty:
    """What the registry knows of a penalty without importing it."""

    name: str
    summary: str
    source: str
    of_matrix: bool
    reads_back: bool


@cache
def all_penalties() -> dict[str, Penalty]:
    """Every penalty of this package by name, in alphabetical order; LoraeError where a file lacks a part."""
    modules = (module.name for module in pkgutil.iter_modules(__path__))
    names = sorted(name for name in modules if not name.startswith("_"))
    return {name: _describe(name) for name in names}


def penalty_names() -> list[str]:
    """The names, in alphabetical order."""
    return list(all_penalties())


def penalty_function(name: str) -> "PenaltyFunction":
    """The penalty of this name as a function of a step; LoraeError for an unknown one."""
    if name not in all_penalties():
        raise LoraeError(f"penalties: got {name!r}, expected one of {', '.join(all_penalties())}")
    if all_penalties()[name].of_matrix:
        function = matrix_function(name)
        return lambda context: function(context.matrix)
    penalty: PenaltyFunction = importlib.import_module(f"{__name__}.{name}").penalty
    return penalty


def matrix_function(name: str) -> "MatrixFunction":
    """The penalty of this name, which looks at M alone, as a function of M, (latent_dim, latent_dim)."""
    function: MatrixFunction = importlib.import_module(f"{__name__}.{name}").of_matrix
    return function


def matrix_penalties(names: Iterable[str], *, proximal: bool) -> list[str]:
    """Those of some weights' names that penalise M alone within the loss: proximal steps take the nuclear norm out."""
    by_steps = {"nuclear"} if proximal else set()
    known = all_penalties()
    return [name for name in names if name in known and known[name].of_matrix and name not in by_steps]


def _describe(name: str) -> Penalty:
    path = Path(__path__[0]) / f"{name}.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    summary, source = ast.get_docstring(tree), constants.get("SOURCE")
    if not summary or not isinstance(source, str) or len(functions & {"penalty", "of_matrix"}) != 1:
        raise LoraeError(
            f"{path.name}: a penalty needs a docstring, SOURCE = '...' and penalty(context) or of_matrix(matrix)"
        )
    return Penalty(
        name,
        summary.splitlines()[0].rstrip("."),
        source,
        "of_matrix" in functions,
        bool(constants.get("READS_BACK", False)),
    )
