"""CITATION.cff, `lorae cite` and the README cite the same works."""

import json
import re
from pathlib import Path

import pytest
import yaml

import lorae

ROOT = Path(__file__).parents[2]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
(PAPER,) = CITATION["references"]


def entries(bibtex):
    """BibTeX entries by type, as mappings of their fields, whose values are in braces."""
    found = {}
    for kind, body in re.findall(r"^@(\w+)\{\w+,\n(.*?)\n\}$", bibtex, re.S | re.M):
        fields = re.findall(r"^  (\w+) *= \{(.*?)\}(?:,|\Z)$", body, re.S | re.M)
        found[kind] = {name: " ".join(value.split()) for name, value in fields}
    return found


def cited(run_cli):
    code, printed, _ = run_cli("cite")
    assert code == 0
    return printed.rstrip("\n")


def test_the_entry_of_the_paper_is_that_of_the_citation_file(run_cli):
    paper = entries(cited(run_cli))["inproceedings"]
    authors = " and ".join(f"{person['family-names']}, {person['given-names']}" for person in PAPER["authors"])
    assert paper == {
        "title": PAPER["title"],
        "author": authors,
        "booktitle": PAPER["collection-title"],
        "year": str(PAPER["year"]),
        "eprint": PAPER["identifiers"][0]["value"].removeprefix("arXiv:"),
        "archiveprefix": "arXiv",
    }


def test_the_entry_of_the_package_is_that_of_the_citation_file(run_cli):
    package = entries(cited(run_cli))["misc"]
    assert package == {
        "title": CITATION["title"],
        "author": f"{{{CITATION['authors'][0]['name']}}}",
        "note": f"Python package, version {CITATION['version']}",
    }


def test_json_holds_the_same_text(run_cli):
    _, printed, _ = run_cli("cite", "--json")
    assert json.loads(printed) == {"bibtex": cited(run_cli)}


def test_entries_in_pages_are_those_of_the_command(run_cli):
    known = cited(run_cli)
    pages = [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]
    shown = [block for page in pages for block in re.findall(r"```bibtex\n(.*?)```", page.read_text(), re.S)]
    for entry in (entry for block in shown for entry in block.strip().split("\n\n")):
        assert entry in known


def test_the_citation_file_has_what_its_format_requires():
    """The keys that version 1.2.0 of the Citation File Format requires, and no key that it does not know."""
    known = {"cff-version", "message", "title", "type", "version", "license", "authors", "references"}
    assert set(CITATION) == known
    assert CITATION["cff-version"] == "1.2.0"
    assert CITATION["type"] == "software"
    assert {"type", "title", "authors"} <= set(PAPER)
    assert PAPER["type"] == "conference-paper"
    assert all(set(person) == {"family-names", "given-names"} for person in PAPER["authors"])


def test_the_version_is_stated_once_and_repeated_truly(run_cli, capsys):
    assert CITATION["version"] == lorae.__version__
    changes = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert lorae.__version__ == next(title for title in changes if title != "Unreleased")
    stated = re.findall(r'^version = .*|^dynamic = .*"version".*', (ROOT / "pyproject.toml").read_text(), re.M)
    assert stated == ['dynamic = ["version", "readme"]']
    with pytest.raises(SystemExit):
        run_cli("--version")
    assert capsys.readouterr().out == f"lorae {lorae.__version__}\n"
