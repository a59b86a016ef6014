"""Pages are what their records say, and drawing them again changes no byte."""

import doctest
import importlib
import json
import os
import re
from pathlib import Path

import pytest

from lorae.reproduction.pages.render import claims_table
from studies import common, exact_rank, figures, first_look, sampling
from studies.pages import methods, results
from tests.studies.conftest import PINNED, ROOT, copy_of_the_pages

SLOW = ("studies.pages.dimension", "studies.pages.results")
QUICK = [module for module in figures.DRAWN if module.__name__ not in SLOW]


def contents(folder, pattern):
    """Path below the folder -> bytes."""
    found = [folder / "README.md", *folder.glob(f"docs/**/{pattern}"), *folder.glob(f"results/**/{pattern}")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found if path.is_file()}


@pytest.mark.parametrize("module", QUICK, ids=lambda module: module.__name__)
def test_a_page_is_drawn_from_its_records(module, pages):
    module.draw()
    assert contents(pages, "*.md") == contents(ROOT, "*.md")


def test_a_picture_is_drawn_with_the_same_bytes_each_time(pages):
    drawn = []
    for _ in range(2):
        first_look.draw()
        drawn.append((pages / first_look.PICTURE).read_bytes())
    assert drawn[0] == drawn[1]
    if PINNED:
        assert drawn[0] == (ROOT / first_look.PICTURE).read_bytes()


@pytest.mark.slow
def test_everything_is_drawn_with_the_same_bytes_each_time(tmp_path, monkeypatch):
    folders = [copy_of_the_pages(tmp_path / name) for name in ("first", "second") if (tmp_path / name).mkdir() is None]
    for folder in folders:
        monkeypatch.setattr(common, "ROOT", folder)
        figures.draw()
    first, second = (
        {path: content for path, content in contents(folder, "*.*").items() if not path.endswith(".html")}
        for folder in folders
    )
    assert first == second
    for path, content in first.items():
        beside_records = re.fullmatch(r"results/[^/]+/[^/]+\.md", path)
        if not beside_records and (PINNED or not path.endswith(".png")):
            assert content == (ROOT / path).read_bytes(), path


def test_every_study_and_page_is_among_those_that_are_drawn():
    drawn = {module.__name__ for module in figures.DRAWN}
    files = [*ROOT.glob("studies/*.py"), *ROOT.glob("studies/pages/*.py")]
    found = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files}
    # Drawn by their page, or shown by none.
    others = {f"studies.{name}" for name in ("dimension", "gallery", "paper", "paper_full", "train_digit_features")}
    parts = {f"studies.{name}" for name in ("__init__", "common", "figures", "pages.__init__")}
    assert found == drawn | others | parts


def test_the_page_of_methods_is_that_of_the_table():
    assert (ROOT / methods.PAGE).read_text() == methods.page()


def test_the_tables_of_the_exact_rank_are_drawn_from_their_records():
    page = (ROOT / exact_rank.PAGE).read_text()
    assert exact_rank.choices_table() in page
    assert exact_rank.final_table() in page


@pytest.mark.parametrize("module", [first_look, sampling])
def test_tables_are_drawn_from_the_records(module):
    records = common.read_records(module.STUDY, list(module.MODELS))
    assert [record["name"] for record in records] == list(module.MODELS)
    assert module.table(records) in (ROOT / module.PAGE).read_text()


@pytest.mark.parametrize("part", [results.QUICK, results.FULL], ids=lambda part: part.preset)
def test_the_pages_of_the_paper_are_drawn_from_their_records(part, pages):
    drawn = results.draw_part(part)
    assert drawn["pages"]
    assert {path.stem for path in (ROOT / part.pages).glob("*.md")} == set(drawn["pages"])
    for name, text in drawn["pages"].items():
        assert text == (ROOT / part.pages / f"{name}.md").read_text()
        assert text == (pages / part.pages / f"{name}.md").read_text()
    assert claims_table(drawn["claims"]) in (ROOT / results.PAGE).read_text()


def test_the_table_of_samples_is_that_of_its_page():
    assert results.table() in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("path", sorted(ROOT.glob("results/*/records.jsonl")), ids=lambda path: path.parent.name)
def test_every_record_says_what_it_is(path):
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert records
    assert {record["schema"] for record in records} == {1}
    assert all(record["result"] for record in records)
    assert all(("configuration" if "key" in record else "settings") in record for record in records)
    keys = [record.get("key", record["name"]) for record in records]
    assert len(set(keys)) == len(keys)


def test_the_folders_of_results_are_explained():
    explained = set(re.findall(r"^\| `([a-z-]+)/` \|", (ROOT / "results" / "README.md").read_text(), re.M))
    assert explained == {path.name for path in (ROOT / "results").iterdir() if path.is_dir()}


def test_every_picture_is_shown_by_a_page():
    pages = [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]
    shown = {
        os.path.normpath(page.parent / target)
        for page in pages
        for target in re.findall(r"\]\(([^)]+\.png)\)", page.read_text())
    }
    pictures = {str(path) for folder in ("docs", "results") for path in (ROOT / folder).glob("**/*.png")}
    kept = {path for path in pictures if "models" not in Path(path).parts}
    assert kept == shown & pictures
    assert kept


@pytest.mark.parametrize("name", ["studies.common"])
def test_examples_in_docstrings_are_right(name):
    outcome = doctest.testmod(importlib.import_module(name))
    assert outcome.attempted
    assert not outcome.failed
