"""What the README shows is what happens."""

import ast
import importlib.util
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from lorae import cli
from lorae.paper import reproduce
from lorae.paper.rendering import claims_table
from tests.test_newcomer import FROBENIUS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", README, re.S)
COMMANDS = sorted(set(re.findall(r"(?:^|`)(lorae [^\n`#]+)", README, re.M)))


def script(path):
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.syspath_prepend(str((ROOT / path).parent))  # as when it is run: it imports what lies beside it
    spec = importlib.util.spec_from_file_location("script", ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.undo()
    return module


PENALTY = next(code for code in PYTHON if "def penalty" in code)
EXAMPLES = [code for code in PYTHON if code != PENALTY]


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_python_examples_run(example, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) == example.count("print(")


def test_the_penalty_example_is_the_one_that_the_tests_add():
    assert ast.dump(ast.parse(PENALTY)) == ast.dump(ast.parse(FROBENIUS))


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_understood(command):
    words = [word.replace("frobenius", "nuclear") for word in shlex.split(command)[1:]]
    if words == ["train", "--help"]:
        return
    assert cli.build_parser().parse_args(words).command


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"make ([a-z-]+)", README)) - {"and"} <= targets


def test_pictures_are_there():
    for path in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README):
        assert (ROOT / path).is_file(), path


def test_the_page_of_methods_is_that_of_the_table():
    module = script("docs/methods_page.py")
    assert module.PAGE.read_text() == module.page()


@pytest.mark.parametrize("path", ["docs/zoo.py", "docs/tuning.py"])
def test_the_tables_of_the_zoo_are_drawn_from_their_records(path):
    module = script(path)
    assert module.table(module.rows()) in module.PAGE.read_text()


def test_the_tables_of_the_exact_rank_are_drawn_from_their_records():
    module = script("docs/exact_rank.py")
    page = module.PAGE.read_text()
    assert module.choices_table() in page
    assert module.final_table() in page


def test_the_table_of_the_encoders_scale_is_drawn_from_its_records():
    module = script("docs/scale.py")
    assert module.table() in module.PAGE.read_text()


def test_the_pages_of_the_paper_are_drawn_from_their_records(tmp_path):
    module = script("docs/results.py")
    folder = tmp_path / "paper"
    shutil.copytree(module.FOLDER, folder, ignore=shutil.ignore_patterns("models", "cells", "*.html", "*.md"))
    result = reproduce("all", preset="quick", out=folder, draw_only=True)
    for name, paths in result["pages"].items():
        assert Path(paths["markdown"]).read_text() == (module.FOLDER / f"{name}.md").read_text()
    assert claims_table(result["claims"]) in module.PAGE.read_text()
    assert module.table() in README


@pytest.mark.parametrize("path", ["docs/first_look.py", "docs/sampling.py"])
def test_tables_are_drawn_from_the_records(path):
    module = script(path)
    rows = module.rows()
    assert [row["name"] for row in rows] == list(module.MODELS)
    assert module.table(rows) in README


def test_the_speeds_are_those_of_the_records():
    module = script("benchmarks/throughput.py")
    assert list(module.RECORDS.glob("*.json"))
    for path in module.RECORDS.glob("*.json"):
        record = json.loads(path.read_text())
        assert module.table(record["summary"]) in README
        assert module.describe(record["machine"]) in README
