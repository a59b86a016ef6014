"""The methods by name (rows in `_method_table`). Imports no torch, so that `lorae --help` starts fast."""

import contextlib

from lorae import penalties, plugins
from lorae.config._method import TERMS as TERMS
from lorae.config._method import Method as Method
from lorae.config._method import table as table
from lorae.config._method_table import METHODS as METHODS
from lorae.errors import LoraeError, unknown_name

GROUP = "lorae.methods"

# Methods of other packages that have been imported.
_added: dict[str, Method] = {}


def method_names() -> list[str]:
    """Return the names of all methods: those of the table, then those of other packages (see `lorae.plugins`)."""
    return list(dict.fromkeys([*METHODS, *plugins.installed(GROUP)]))


def get_method(name: str) -> Method:
    """Return the row of this name; LoraeError for an unknown one, and for a package that cannot be imported."""
    if name not in method_names():
        raise unknown_name("method", name, method_names())
    if name in plugins.installed(GROUP) and name not in _added:
        plugins.refuse_duplicates(GROUP, METHODS)
        row = plugins.load(GROUP, name)
        if not isinstance(row, Method) or row.name != name:
            raise plugins.misfit(GROUP, name, f"a lorae.config.methods.Method named {name!r}")
        _added[name] = row
    return _added[name] if name in _added else METHODS[name]


def _importable() -> list[Method]:
    """Return the methods of other packages; one that cannot be imported is reported where it is used."""
    for name in plugins.installed(GROUP):
        with contextlib.suppress(LoraeError):
            get_method(name)
    return list(_added.values())


def weight_names() -> list[str]:
    """Return the names of all penalties, and of the terms that bottlenecks and adversaries give by themselves."""
    terms = (name for method in _importable() for name in method.weights)
    return list(dict.fromkeys([*penalties.penalty_names(), *TERMS, *terms]))


def option_names() -> list[str]:
    """Return the numeric options of all bottlenecks; `init` and `normalize` have settings of their own."""
    rows = [*METHODS.values(), *_importable()]
    return sorted({name for method in rows for name in method.bottleneck_options} - {"init", "normalize"})


def list_methods() -> list[dict[str, str]]:
    """List every method and penalty.

    Returns
    -------
    list of dict
        For each `kind` (`method` or `penalty`), `name`, `source`, a `summary` of one line, and for methods `objective`,
        the loss in plain text.

    Examples
    --------
    >>> [row["name"] for row in list_methods() if row["kind"] == "method"][:4]
    ['ae', 'vae', 'irmae', 'lorae']
    """
    shown = ("name", "source", "summary", "objective")
    rows = [
        {"kind": "method"} | {name: getattr(method, name) for name in shown}
        for method in [*METHODS.values(), *_added.values()]
    ]
    rows += [
        {"kind": "method", "name": name, "source": plugins.distribution(point), "summary": plugins.summary(point)}
        for name, point in plugins.installed(GROUP).items()
        if name not in METHODS and name not in _added
    ]
    return rows + [
        {"kind": "penalty", "name": name, "source": penalty.source, "summary": penalty.summary}
        for name, penalty in penalties.all_penalties().items()
    ]
