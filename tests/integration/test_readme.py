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


# The start of a snippet -> numbers that its output must agree with, named in the text or in a comment beside it, and
# the largest difference between two processors.
PRINTED = {
    "from sklearn.datasets import load_digits": (r"It prints about (\d+)% and (\d+)%", 2),
    "import torch": (r"print\(low_rank\.rank\(\)\)  # (\d+) of 12", 0),
}


@pytest.mark.parametrize("example", PYTHON)
def test_the_python_examples_print_what_the_text_says(example, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) == example.count("print(")
    pattern, tolerance = PRINTED[example.splitlines()[0].split(",")[0].strip()]
    (named,) = re.findall(pattern, README)
    named = [named] if isinstance(named, str) else named
    found = [int(number) for number in re.findall(r"\d+", printed)]
    assert found == [pytest.approx(int(number), abs=tolerance) for number in named]


def test_the_rank_of_the_layer_with_another_penalty_is_the_one_that_its_comment_names(capsys):
    (example,) = (code for code in PYTHON if code.startswith("import torch"))
    ((rank, penalty),) = re.findall(r"(\d+) with a penalty of (\S+)$", example, re.M)
    assert "penalty=3e-2" in example
    exec(compile(example.replace("penalty=3e-2", f"penalty={penalty}"), "README.md", "exec"), {})
    assert capsys.readouterr().out == f"{rank}\n"


def test_the_numbers_of_the_first_picture_are_those_of_its_records():
    lines = (ROOT / "results" / "first-look" / "records.jsonl").read_text().splitlines()
    records = {record["name"]: record for record in map(json.loads, lines)}
    found = {name: record["result"]["summary"] for name, record in records.items()}
    ranks = {name: summary["rank"] for name, summary in found.items()}
    text = " ".join(README.split())
    assert f"LoRAE uses {ranks['LoRAE 1e-4']} or {ranks['LoRAE 1e-3']} directions" in text
    assert records["IRMAE"]["parameters"]["bottleneck"] == 8 * 128**2
    assert f"IRMAE, which has eight matrices and no penalty, uses {ranks['IRMAE']}, with three to four times" in text
    errors = {name: summary["test_mse"] for name, summary in found.items()}
    assert [round(errors["IRMAE"] / errors[name]) for name in ("LoRAE 1e-3", "LoRAE 1e-4")] == [3, 4]


def test_the_number_of_held_out_digits_is_that_of_the_benchmark():
    benchmark = script("benchmarks/pca.py")
    (named,) = re.findall(r"Error on (\d+) held-out digits", README)
    assert int(named) == len(benchmark.split()[1])


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
