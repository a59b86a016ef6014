import json
import re
from typing import Any

import pytest

import lorae
from lorae.errors import LoraeError, LoraeWarning, shell_command
from lorae.reports.comparison import COLUMNS, best, lookup, marked_cells, one_protocol, rows, shown_columns
from lorae.runs.run import Run
from tests.reports.test_report import make_run

BY_KEY = {column.key: column for column in COLUMNS}


def fid(value, features="inception", weights="a.pt"):
    protocol = {"features": features, "weights": weights}
    return {name: {"value": value, "protocol": protocol} for name in ("gaussian", "floor")}


def evaluation(rank=8, mse=0.01, **more):
    return {"rank": {"rank": rank, "tolerance": 1e-3}, "reconstruction": {"mse": mse}} | more


@pytest.fixture
def make(tmp_path):
    def make(name, measured=None, **settings):
        folder = tmp_path / name
        folder.mkdir()
        settings = {"data": "mnist", "method": "lorae", "penalties": {"nuclear": 1e-3}} | settings
        (folder / "config.json").write_text(json.dumps({"settings": settings}))
        if measured is not None:
            (folder / "evaluation.json").write_text(json.dumps(measured))
        return Run(folder)

    return make


def test_rows_hold_settings_and_what_was_measured(make):
    run = make("a", evaluation(rank=12, mse=0.5, fid=fid(3.5)), method="ae", penalties={})
    (row,) = rows([run])
    assert row == {
        "run": str(run.path),
        "data": "mnist",
        "method": "ae",
        "penalties": {},
        "rank": 12,
        "test_mse": 0.5,
        "fid_gaussian": 3.5,
        "fid_floor": 3.5,
        "features": "inception a.pt",
    }
    assert json.loads(json.dumps(row)) == row


def test_a_run_without_measurements_has_a_row(make):
    (row,) = rows([make("a")])
    assert set(row) == {"run", "data", "method", "penalties"}
    assert shown_columns([row]) == []


def test_every_column_is_found_at_its_path(make):
    measured: dict[str, Any] = {"rank": {"tolerance": 1e-3}, "explained": {"rank": 1, "latent_dim": 2}}
    for number, column in enumerate(COLUMNS):
        place = measured
        for key in column.path[:-1]:
            place = place.setdefault(key, {})
        place[column.path[-1]] = number
    (row,) = rows([make("a", measured)])
    assert [row[column.key] for column in COLUMNS] == list(range(len(COLUMNS)))
    assert shown_columns([row]) == list(COLUMNS)
    assert len({column.title for column in COLUMNS}) == len(BY_KEY) == len(COLUMNS)
    assert all(column.show(0.123) for column in COLUMNS)


def test_columns_are_shown_where_one_run_has_a_value(make):
    table = rows([make("a", evaluation()), make("b", {"classification": {"100": {"mean": 0.9}}})])
    assert [column.key for column in shown_columns(table)] == ["rank", "test_mse", "accuracy_100"]


def test_runs_keep_their_order(make):
    runs = [make(name, evaluation()) for name in "bca"]
    assert [row["run"] for row in rows(runs)] == [str(run.path) for run in runs]


@pytest.mark.parametrize(("key", "expected"), [("test_mse", 0.1), ("coverage", 0.3), ("rank", None), ("kid", None)])
def test_best_goes_by_the_column(key, expected):
    table = [{"test_mse": 0.3, "coverage": 0.1, "rank": 4}, {"test_mse": 0.1, "coverage": 0.3, "rank": 5}]
    column = BY_KEY.get(key, BY_KEY["kid_gaussian"])
    assert best(table, column) == expected


def test_one_run_is_not_the_best():
    assert best([{"test_mse": 0.1}, {}], BY_KEY["test_mse"]) is None
    assert marked_cells([{"test_mse": 0.1}, {}], BY_KEY["test_mse"]) == ["0.1", ""]


def test_the_best_are_marked_and_missing_values_left_empty():
    table = [{"fid_gaussian": 12.34}, {}, {"fid_gaussian": 8.0}, {"fid_gaussian": 8.0}]
    assert marked_cells(table, BY_KEY["fid_gaussian"]) == ["12.3", "", "8.0 *", "8.0 *"]


@pytest.mark.parametrize(
    ("key", "cells"),
    [
        ("rank", ["3", "7"]),
        ("fid_floor", ["3.00", "7.00"]),
        ("accuracy_all", ["300.0%", "700.0% *"]),
        ("recall", ["3.000", "7.000 *"]),
        ("test_mse", ["3 *", "7"]),
    ],
)
def test_cells_are_written_as_the_column_says(key, cells):
    assert marked_cells([{key: 3.0}, {key: 7.0}], BY_KEY[key]) == cells


def test_zero_is_a_value(make):
    table = rows([make("a", evaluation(mse=0.0)), make("b", evaluation(mse=0.1))])
    assert marked_cells(table, BY_KEY["test_mse"]) == ["0 *", "0.1"]


def test_distances_share_a_protocol_where_data_and_network_do(make):
    same = [make(name, evaluation(fid=fid(value))) for name, value in (("a", 1), ("b", 2))]
    unmeasured = make("c", evaluation(), data="celeba")
    assert one_protocol(rows([*same, unmeasured]))
    assert not one_protocol(rows([*same, make("d", evaluation(fid=fid(1, weights="b.pt")))]))
    assert not one_protocol(rows([*same, make("e", evaluation(fid=fid(1, features="lite0")))]))
    assert not one_protocol(rows([*same, make("f", evaluation(fid=fid(1)), data="celeba")]))
    midpoints = [
        make(name, evaluation(interpolation={"value": 1.0, "protocol": {"features": features, "weights": "a.pt"}}))
        for name, features in (("g", "inception"), ("h", "lite0"))
    ]
    assert one_protocol(rows([*same, midpoints[0]]))
    assert not one_protocol(rows([*same, midpoints[1]]))
    assert not one_protocol(rows(midpoints))
    assert one_protocol(rows([unmeasured]))
    assert one_protocol([])


@pytest.mark.parametrize(
    ("path", "expected"), [(("a", "b"), 1), (("a",), {"b": 1}), (("a", "c"), None), (("a", "b", "c"), None), ((), ...)]
)
def test_lookup_gives_none_where_a_path_ends(path, expected):
    values = {"a": {"b": 1}}
    assert lookup(values, path) == (values if expected is ... else expected)


def test_a_run_that_is_not_finished_is_named_with_the_command_that_continues_it(tmp_path, run_cli):
    finished, left = make_run(tmp_path / "one"), make_run(tmp_path / "it's", finished=False)
    code, printed, errors = run_cli("compare", finished, left, "--out", tmp_path / "page.html")
    command = shell_command("resume", left)
    assert code == 0
    assert "test MSE" in printed
    assert errors == f"lorae: warning: {left} is not finished; continue it with `{command}`\n"
    with pytest.warns(LoraeWarning, match=re.escape(f"is not finished; continue it with `{command}`")):
        lorae.compare([finished, left], tmp_path / "page.html")


def test_a_damaged_evaluation_is_named(make):
    run = make("a", evaluation())
    (run.path / "evaluation.json").write_text("{")
    with pytest.raises(LoraeError, match=r"evaluation\.json: not readable"):
        rows([run])
