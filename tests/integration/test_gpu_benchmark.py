"""The script for a GPU, in tiny sizes on a CPU, and the page that is drawn from its records."""

import json
import subprocess
import sys

from benchmarks.gpu import page
from benchmarks.gpu.__main__ import PARTS
from benchmarks.gpu.records import Records
from studies import common
from tests.studies.conftest import ROOT, copy_of_the_pages


def run(out, *words):
    command = [sys.executable, "-m", "benchmarks.gpu", "--smoke", "--minutes", "15", "--out", str(out), *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_every_part_runs_and_leaves_records_that_are_not_taken_again(tmp_path):
    result = run(tmp_path)
    log = (tmp_path / "log.txt").read_text()
    assert result.returncode == 0, result.stderr
    records = Records(tmp_path).all()
    assert not [record for record in records if "error" in record], log
    assert {record["part"] for record in records} == {part.name for part in PARTS}, log
    assert {(record["schema"], record["card"]) for record in records} == {(1, "none (CPU)")}
    assert len(list(tmp_path.iterdir())) <= 8
    again = Records(tmp_path, "tests")
    again.measure("pytest -m gpu", lambda: {"value": 1 / 0})
    assert again.has("pytest -m gpu")


def test_a_measurement_that_fails_is_a_record_and_is_taken_again(tmp_path):
    records = Records(tmp_path, "part")
    records.measure("one", lambda: {"value": 1 / 0})
    assert "ZeroDivisionError" in records.all()[0]["error"]
    records.measure("one", lambda: {"value": 2})
    (record,) = records.all()
    assert record["result"]["value"] == 2
    with records.path.open("a") as file:
        file.write(json.dumps(record)[:40])  # cut off while it was written
    assert records.all() == [record]


def test_the_page_is_drawn_from_its_records(tmp_path, monkeypatch):
    monkeypatch.setattr(common, "ROOT", copy_of_the_pages(tmp_path))
    page.draw()
    for path in (page.PAGE, page.RESULTS):
        assert (tmp_path / path).read_text() == (ROOT / path).read_text()
