"""Weights in the package have a file beside them that says what they are, and the others a row in docs/licenses.md."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from lorae.config.datasets import DATASETS
from lorae.config.evaluation_settings import FEATURE_NAMES
from lorae.extras import EXTRAS
from lorae.features.digits import WEIGHTS

ROOT = Path(__file__).parents[2]
SHIPPED = [
    path for path in (ROOT / "src").rglob("*") if path.suffix in (".safetensors", ".npz", ".pt", ".pth", ".onnx")
]
PAGE = (ROOT / "docs" / "licenses.md").read_text(encoding="utf-8")


def test_the_weights_that_are_shipped_are_those_of_digits():
    assert SHIPPED == [WEIGHTS]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_weights_have_their_license_beside_them(path):
    text = path.with_name(f"{path.name}.md").read_text(encoding="utf-8")
    assert "License: MIT" in text
    assert hashlib.sha256(path.read_bytes()).hexdigest() in text


def test_the_numbers_are_those_of_the_record():
    record = json.loads((ROOT / "results" / "train-digit-features" / "records.jsonl").read_text())["result"]
    text = WEIGHTS.with_name(f"{WEIGHTS.name}.md").read_text(encoding="utf-8")
    assert f"{record['test_accuracy']:.2%}" in text
    assert record["bytes"] == WEIGHTS.stat().st_size


@pytest.mark.parametrize("name", [*FEATURE_NAMES, *DATASETS])
def test_every_network_and_data_set_has_a_row(name):
    rows = [line for line in PAGE.splitlines() if line.startswith("|") and f"`{name}`" in line.split("|")[1]]
    assert len(rows) == 1
    if name in EXTRAS.values():
        assert f"the extra `{name}`" in rows[0]


def test_the_page_names_no_other():
    named = re.findall(r"^\| `(.*?)` ", PAGE, re.M)
    assert {part for names in named for part in names.split("`, `")} == {*FEATURE_NAMES, *DATASETS}
