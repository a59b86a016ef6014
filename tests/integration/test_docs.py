"""CONTRIBUTING.md and docs/architecture.md name what exists, and the snippets of pages run."""

import importlib
import re
import sys
from pathlib import Path

import pytest
import torch

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PAGES = ("CONTRIBUTING.md", "docs/architecture.md")
# Folders of the repository; other paths are those of a run folder, or patterns with a NAME to fill in.
FOLDERS = ("src/", "tests/", "docs/", "studies/", "results/", "benchmarks/", ".github/", ".ci/")
FILES = (".py", ".md", ".toml", ".txt", ".yaml", ".yml")


# Pages with snippets of Python; test_readme.py runs those of the README.
SNIPPETS = {
    page.name: re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    for page in sorted(ROOT.glob("docs/*.md"))
}


def quoted(page):
    """What stands between backquotes, without blocks of code."""
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.M | re.S)
    return re.findall(r"`([^`]+)`", text)


def paths(page):
    words = [part for word in quoted(page) for part in word.split() if not part.startswith("--")]
    found = [word for word in words if word.startswith(FOLDERS) or (word.endswith(FILES) and "/" not in word)]
    return sorted({word for word in found if not re.search(r"NAME|FILE|some_name", word)})


def dotted_names(page):
    return sorted({word for word in quoted(page) if re.fullmatch(r"(lorae|studies|benchmarks)(\.\w+)+", word)})


def resolve(name):
    """The object of a dotted name; ImportError or AttributeError where there is none."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError as error:
            if not name.startswith(str(error.name)):
                raise
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        return found
    raise ImportError(name)


@pytest.mark.parametrize("page", PAGES)
def test_paths_exist(page):
    named = paths(page)
    assert len(named) >= 8
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_dotted_names_exist(page):
    names = dotted_names(page)
    assert len(names) >= 3
    for name in names:
        assert resolve(name) is not None, name


def test_a_name_that_does_not_exist_is_found_out():
    for name in ("lorae.trainings", "lorae.training.trainer.Trainee"):
        with pytest.raises(AttributeError):
            resolve(name)


def test_the_picture_of_the_layers_is_that_of_the_contract():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = project["tool"]["importlinter"]["contracts"]
    expected = [set(re.findall(r"\w+", layer)) for layer in contract["layers"]]
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    (picture,) = re.findall(r"^```\n┌.*?\n(.*?)\n└", page, re.M | re.S)
    assert [set(re.findall(r"\w+", box)) for box in re.split(r"├─+┤", picture)] == expected
    # On a telephone, 390 pixels wide, a line of a code block has some 42 characters.
    assert max(map(len, picture.splitlines())) <= 42
    table = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", page.split("## The way")[0], re.M))))
    assert table == set().union(*expected)


def test_the_way_of_a_batch_is_read_in_at_most_five_files():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    (section,) = re.findall(r"## The way of a batch\n(.*?)\n## ", page, re.S)
    assert 1 <= len(re.findall(r"^\d+\. `src/", section, re.M)) <= 5


def test_the_glossary_has_each_term_once():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    terms = re.findall(r"^\| ([^|]+?) \|", page.split("## Glossary")[1], re.M)[2:]
    assert len(terms) == len(set(terms)) >= 15


@pytest.mark.parametrize("page", [page for page, snippets in SNIPPETS.items() if snippets])
def test_the_snippets_of_a_page_run_one_after_the_other(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names: dict[str, object] = {}
    for snippet in SNIPPETS[page]:
        exec(compile(snippet, page, "exec"), names)
