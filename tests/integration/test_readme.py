"""What the README shows is what happens."""

import ast
import dataclasses
import importlib.util
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from lorae.cli import parser as cli
from lorae.config.methods import METHODS
from lorae.errors import LoraeError
from lorae.reproduction.pages.render import claims_table
from tests.integration.test_custom_penalty import FROBENIUS

ROOT = Path(__file__).parents[2]
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


def test_a_record_of_an_earlier_revision_is_made_anew_and_never_drawn(tmp_path, monkeypatch):
    module = script("docs/records.py")
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    monkeypatch.setattr(module, "RUNS", tmp_path / "runs")
    (tmp_path / "study").mkdir()
    path = module.record_path("study", "A run, wide")
    path.write_text(json.dumps({"name": "A run, wide", "settings": {"method": "lorae"}}))
    assert module.has_record("study", "A run, wide")
    assert not module.has_record("study", "another")
    assert module.read_record("study", "A run, wide") == module.read_records("study", ["A run, wide"])[0]
    monkeypatch.setitem(METHODS, "lorae", dataclasses.replace(METHODS["lorae"], revision=2))
    assert not module.has_record("study", "A run, wide")
    for read in (lambda: module.read_record("study", "A run, wide"), lambda: module.read_records("study", [])):
        with pytest.raises(LoraeError, match=r"^a-run-wide.json: lorae trains otherwise by now; run `make study`$"):
            read()
    trained = []
    monkeypatch.setattr(module.lorae, "train", lambda data, out, **settings: trained.append(out))
    module.finished_run("study", "A run, wide", method="lorae")
    module.finished_run("study", "A run, wide", method="ae")
    assert [out.name for out in trained] == ["a-run-wide-revision-2", "a-run-wide"]


PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/*.md"), *ROOT.glob("results/**/*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    broken = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert not broken


@pytest.mark.parametrize(
    "path", ["docs/held_slope.py", "docs/scale.py", "docs/other_features.py", "docs/before_matrix.py"]
)
def test_a_table_is_drawn_from_its_records(path):
    module = script(path)
    assert module.table() in module.PAGE.read_text()


def test_the_tables_of_the_exact_rank_are_drawn_from_their_records():
    module = script("docs/exact_rank.py")
    page = module.PAGE.read_text()
    assert module.choices_table() in page
    assert module.final_table() in page


@pytest.mark.parametrize("preset", ["quick", "paper"])
def test_the_pages_of_the_paper_are_drawn_from_their_records(preset, tmp_path, monkeypatch):
    module = script("docs/results.py")
    folder, *rest = module.PRESETS[preset]
    shutil.copytree(folder, tmp_path / "paper", ignore=shutil.ignore_patterns("models", "cells", "*.html", "*.md"))
    monkeypatch.setitem(module.PRESETS, preset, (tmp_path / "paper", *rest))
    result = module.drawn(preset)
    assert result["pages"]
    for name, paths in result["pages"].items():
        assert Path(paths["markdown"]).read_text() == (folder / f"{name}.md").read_text()
    assert claims_table(result["claims"]) in module.PAGE.read_text()


def test_the_table_of_samples_is_that_of_its_page():
    module = script("docs/results.py")
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
