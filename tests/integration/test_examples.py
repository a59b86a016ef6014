"""Every file of examples/ runs in an empty folder, without network, and checks itself by its assertions."""

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))
# Comes with every installation; examples that import something else are skipped where that is missing.
ALWAYS = {"lorae", "numpy", "sklearn", "torch", *sys.stdlib_module_names}


def missing_packages(tree):
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
    names = [alias.name for node in imports for alias in node.names]
    names += [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    roots = {name.split(".")[0] for name in names} - ALWAYS
    return sorted(root for root in roots if importlib.util.find_spec(root) is None)


def test_there_are_examples():
    assert "own_loop" in {path.stem for path in EXAMPLES}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path, tmp_path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), "expected a first line that says what the example shows"
    assert any(isinstance(node, ast.Assert) for node in ast.walk(tree)), "expected an assertion about the result"
    missing = missing_packages(tree)
    if missing:
        pytest.skip(f"{path.name} needs {', '.join(missing)}")
    environment = os.environ | {"MPLBACKEND": "agg"}
    result = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", str(path)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert result.returncode == 0, result.stderr
