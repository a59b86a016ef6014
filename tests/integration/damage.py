"""Random damage to files: of bytes, as by a disk, and of the values of a record, as by a wrong program or a forger."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from lorae.system.records import KEY

DEEP = 10_000
# Values in the place of any other; a text of JSON each, since not all have a value in Python.
STRANGE = (
    *("null", "true", "false", "0", "-1", "1", "2", "0.5", "1e30", "-1e30", "1e400", "NaN", "-Infinity"),
    *("9" * 30, "9" * 5000, '""', '"x"', '"/dev/zero"', '"../../x"', '"' + "x" * 5000 + '"'),
    *(r'"\ud800\u0000\n[/v2]"', "[]", "{}", "[1]", "[[]]", '["a", null]', '{"": 1}', "[1e30, 1]"),
    *("[" * DEEP + "]" * DEEP, "[" * 500 + "]" * 500),
)


def damaged_bytes(content: bytes, generator: np.random.Generator) -> bytes:
    """Return a content with flipped bits, a cut, a hole, a repeated or foreign part, or nothing but such a part."""
    changed = bytearray(content)
    start, length = int(generator.integers(max(1, len(content)))), int(generator.integers(1, 65))
    match generator.integers(10):
        case 0 | 1 | 2:
            if content:
                changed[start] ^= 1 << int(generator.integers(8))
        case 3:
            changed[start : start + length] = generator.bytes(length)
        case 4:
            del changed[start:]
        case 5:
            del changed[start : start + length]
        case 6:
            changed[start : start + length] = bytes(length)
        case 7:
            changed[start:start] = changed[start : start + length]
        case 8:
            changed[start:start] = generator.bytes(length)
        case _:
            changed = bytearray(generator.bytes(int(generator.integers(200))))
            if generator.random() < 0.5:  # behind the right beginning
                changed[:0] = content[: int(generator.integers(1, 16))]
    return bytes(changed)


def forged_record(content: bytes, generator: np.random.Generator) -> bytes:
    """Return a JSON object, or lines of such, without checksums, and with a value removed, added, moved or replaced."""
    lines = content.splitlines() if content.count(b"\n{") else [content]
    index = int(generator.integers(len(lines)))
    records = [json.loads(line) for line in lines]
    for record in records:
        record.pop(KEY, None)
    places = list(_places(records[index]))
    container, key = places[int(generator.integers(len(places)))]
    strange = "a value in its place"
    match generator.integers(6):
        case 0 if isinstance(container, dict):
            del container[key]
        case 1:
            other, place = places[int(generator.integers(len(places)))]
            container[key] = json.loads(json.dumps(other[place]))
        case 2 if isinstance(container, dict):
            container["another"] = container[key]
        case _:
            container[key] = strange
    texts = [json.dumps(record) for record in records]
    texts[index] = texts[index].replace(f'"{strange}"', STRANGE[int(generator.integers(len(STRANGE)))])
    return "\n".join([*texts, ""]).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield container and key of every value within a value."""
    for key in value if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from _places(value[key])
