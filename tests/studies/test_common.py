"""Records of studies: written, replaced, read, and refused."""

import dataclasses
import json
import re
from types import SimpleNamespace
from typing import Any

import pytest

from lorae.config.methods import METHODS
from lorae.errors import LoraeError
from studies import common

LORAE: Any = SimpleNamespace(
    config={
        "version": "1",
        "command": "lorae train mnist --out runs/a",
        "created": "now",
        "settings": {"method": "lorae"},
        "parameters": {},
        "machine": {},
    },
    settings=SimpleNamespace(method="lorae"),
)


@pytest.fixture(autouse=True)
def _root(tmp_path, monkeypatch):
    monkeypatch.setattr(common, "ROOT", tmp_path)


def test_a_record_says_how_its_run_was_made():
    common.write_result("study", "a", LORAE, {"fid": 1.5})
    assert common.read_record("study", "a") == {
        "schema": 1,
        "name": "a",
        "version": "1",
        "command": "lorae train mnist",
        "created": "now",
        "settings": {"method": "lorae"},
        "parameters": {},
        "machine": {},
        "revision": 1,
        "result": {"fid": 1.5},
    }


def test_a_record_replaces_the_earlier_one_of_its_name_and_no_other():
    for name, value in (("b", 1), ("a", 2), ("b", 3)):
        common.write_result("study", name, LORAE, {"fid": value})
    lines = common.records_path("study").read_text().splitlines()
    assert [(record["name"], record["result"]["fid"]) for record in map(json.loads, lines)] == [("b", 3), ("a", 2)]
    assert [record["name"] for record in common.read_records("study", ["a", "c", "b"])] == ["a", "b"]


def test_a_record_of_an_earlier_revision_is_made_anew_and_never_drawn(tmp_path, monkeypatch):
    common.write_records("study", [{"name": "A run, wide", "settings": {"method": "lorae"}}])
    assert common.has_record("study", "A run, wide")
    assert not common.has_record("study", "another")
    assert common.read_record("study", "A run, wide") == common.read_records("study", ["A run, wide"])[0]
    monkeypatch.setitem(METHODS, "lorae", dataclasses.replace(METHODS["lorae"], revision=2))
    assert not common.has_record("study", "A run, wide")
    message = (
        f"{tmp_path}/results/study/records.jsonl: the record 'A run, wide' predates the current revision of the method "
        "lorae; run `make study-study`"
    )
    for read in (
        lambda: common.read_record("study", "A run, wide"),
        lambda: common.read_records("study", ["A run, wide"]),
    ):
        with pytest.raises(LoraeError, match=rf"^{re.escape(message)}$"):
            read()
    trained = []
    monkeypatch.setattr(common.lorae, "train", lambda data, out, **settings: trained.append(out))
    common.finished_run("study", "A run, wide", method="lorae")
    common.finished_run("study", "A run, wide", method="ae")
    assert trained == [tmp_path / "runs" / "study" / name for name in ("a-run-wide-revision-2", "a-run-wide")]


def test_records_that_cannot_be_used_are_refused(tmp_path):
    path = f"{tmp_path}/results/study/records.jsonl"
    with pytest.raises(LoraeError, match=rf"^{re.escape(path)}: no record 'a'; run `make study-study`$"):
        common.read_record("study", "a")
    common.write_result("study", "a", LORAE, {})
    with pytest.raises(LoraeError, match=rf"^{re.escape(path)}: the study has no model a; delete the line$"):
        common.read_records("study", ["b"])
    common.records_path("study").write_text('{"schema": 2, "name": "a"}\n')
    with pytest.raises(LoraeError, match=rf"^{re.escape(path)}: line 1 has schema 2, expected 1$"):
        common.read_record("study", "a")


def test_a_section_is_replaced_and_the_rest_of_the_page_stays(tmp_path):
    (tmp_path / "page.md").write_text("before\n<!-- a -->\nold\n<!-- end of a -->\nafter\n")
    common.write_section("page.md", "a", "new")
    assert (tmp_path / "page.md").read_text() == "before\n<!-- a -->\nnew\n<!-- end of a -->\nafter\n"


@pytest.mark.parametrize(
    ("words", "called"),
    [
        ([], [["a", "b"], "drawn"]),
        (["--parts", "b"], [["b"], "drawn"]),
        (["--draw-only"], ["drawn"]),
    ],
)
def test_the_command_line_of_a_study(words, called, monkeypatch):
    found: list[Any] = []
    monkeypatch.setattr("sys.argv", ["study", *words])
    common.run_study("A study.", found.append, lambda: found.append("drawn"), ("parts", ["a", "b"]))
    assert found == called
