"""Records of JSON are checked by a type and by a checksum; the first fault is one line."""

import json
import math
from dataclasses import dataclass, field
from typing import Literal, TypedDict

import pytest

from lorae.system.records import KEY, RecordError, check_type, parse_record, read_record_file, sealed_record


class Inner(TypedDict, total=False):
    kind: Literal["a", "b"]
    sizes: list[int]


class Outer(TypedDict):
    name: str
    inner: Inner
    error: float | None


@dataclass
class Table:
    shape: tuple[int, ...]
    options: dict[str, bool] = field(default_factory=dict)


GOOD = {"name": "x", "inner": {"kind": "a", "sizes": [1, 2]}, "error": 0.5, "more": [None]}


def changed(**entries):
    return GOOD | entries


@pytest.mark.parametrize("record", [GOOD, changed(error=None), changed(error=3), changed(inner={})])
def test_values_of_the_type_pass_and_further_keys_are_kept(record):
    assert parse_record(json.dumps(record), Outer, "file") == record


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ([1], "file: the content is [1], expected an object"),
        ({"name": "x", "inner": {}}, "file: error is missing, expected a finite number or null"),
        (changed(name=1), "file: name is 1, expected text"),
        (changed(name=True), "file: name is True, expected text"),
        (changed(error="0.5"), "file: error is '0.5', expected a finite number or null"),
        (changed(error=math.nan), "file: error is nan, expected a finite number or null"),
        (changed(error=10**400), "file: error is 10000"),
        (changed(inner={"sizes": [1, 1e30]}), "file: inner.sizes.1 is 1e+30, expected a whole number"),
        (changed(inner={"sizes": [1, True]}), "file: inner.sizes.1 is True, expected a whole number"),
        (changed(inner={"sizes": [2**63]}), "file: inner.sizes.0 is 9223372036854775808, expected a whole number"),
        (changed(inner={"kind": "c"}), "file: inner.kind is 'c', expected one of a, b"),
        (changed(inner={"kind": "x" * 10**6}), "file: inner.kind is 'xxxxxxx"),
    ],
)
def test_the_first_value_of_another_type_is_named_in_one_line(record, message):
    with pytest.raises(RecordError) as caught:
        parse_record(json.dumps(record), Outer, "file")
    assert str(caught.value).startswith(message)
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "{", '{"a": 1,}', "[" * 10_000, '{"a":' * 10_000, b"\xff\xfe", '{"a": ' + "1" * 5000]
)
def test_no_json_is_one_line(text):
    with pytest.raises(RecordError, match=r"^file: not readable as JSON \(.*\)$"):
        parse_record(text, dict, "file")


def test_nesting_below_the_limit_of_python_is_one_line_or_read():
    for depth in (100, 900):
        parse_record('{"a": ' + "[" * depth + "]" * depth + "}", dict, "file")


def test_a_dataclass_has_its_fields_and_no_others():
    check_type({"shape": [1, 2], "options": {"a": True}}, Table, "file")
    for record, message in (
        ({}, "shape is missing, expected a list"),
        ({"shape": 3}, "shape is 3, expected a list"),
        ({"shape": [1.0]}, r"shape\.0 is 1\.0, expected a whole number"),
        ({"shape": [1], "options": {"a": 1}}, r"options\.a is 1, expected true or false"),
        ({"shape": [1], "other": 1}, "other is 1, expected only shape, options there"),
    ):
        with pytest.raises(RecordError, match=f"^file: {message}$"):
            check_type(record, Table, "file")


def test_every_change_of_a_sealed_record_is_noticed_or_changes_nothing():
    text = json.dumps(sealed_record(GOOD | {"é": "ü", "n": 1e-300}), indent=1).encode()
    expected = parse_record(text, dict, "file")
    refused = 0
    for place in range(len(text)):
        for bit in range(8):
            damaged = bytearray(text)
            damaged[place] ^= 1 << bit
            try:
                found = parse_record(bytes(damaged), dict, "file")
            except RecordError:
                refused += 1
                continue
            # A damaged name of the checksum is a key more.
            assert {name: value for name, value in found.items() if name in expected} == expected
            assert len(found) <= len(expected) + 1
    assert refused > 6 * len(text)


def test_a_sealed_record_can_be_sealed_again_and_its_checksum_removed():
    sealed = sealed_record(GOOD)
    assert sealed_record(sealed) == sealed
    assert list(sealed)[-1] == KEY
    edited = {name: value for name, value in sealed.items() if name != KEY} | {"name": "y"}
    assert parse_record(json.dumps(edited), Outer, "file")["name"] == "y"
    with pytest.raises(RecordError, match=r"file: has changed since it was written .*; restore it, or delete its key"):
        parse_record(json.dumps(sealed | {"name": "y"}), Outer, "file")


def test_a_file_that_cannot_be_read_is_one_line(tmp_path):
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(RecordError, match="not readable as JSON"):
            read_record_file(path, dict)
