"""What the README shows is what happens."""

import ast
import importlib.util
import json
import re
import shlex
from pathlib import Path

import pytest

from lorae.cli import parser as cli
from tests.integration.test_custom_penalty import FROBENIUS
from tests.studies.conftest import PINNED

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


@pytest.mark.parametrize("example", PYTHON)
def test_the_python_examples_run(example, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) == example.count("print(")


def test_the_penalty_example_is_the_one_that_the_tests_add():
    codes = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "own_penalty.md").read_text(), re.S)
    (penalty,) = (code for code in codes if "def penalty" in code)
    assert ast.dump(ast.parse(penalty)) == ast.dump(ast.parse(FROBENIUS))


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_understood(command):
    words = [word.replace("frobenius", "nuclear") for word in shlex.split(command)[1:]]
    if words == ["--help"]:
        return
    assert cli.build_parser().parse_args(words).command


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "results/README.md",
        *(f"docs/{path.name}" for path in ROOT.glob("docs/*.md")),
    ],
)
def test_make_targets_exist(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", (ROOT / page).read_text(), re.M))
    studies = {name.removeprefix("study-").replace("-", "_") for name in named if name.startswith("study-")}
    assert {name for name in named if not name.startswith("study-")} <= targets
    assert all((ROOT / "studies" / f"{name}.py").is_file() for name in studies)


def test_make_help_names_every_target():
    makefile = (ROOT / "Makefile").read_text()
    (phony,) = re.findall(r"^\.PHONY: (.*)", makefile, re.M)
    explained = re.findall(r"^([a-z%-]+):.* ## ", makefile, re.M)
    assert set(explained) == {*phony.split(), "study-%"}


def test_pictures_are_there():
    for path in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README):
        assert (ROOT / path).is_file(), path


PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    *ROOT.glob("docs/**/*.md"),
    ROOT / "results" / "README.md",
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    broken = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert not broken


def test_the_picture_of_pca_is_drawn_from_its_record(tmp_path, monkeypatch):
    module = script("benchmarks/pca.py")
    drawn = []
    for name in ("first.png", "second.png"):
        monkeypatch.setattr(module, "PICTURE", tmp_path / name)
        module.draw(json.loads(module.RECORD.read_text())["digits"])
        drawn.append((tmp_path / name).read_bytes())
    assert drawn[0] == drawn[1]
    if PINNED:
        assert drawn[0] == module.RECORD.with_suffix(".png").read_bytes()


def test_the_speeds_are_those_of_the_records():
    module = script("benchmarks/throughput.py")
    assert list(module.RECORDS.glob("*.json"))
    for path in module.RECORDS.glob("*.json"):
        record = json.loads(path.read_text())
        page = module.PAGE.read_text()
        assert module.table(record["summary"]) in page
        assert module.describe(record["machine"]) in page


def test_nothing_is_left_to_fill_in():
    assert not re.findall(r"\b[A-Z]+_TIME\b|\bTODO\b|\bTBD\b", README)
