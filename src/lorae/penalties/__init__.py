"""Penalties: every module in this folder is one, and other packages can add more.

A penalty `name` is the file `penalties/name.py` with

- a docstring whose first line says what it penalizes,
- `SOURCE`, the paper or book it comes from,
- `EQUATION`, its formula in LaTeX, if the documentation is to show one,
- `READS_BACK = True` where it waits for values from the GPU, which a CUDA graph cannot record,
- `BY_ITEMS = True` where it is a mean over items that do not depend on each other: several processes then share its
  computation, while any other penalty is given the whole batch in each of them,
- `penalty(context)`, which takes a `PenaltyContext` and returns a scalar tensor, unweighted, with a gradient; or, for
  a penalty of M alone, `of_matrix(matrix)`, so that it can be linearized for some steps (`--penalty-every`).

Nothing else has to be edited: `--penalties.name W`, `lorae methods` and the tests over all penalties find it.
Names and summaries are read from the source without running it, so that the command line need not import torch.

Another package adds such a module by an entry point of the group `lorae.penalties`, see `lorae.plugins`; a program adds
a function by `register_penalty`.
"""

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorae import plugins
from lorae.errors import LoraeError, unknown_name
from lorae.penalties._context import PenaltyContext as PenaltyContext

if TYPE_CHECKING:
    from torch import Tensor

    PenaltyFunction = Callable[[PenaltyContext], Tensor]
    MatrixFunction = Callable[[Tensor], Tensor]

GROUP = "lorae.penalties"


@dataclass(frozen=True)
class Penalty:
    """Description of a penalty."""

    name: str
    summary: str
    source: str
    of_matrix: bool = False  # a function of M alone
    reads_back: bool = False  # waits for values from the GPU
    by_items: bool = False  # a mean over items that do not depend on each other
    function: Callable[[Any], Any] | None = None  # None before its module is imported
    equation: str = ""  # LaTeX


# Penalties of other packages that have been imported, and registered functions.
_added: dict[str, Penalty] = {}


def register_penalty(
    name: str,
    function: "Callable[[Any], Tensor]",
    source: str,
    *,
    of_matrix: bool = False,
    reads_back: bool = False,
    by_items: bool = False,
) -> None:
    """Add a penalty for this process, so that `penalties={name: weight}` trains with it.

    Parameters
    ----------
    name : str
        An identifier that no other penalty has.
    function : callable
        Takes a `PenaltyContext`, or M of shape (latent_dim, latent_dim) with `of_matrix`; returns a scalar tensor,
        unweighted, with a gradient. The first line of its docstring is the summary in `lorae methods`.
    source : str
        Paper or book it comes from.
    of_matrix : bool, default=False
        Whether it is a function of M alone, so that it can be linearized for some steps (`penalty_every`).
    reads_back : bool, default=False
        Whether it waits for values from the GPU, as `.item()` does, which a CUDA graph cannot record.
    by_items : bool, default=False
        Whether it is a mean over items that do not depend on each other, so that several processes can share it; its
        random numbers must come from `lorae.randomness`.

    Raises
    ------
    LoraeError
        For a name that is taken or no identifier, and for a function without a docstring.

    Notes
    -----
    A run with it resumes only where it is registered again; an entry point (`lorae.plugins`) needs no call.

    Examples
    --------
    >>> def cube(matrix):
    ...     "Sum of the cubed absolute entries of M."
    ...     return matrix.abs().pow(3).sum()
    >>> register_penalty("cube", cube, "this example", of_matrix=True)
    >>> "cube" in penalty_names()
    True
    """
    if name in all_penalties():
        raise LoraeError(f"register_penalty: got {name!r}, a name that is taken; expected another")
    if not name.isidentifier():
        raise LoraeError(f"register_penalty: got {name!r}, expected letters, digits and underscores")
    summary = _summary(name, function)
    _added[name] = Penalty(name, summary, source, of_matrix, reads_back, by_items, function)


def all_penalties() -> dict[str, Penalty]:
    """Return every penalty by name; those of other packages are not imported, and have its summary and version."""
    return dict(sorted((_installed() | _built_in() | _added).items()))


def get_penalty(name: str) -> Penalty:
    """Return a penalty, imported; LoraeError for one that is unknown or ambiguous, or fails to import."""
    if name not in all_penalties():
        raise unknown_name("penalties", name, all_penalties())
    if name in plugins.installed(GROUP) and name not in _added:
        plugins.refuse_duplicates(GROUP, _built_in())
        _added[name] = _of_module(name, plugins.load(GROUP, name))
    return all_penalties()[name]


def penalty_names() -> list[str]:
    """Return the names, in alphabetical order."""
    return list(all_penalties())


def penalty_function(name: str) -> "PenaltyFunction":
    """Return the penalty of this name as a function of a `PenaltyContext`; LoraeError for an unknown one."""
    if get_penalty(name).of_matrix:
        function = matrix_function(name)
        return lambda context: function(context.matrix)
    return get_penalty(name).function or importlib.import_module(f"{__name__}.{name}").penalty


def matrix_function(name: str) -> "MatrixFunction":
    """Return a penalty of M alone as a function of M, (latent_dim, latent_dim)."""
    return get_penalty(name).function or importlib.import_module(f"{__name__}.{name}").of_matrix


def matrix_penalties(names: Iterable[str], *, proximal: bool) -> list[str]:
    """Return the names of penalties of M alone within the loss: without the nuclear norm for proximal steps."""
    by_steps = {"nuclear"} if proximal else set()
    known = all_penalties()
    return [name for name in names if name in known and name not in by_steps and get_penalty(name).of_matrix]


@cache
def _built_in() -> dict[str, Penalty]:
    """Return the penalties of this folder; LoraeError for a file that lacks a part."""
    names = (module.name for module in pkgutil.iter_modules(__path__))
    return {name: _describe(name) for name in names if not name.startswith("_")}


@cache
def _installed() -> dict[str, Penalty]:
    """Return the penalties of other packages, described by the metadata of the package."""
    points = plugins.installed(GROUP).items()
    return {name: Penalty(name, plugins.summary(point), plugins.distribution(point)) for name, point in points}


def _of_module(name: str, module: Any) -> Penalty:
    """Return the penalty in a module of another package."""
    kinds = [kind for kind in ("penalty", "of_matrix") if callable(getattr(module, kind, None))]
    source = getattr(module, "SOURCE", None)
    if not inspect.ismodule(module) or not module.__doc__ or not isinstance(source, str) or len(kinds) != 1:
        raise plugins.misfit(
            GROUP, name, "a module with a docstring, SOURCE = '...' and penalty(context) or of_matrix(matrix)"
        )
    (kind,) = kinds
    reads_back, by_items = (bool(getattr(module, constant, False)) for constant in ("READS_BACK", "BY_ITEMS"))
    summary, of_matrix = _summary(name, module), kind == "of_matrix"
    return Penalty(name, summary, source, of_matrix, reads_back, by_items, getattr(module, kind))


def _summary(name: str, documented: Any) -> str:
    """Return the first line of a docstring; LoraeError without one."""
    text = inspect.getdoc(documented)
    if not text:
        raise LoraeError(f"register_penalty: {name!r} has no docstring, expected one whose first line is a summary")
    return text.splitlines()[0].rstrip(".")


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
    summary = summary.splitlines()[0].rstrip(".")
    return Penalty(
        name,
        summary,
        source,
        "of_matrix" in functions,
        bool(constants.get("READS_BACK", False)),
        bool(constants.get("BY_ITEMS", False)),
        equation=str(constants.get("EQUATION", "")),
    )
