"""Numbers and tables as text."""

import pytest

from lorae.reports.formatting import markdown_table, mean_and_deviation


def test_a_table_has_a_header_a_rule_and_a_line_for_each_row():
    table = markdown_table(["method", "rank", "error"], [["ae", "58", "0.1"], ["lorae", "9", "0.2"]])
    assert table.split("\n") == [
        "| method | rank | error |",
        "|---|---|---|",
        "| ae | 58 | 0.1 |",
        "| lorae | 9 | 0.2 |",
    ]


def test_columns_are_aligned_and_bars_in_cells_are_escaped():
    table = markdown_table(["a", "b", "c", "|M|"], [["x|y", "", "1", "2"]], ["left", "right", "center", None])
    assert table.split("\n") == ["| a | b | c | \\|M\\| |", "|:---|---:|:---:|---|", "| x\\|y |  | 1 | 2 |"]


@pytest.mark.parametrize(
    ("values", "formats", "expected"),
    [
        ([1.0, 2.0, 3.0], (), "2.0 ± 1.0"),
        ([1.0, None, 2.0], (".3f",), "1.500 ± 0.707"),
        ([1.0, 2.0], (".3f", ".1e"), "1.500 ± 7.1e-01"),
        ([4.0], (".2f",), "4.00"),
        ([None], (), "–"),
    ],
)
def test_mean_and_deviation(values, formats, expected):
    assert mean_and_deviation(values, *formats) == expected
