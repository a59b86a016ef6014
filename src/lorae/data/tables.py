"""Tables of numbers in files: CSV, read without further packages, and Parquet."""

import contextlib
import csv
import io
from array import array
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lorae.errors import LoraeError
from lorae.extras import import_extra
from lorae.plain_arrays import column_names, plain_array
from lorae.system.faults import reason_of
from lorae.system.files import read_file, temporary_folder
from lorae.system.memory import check_packed, check_size
from lorae.system.stored_items import Items, identity_of, in_memory_bytes, temporary

# Rows of a large Parquet file that become an array at a time.
BATCH = 16_384
SUFFIXES = (".csv", ".tsv", ".parquet")

# In the order of preference: a line of decimal commas between semicolons has commas too.
SEPARATORS = (";", "\t", ",")
# Rows that must agree on a separator.
SAMPLE = 10
MISSING = ("", "na", "n/a", "nan", "null", "none")
TRUTH = {"true": 1.0, "false": 0.0}


class Table(NamedTuple):
    """Numbers (n, d), and the names of the columns; none for a file without a header."""

    values: Items
    columns: tuple[str, ...]


def read_table(path: Path) -> Table:
    """Return the table of a file; LoraeError with row and column for anything but numbers."""
    return _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_csv(path)


def _read_parquet(path: Path) -> Table:
    """Read one Parquet file; an index that pandas stored beside the columns is left out, as pandas does.

    A large table is read into a temporary file, some rows at a time, when its values are needed.
    """
    parquet = import_extra("pyarrow.parquet", str(path))
    with _readable_parquet(path), parquet.ParquetFile(path) as file:
        # Of this file alone: other functions of pyarrow take columns from the names of folders, and further files.
        schema, rows = file.schema_arrow, file.metadata.num_rows
        stored = (schema.pandas_metadata or {}).get("index_columns", [])
        names = [name for name in schema.names if name not in stored]
        empty = schema.empty_table().select(names)
        if rows * len(names) * 8 > in_memory_bytes():
            check_packed(rows * len(names) * 8, path.stat().st_size, f"{path}: its {rows:,} rows")
            few = plain_array(empty, path.name)
            items = temporary(
                temporary_folder(),
                (rows, *few.shape[1:]),
                few.dtype,
                lambda: _batches(parquet, path, names),
                identity_of([path]),
            )
            return Table(items, column_names(empty))
        # Columns that repeat one value take no room in the file.
        check_size(rows * len(names) * 8, f"{path}: its {rows:,} rows")
        table = file.read().select(names)
    return Table(plain_array(table, path.name), column_names(table))


def _batches(parquet: Any, path: Path, names: list[str]) -> Iterator[NDArray[Any]]:
    """Yield the rows of a Parquet file, of one row group at a time; LoraeError for anything but numbers."""
    import pyarrow

    start = 0
    with _readable_parquet(path), parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=BATCH, columns=names, use_threads=False):
            table = pyarrow.Table.from_batches([batch]).select(names)
            yield plain_array(table, f"{path.name}, rows from {start:,} on")
            start += len(table)


@contextlib.contextmanager
def _readable_parquet(path: Path) -> Iterator[None]:
    """Raise LoraeError for whatever pyarrow raises for a damaged file."""
    try:
        yield
    except LoraeError:
        raise
    except Exception as error:
        raise LoraeError(f"{path}: not a readable .parquet file ({' '.join(str(error).split())[:120]})") from None


def _read_csv(path: Path) -> Table:
    """Read rows of numbers.

    The first row is a header if one of its cells is a word, or if it counts three or more columns from 0, which pandas
    writes for columns without names. Commas, semicolons or tabs separate the cells; beside the latter two, a comma is a
    decimal one. `true` and `false` are 1 and 0.
    """
    text = _text(path)
    file, separator = io.StringIO(text, newline=""), _separator(text, path)
    reader = csv.reader(file, delimiter=separator, strict=True)
    columns: tuple[str, ...] = ()
    width, body, values, lines = 0, 0, array("d"), array("q")
    for row in _rows(reader, path):
        if width == 0:
            width = len(row)
            if any(_parsed(cell, separator) is None for cell in row):
                columns, body = _header(row, path), file.tell()
                continue
            if row == [str(place) for place in range(max(width, 3))]:
                continue
        if len(row) != width:
            raise LoraeError(
                f"{path}: got {len(row)} cells in line {reader.line_num}, expected {width} as in the first row (they "
                f"are separated by {separator!r}); complete the line or delete it"
            )
        try:
            values.extend([float(cell) for cell in row])
        except ValueError:
            numbers = [_parsed(cell, separator) for cell in row]
            if None in numbers:
                place = numbers.index(None)
                raise LoraeError(
                    f"{_place(path, reader.line_num, columns, place)}: got {row[place][:40]!r}, expected a number "
                    "between commas, semicolons or tabs; drop the column, or encode its words as numbers"
                ) from None
            values.extend(numbers)  # type: ignore[arg-type]
        lines.append(reader.line_num)
    if not lines:
        raise LoraeError(f"{path}: holds no rows, expected rows of numbers, with or without a header")
    table = np.frombuffer(values, dtype=np.float64).reshape(-1, width)
    missing = np.argwhere(np.isnan(table))
    if len(missing):
        row, place = missing[0].tolist()
        raise LoraeError(
            f"{_place(path, lines[row], columns, place)}: got no value, the first of {len(missing):,} missing ones, "
            "expected numbers; delete their rows, or fill them"
        )
    if separator != "," and text.find(",", body) >= 0 and text.find(".", body) >= 0:
        raise LoraeError(f"{path}: got decimal commas and decimal points, expected one kind; replace the other")
    return Table(table, columns)


def _rows(reader: Any, path: Path) -> Iterator[list[str]]:
    """Yield the rows of a CSV file without blank lines."""
    try:
        yield from (row for row in reader if len(row) > 1 or (row and row[0].strip()))
    except csv.Error as error:
        raise LoraeError(
            f"{path}: line {reader.line_num} cannot be divided into cells ({error}), expected CSV; check its quotes"
        ) from None


def _header(row: list[str], path: Path) -> tuple[str, ...]:
    names = tuple(name.strip() for name in row)
    if "" in names:
        raise LoraeError(
            f"{path}: got no name for column {names.index('') + 1} in the header, as of an index that was written too, "
            "expected a name for each column; write the file without the index, or name the column"
        )
    return names


def _place(path: Path, line: int, columns: Sequence[str], place: int) -> str:
    return f"{path}: line {line}, column {(columns[place] if columns else place + 1)!r}"


def _parsed(cell: str, separator: str) -> float | None:
    """Return the number of a cell, NaN for a missing one, None for a word."""
    text = cell.strip().lower()
    if text in MISSING:
        return float("nan")
    if text in TRUTH:
        return TRUTH[text]
    try:
        return float(text.replace(",", ".") if separator != "," else text)
    except ValueError:
        return None


def _separator(text: str, path: Path) -> str:
    """Return the first of SEPARATORS that divides the first rows alike, else the most frequent in the first row."""
    counts = {}
    for separator in SEPARATORS:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        rows = [len(row) for row in islice(_rows(reader, path), SAMPLE)]
        if len(set(rows)) == 1 and rows[0] > 1:
            return separator
        counts[separator] = rows[0] if rows else 0  # of a quote that is never closed
    return max(reversed(SEPARATORS), key=lambda separator: counts[separator])


def _text(path: Path) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 with its mark."""
    try:
        content = read_file(path)
    except OSError as error:
        raise LoraeError(f"{path}: cannot be read ({reason_of(error)})") from None
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise LoraeError(
            f"{path}: got byte 0x{content[error.start]:02x} in line {line}, expected text in UTF-8; save it in that "
            "encoding"
        ) from None
    if not text.strip() or "\0" in text:
        raise LoraeError(
            f"{path}: {'got a zero byte' if text.strip() else 'is empty'}, expected rows of numbers as text"
        )
    return text
