"""Each script in examples/ runs, offline and alone, and the assertions in it hold."""

import ast
import importlib.util
import runpy
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples"
# Those of the gallery are measured too, with the settings of their pages: minutes in all.
EXAMPLES = [
    *sorted(FOLDER.glob("*.py")),
    *(pytest.param(path, marks=pytest.mark.slow) for path in sorted(FOLDER.glob("gallery/*.py"))),
]
# What `pip install lorae` brings; examples that import something else are skipped where that is missing.
ALWAYS = {"PIL", "lorae", "matplotlib", "numpy", "sklearn", "torch", *sys.stdlib_module_names}


def missing_packages(tree):
    nodes = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    names = {
        name
        for node in nodes
        for name in ([a.name for a in node.names] if isinstance(node, ast.Import) else [node.module])
    }
    roots = {name.split(".")[0] for name in names} - ALWAYS
    return sorted(name for name in roots if importlib.util.find_spec(name) is None)


def test_there_are_examples():
    assert "own_loop.py" in {path.name for path in FOLDER.rglob("*.py")}


@pytest.mark.filterwarnings("ignore:::lightning")  # it uses what torch has deprecated, and advises on workers
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_and_its_assertions_hold(path, tmp_path, monkeypatch):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), "expected a first line that says what the example shows"
    assert any(isinstance(node, ast.Assert) for node in ast.walk(tree)), "expected an assertion about the result"
    missing = missing_packages(tree)
    if missing:
        pytest.skip(f"{path.name} needs {', '.join(missing)}")
    monkeypatch.chdir(tmp_path)  # what it writes stays here
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setattr(sys, "argv", [str(path)])
    runpy.run_path(str(path), run_name="__main__")
