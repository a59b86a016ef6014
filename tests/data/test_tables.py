"""CSV and Parquet: numbers are read, everything else is refused with its line and column."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from lorae.data.tables import read_table
from lorae.errors import LoraeError
from lorae.extras import install_command

NUMBERS = [[1.5, 2.0], [-3.0, 4e5]]

# Text -> names of the columns; the numbers are always NUMBERS.
READ = {
    "header": ("a,b\n1.5,2\n-3,4e5\n", ("a", "b")),
    "no header": ("1.5,2\n-3,4e5\n", ()),
    "spaces and blank lines": ("\na, b\n\n 1.5, 2\n-3,4e5\n\n", ("a", "b")),
    "Windows, with a mark": ("\ufeffa,b\r\n1.5,2\r\n-3,4e5\r\n", ("a", "b")),
    "quoted": ('"a","b, c"\n"1.5","2"\n"-3","4e5"\n', ("a", "b, c")),
    "tabs": ("a\tb\n1.5\t2\n-3\t4e5\n", ("a", "b")),
    "semicolons": ("a;b\n1.5;2\n-3;4e5\n", ("a", "b")),
    "decimal commas": ("a;b\n1,5;2,0\n-3;4e5\n", ("a", "b")),
    "decimal commas, no header": ("1,5;2\n-3,0;4e5", ()),
    "decimal commas between tabs": ("a\tb\n1,5\t2\n-3\t4e5\n", ("a", "b")),
    "a column named like a missing value": ("na,b\n1.5,2\n-3,4e5\n", ("na", "b")),
}

REFUSED = {
    "empty": ("", "is empty"),
    "blank": (" \n\n", "is empty"),
    "header only": ("a,b\n", "holds no rows"),
    "ragged": ("a,b\n1,2\n3\n", "got 1 cells in line 3, expected 2"),
    "too many": ("1,2\n1,2,3\n", "got 3 cells in line 2, expected 2"),
    "word": ("a,b\n1,2\n1,red\n", "line 3, column 'b': got 'red', expected a number"),
    "word without a header": ("1,2\n1,red\n", "line 2, column 2: got 'red'"),
    "date": ("t\n2020-01-01\n", "line 2, column 't': got '2020-01-01'"),
    "missing": ("a,b\n1,2\n\n3,\n", "line 4, column 'b': got no value, the first of 1 missing"),
    "not a number": ("a,b\nnan,2\n1,NA\n", "line 2, column 'a': got no value, the first of 2 missing"),
    "index": (",a\n0,1\n1,2\n", "got no name for column 1.*without the index"),
    "both decimals": ("a;b\n1,5;2.5\n", "decimal commas and decimal points"),
    "thousands": ("a;b\n1.234,5;2\n", r"got '1\.234,5'"),
    "commas for both": ('a,b\n"1,5",2\n', "got '1,5'"),
    "open quotation": ('a,b\n"1,2\n3,4\n', "line 3 cannot be divided into cells.*check its quotes"),
    "endless cell": ("x" * 200_000 + ",b\n1,2\n", "line 1 cannot be divided into cells"),
    "spaces": ("1 2\n3 4\n", "line 2, .*got '3 4', expected a number between commas, semicolons or tabs"),
    "zero byte": ("a,b\n1,\0\n", "zero byte"),
}


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_numbers_are_read_with_the_names_of_their_columns(tmp_path, name, encoding):
    text, columns = READ[name]
    table = read_table(
        write(tmp_path / "a.csv", text.removeprefix("\ufeff") if encoding == "utf-16" else text, encoding)
    )
    np.testing.assert_array_equal(table.values, NUMBERS)
    assert table.columns == columns


@pytest.mark.parametrize("name", REFUSED)
def test_anything_else_is_refused_in_one_line(tmp_path, name):
    text, expected = REFUSED[name]
    with pytest.raises(LoraeError, match=rf"a\.csv: .*{expected}") as caught:
        read_table(write(tmp_path / "a.csv", text))
    assert "\n" not in str(caught.value)


def test_another_encoding_is_named_with_its_line(tmp_path):
    with pytest.raises(LoraeError, match=r"got byte 0xe9 in line 2, expected text in UTF-8"):
        read_table(write(tmp_path / "a.csv", "a,b\n1,é\n", "latin-1"))


def test_truth_values_are_0_and_1_as_in_data_frames(tmp_path):
    frame = pd.DataFrame({"a": [True, False], "b": [1, 2]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    np.testing.assert_array_equal(read_table(tmp_path / "a.csv").values, frame.to_numpy(dtype=float))
    np.testing.assert_array_equal(read_table(write(tmp_path / "b.csv", "TRUE,FALSE\nfalse,true\n")).values, np.eye(2))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_what_pandas_writes_is_read_to_the_last_bit(tmp_path, separator):
    values = np.random.default_rng(0).normal(size=(30, 4)) * 10.0 ** np.arange(-150, 150, 75)
    pd.DataFrame(values).to_csv(tmp_path / "a.csv", index=False, sep=separator)
    table = read_table(tmp_path / "a.csv")
    np.testing.assert_array_equal(table.values, values)
    assert table.columns == ()  # pandas numbers the columns that have no names


def test_parquet_holds_the_same_as_its_data_frame(tmp_path):
    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, 1.0], "c": [True, False]}, index=["x", "y"])
    frame.to_parquet(tmp_path / "a.parquet")
    table = read_table(tmp_path / "a.parquet")
    np.testing.assert_array_equal(table.values, frame.to_numpy(dtype=float))
    assert table.columns == ("a", "b", "c")


def test_a_parquet_file_takes_no_columns_from_its_folder(tmp_path):
    (tmp_path / "year=2020").mkdir()
    pd.DataFrame({"a": [1.0, 2.0]}).to_parquet(tmp_path / "year=2020" / "a.parquet")
    assert read_table(tmp_path / "year=2020" / "a.parquet").columns == ("a",)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" * 100])
def test_damaged_parquet_files_are_refused(tmp_path, content):
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(LoraeError, match=r"a\.parquet: not a readable \.parquet file") as caught:
        read_table(tmp_path / "a.parquet")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (["x", "y"], "column 'b' of dtype .*string"),
        (pd.to_datetime(["2020", "2021"]), "column 'b' of dtype timestamp.*seconds"),
        (pd.Categorical(["x", "y"]), "column 'b' of dtype dictionary"),
        (pd.array([1, None], dtype="Int64"), r"1 missing values in column 'b' \(first in row 1\).*drop_null"),
    ],
)
def test_columns_of_parquet_that_hold_no_numbers_are_named(tmp_path, column, expected):
    pd.DataFrame({"a": [1, 2], "b": column}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(LoraeError, match=rf"a\.parquet: got .*{expected}"):
        read_table(tmp_path / "a.parquet")


def test_without_pyarrow_parquet_is_refused_with_the_command_that_installs_it(tmp_path, monkeypatch):
    pd.DataFrame({"a": [1.0]}).to_parquet(tmp_path / "a.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(LoraeError) as error:
        read_table(tmp_path / "a.parquet")
    assert str(error.value).endswith(f"a.parquet: cannot import pyarrow.parquet; run: {install_command('data')}")


def test_csv_needs_no_further_package(tmp_path):
    path = write(tmp_path / "a.csv", READ["decimal commas"][0])
    code = (
        "import sys; sys.modules |= dict.fromkeys(['pandas', 'polars', 'pyarrow'])\n"
        f"import lorae.data.sources as s; print(s.read_items({str(path)!r}, 'x').inputs.sum())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) == np.sum(NUMBERS)
