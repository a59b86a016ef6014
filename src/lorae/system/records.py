"""Records in JSON: read from bytes of any origin, checked by a type and, where they have one, by a checksum."""

import dataclasses
import functools
import json
import math
import types
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints, is_typeddict

from lorae.errors import LoraeError, shown
from lorae.system.faults import reason_of
from lorae.system.files import LARGEST_RECORD, read_file
from lorae.validation import LARGEST_WHOLE

Record = dict[str, Any]
Plain = TypeVar("Plain")

# Key of the checksum of all other entries. Space, as in an indentation, does not count.
KEY = "crc32"

WORDS = {
    int: "a whole number",
    float: "a finite number",
    str: "text",
    bool: "true or false",
    type(None): "null",
    list: "a list",
    tuple: "a list",
    dict: "an object",
}


class RecordError(LoraeError):
    """A record that is no JSON, has changed since it was written, or lacks a value of the type that is needed."""


def sealed_record(record: Mapping[str, Any]) -> Record:
    """Return a record with a checksum of its other entries as the last one."""
    entries = {name: value for name, value in record.items() if name != KEY}
    return {**entries, KEY: _checksum(entries)}


def record_text(record: Mapping[str, Any], indent: int | None = None) -> str:
    """Return the JSON text of a record with a checksum, which `parse_record` reads: one line, unless it is indented."""
    return json.dumps(sealed_record(record), indent=indent) + "\n"


def parse_record(content: bytes | str, expected: Any, origin: object) -> Record:
    """Return the record in a text, without its checksum.

    expected: a TypedDict, besides whose keys others are kept, or a dataclass
    origin: the file, perhaps with a line, for messages

    Raises RecordError in one line for everything else: no JSON, a checksum of another content, a missing key, a value
    of another type, a number that is not finite.

    >>> parse_record('{"a": 1}', dict[str, str], "file")
    Traceback (most recent call last):
    ...
    lorae.system.records.RecordError: file: a is 1, expected text
    """
    try:
        record = json.loads(content)
        if isinstance(record, dict) and KEY in record:
            found = record.pop(KEY)
            if found != _checksum(record):
                raise RecordError(
                    f"{origin}: has changed since it was written (its checksum is {shown(found)}); restore it, or "
                    f"delete its key {KEY} to use it as it is"
                )
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is one of them
        raise RecordError(f"{origin}: not readable as JSON ({reason_of(error)})") from None
    check_type(record, expected, origin)
    plain: Record = record
    return plain


def read_record_file(path: Path, expected: Any) -> Record:
    """Return the record of a file, as `parse_record`; a folder, a pipe or a huge file is refused in one line too."""
    try:
        content = read_file(path, LARGEST_RECORD)
    except OSError as error:
        raise RecordError(f"{path}: not readable as JSON ({reason_of(error)})") from None
    return parse_record(content, expected, path)


def check_type(value: Any, expected: Any, origin: object) -> None:
    """Raise RecordError with the first part of a plain value that has not the expected type.

    expected: a type of JSON as in `list[dict[str, int | None]]`, a TypedDict, or a dataclass, which has no further
        keys; `float` takes whole numbers too
    """
    try:
        fault = _fault(value, expected, ())
    except RecursionError:
        raise RecordError(f"{origin}: its values are nested too deeply") from None
    if fault is not None:
        place = _short_name(".".join(map(str, fault.place))) or "the content"
        raise RecordError(f"{origin}: {place} {fault.got}, expected {fault.expected}")


class _Fault(NamedTuple):
    """The place of a value in nested lists and objects, what is there, and what is expected."""

    place: tuple[str | int, ...]
    got: str
    expected: str


def _fault(value: Any, expected: Any, place: tuple[str | int, ...]) -> _Fault | None:
    kind, parts = get_origin(expected) or expected, get_args(expected)
    if kind is Any:
        return None
    if kind in (Union, types.UnionType):
        faults = [_fault(value, part, place) for part in parts]
        found = [fault for fault in faults if fault is not None]
        if len(found) < len(faults):
            return None
        nested = max(found, key=lambda fault: len(fault.place))
        return nested if len(nested.place) > len(place) else _Fault(place, _is(value), _words(expected))
    if kind is Literal:
        return (
            None if value in parts and type(value) in map(type, parts) else _Fault(place, _is(value), _words(expected))
        )
    if not _fits(value, dict if _is_table(kind) else kind):
        return _Fault(place, _is(value), _words(kind))
    named: list[tuple[str | int, Any, Any]]
    if _is_table(kind):
        missing = sorted(_required(kind) - value.keys())
        if missing:
            return _Fault((*place, missing[0]), "is missing", _words(_types(kind)[missing[0]]))
        unknown = [] if is_typeddict(kind) else sorted(value.keys() - _types(kind).keys())
        if unknown:
            return _Fault((*place, unknown[0]), _is(value[unknown[0]]), f"only {', '.join(_types(kind))} there")
        named = [(name, value[name], wanted) for name, wanted in _types(kind).items() if name in value]
    elif kind is dict and parts:
        named = [(name, part, parts[1]) for name, part in value.items()]
    elif kind in (list, tuple) and parts:
        named = [(index, part, parts[0]) for index, part in enumerate(value)]
    else:
        return None
    for name, part, wanted in named:
        fault = _fault(part, wanted, (*place, name))
        if fault is not None:
            return fault
    return None


def _is_table(kind: Any) -> bool:
    return is_typeddict(kind) or dataclasses.is_dataclass(kind)


@functools.cache
def _types(kind: type) -> dict[str, Any]:
    """Return the type of each key of a TypedDict or field of a dataclass."""
    return get_type_hints(kind)


@functools.cache
def _required(kind: Any) -> frozenset[str]:
    if is_typeddict(kind):
        found: frozenset[str] = kind.__required_keys__
        return found
    unset = dataclasses.MISSING
    needed = (field for field in dataclasses.fields(kind) if (field.default, field.default_factory) == (unset, unset))
    return frozenset(field.name for field in needed)


def _fits(value: Any, kind: type) -> bool:
    if kind is int:
        return type(value) is int and abs(value) <= LARGEST_WHOLE
    if kind is float:
        return (type(value) is float and math.isfinite(value)) or _fits(value, int)
    if kind is type(None) or kind is None:
        return value is None
    if kind in (list, tuple):
        return isinstance(value, (list, tuple))
    return isinstance(value, dict) if kind is dict else type(value) is kind


def _is(value: Any) -> str:
    return f"is {shown(value)}"


def _short_name(name: str) -> str:
    return " ".join(name.split())[:80]


def _words(expected: Any) -> str:
    """Return a type in words.

    >>> _words(list[int] | None)
    'a list or null'
    """
    kind = get_origin(expected) or expected
    if kind in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(_words, get_args(expected))))
    if kind is Literal:
        return "one of " + ", ".join(map(str, get_args(expected)))
    return "any value" if kind is Any else WORDS.get(kind, "an object")


def _checksum(entries: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(entries, separators=(',', ':')).encode()):08x}"
