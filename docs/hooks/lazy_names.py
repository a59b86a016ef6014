"""Names that `lorae` imports on first use, for the API reference, which reads the source without running it."""

import ast
from typing import Any

import griffe


class LazyNames(griffe.Extension):
    """Add an alias for each row of the table `_API` in `lorae/__init__.py`."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Read the table, whose values are the packages that hold the names."""
        if pkg.name != "lorae" or isinstance(pkg.filepath, list):
            return
        tree = ast.parse(pkg.filepath.read_text(encoding="utf-8"))
        (table,) = (
            ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "_API" for t in node.targets)
        )
        for name, package in table.items():
            pkg.set_member(name, griffe.Alias(name, f"lorae.{package}.{name}", parent=pkg))
