"""The benchmark with known truth: its plan, its tables and its command."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lorae.cli import parser as cli
from lorae.config import methods
from lorae.config.resolution import resolve
from lorae.config.settings import Settings
from lorae.errors import LoraeError
from lorae.plotting.dimensions import plot_dimensions
from lorae.reproduction import run as paper
from lorae.reproduction.dimension import benchmark as dimension
from lorae.reproduction.dimension import estimators as estimates
from lorae.reproduction.dimension.benchmark import ESTIMATORS, PRESETS, SOURCES, WEIGHT_FACTORS, Preset, plan
from lorae.reproduction.dimension.tables import Estimate, markdown, shares_table, shares_within_one, summary
from lorae.reproduction.jobs.store import ResultStore

ROOT = Path(__file__).parents[2]
TINY = Preset(60, epochs=1, image_epochs=1, seeds=1, sources=("linear-5", "shapes-2"), weight_factors=(1.0,))


# The plan


@pytest.mark.parametrize(("preset", "seeds"), [("smoke", None), ("quick", None), ("quick", 5), ("paper", None)])
def test_every_source_meets_every_estimator_weight_and_seed(preset, seeds):
    chosen = PRESETS[preset]
    found = plan(chosen, seeds)
    weighted = [name for name, estimator in ESTIMATORS.items() if estimator.default_weight is not None]
    assert weighted == ["lorae", "lorae+", "irmae-wd", "least-volume"]
    of_a_source = len(weighted) * len(chosen.weight_factors) + len(ESTIMATORS) - len(weighted)
    assert len(found) == of_a_source * len(chosen.sources) * (seeds or chosen.seeds)
    assert len({job.key for job in found}) == len({job.name for job in found}) == len(found)


def test_the_issue_is_covered():
    assert {SOURCES[name].family for name in PRESETS["quick"].sources} == {"linear", "swiss-roll", "warped", "shapes"}
    shapes = [source.dimension for source in SOURCES.values() if source.family == "shapes"]
    assert shapes == [2, 3, 4, 5, 6, 7]
    assert set(PRESETS["paper"].sources) == set(SOURCES)
    for preset in ("quick", "paper"):
        assert (PRESETS[preset].seeds, len(PRESETS[preset].weight_factors)) == (3, 5)


@pytest.mark.parametrize("name", ["lorae", "lorae+", "irmae-wd", "least-volume"])
def test_weights_span_two_decades_around_the_default(name):
    default = methods.METHODS[name].weights[methods.METHODS[name].main]
    weights = sorted(
        job.configuration["settings"]["penalties"][methods.METHODS[name].main]
        for job in plan(dataclasses.replace(PRESETS["quick"], sources=("warped-3",), seeds=1))
        if job.configuration["estimator"]["name"] == name
    )
    assert len(weights) == len(WEIGHT_FACTORS)
    assert weights[-1] / weights[0] == pytest.approx(100)
    assert weights[2] == pytest.approx(default)
    np.testing.assert_allclose(np.diff(np.log10(weights)), 0.5, atol=0.01)


@pytest.mark.parametrize("source", ["linear-5", "shapes-2"])
def test_settings_are_complete(source):
    """Given again, they resolve to themselves: nothing is left to defaults that may change."""
    kind, shape = SOURCES[source].kind_and_shape
    for job in plan(dataclasses.replace(TINY, sources=(source,))):
        settings = job.configuration["settings"]
        if job.configuration["estimator"]["reads"] == "items":
            assert settings == {"test_fraction": dimension.TEST_FRACTION}
            continue
        resolved = resolve(Settings.from_values(settings, lambda _: "test"), kind, shape).to_json()
        assert {name: resolved[name] for name in settings} == settings
        others = {name: value for name, value in resolved.items() if name not in settings}
        assert others == {name: value for name, value in Settings().to_json().items() if name in others}
    assert json.loads(json.dumps(settings)) == settings


@pytest.mark.parametrize(
    "change", [{"n": 61}, {"epochs": 2}, {"weight_factors": (2.0,)}, {"sources": ("linear-5-noise", "shapes-3")}]
)
def test_the_keys_change_with_the_configuration(change):
    before = {job.key for job in plan(TINY)}
    after = plan(dataclasses.replace(TINY, **change))
    changed = [job for job in after if job.key not in before]
    same = [job.configuration for job in after if job.key in before]
    assert changed
    # What does not depend on it stays: estimates without training on epochs, images on the epochs of vectors.
    if "epochs" in change:
        assert all(
            configuration["estimator"]["reads"] == "items" or "factors" in configuration["data"]
            for configuration in same
        )
        assert len(same) == len(ESTIMATORS) + 4
    if "weight_factors" in change:
        assert {configuration["estimator"]["name"] for configuration in same} == set(ESTIMATORS) - {
            "lorae",
            "lorae+",
            "irmae-wd",
            "least-volume",
        }


def test_another_default_of_a_method_is_another_job(monkeypatch):
    before = {job.name: job.key for job in plan(TINY)}
    other = dataclasses.replace(methods.METHODS["irmae"], noise=0.1)
    monkeypatch.setitem(methods.METHODS, "irmae", other)
    changed = {job.name for job in plan(TINY) if job.key != before[job.name]}
    assert changed == {"linear-5 irmae seed 0", "shapes-2 irmae seed 0"}


# The tables


def rows_of(method, values, data="warped-5", dimension=5, factors=None):
    factors = factors or [None] * len(values)
    return [
        Estimate(data, "warped", dimension, 0.0, method, factor, seed, value)
        for seed, (value, factor) in enumerate(zip(values, factors, strict=True))
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([4, 5, 9], "5 [4-9]"),
        ([4, 5, 6, 9], "5.5 [4-9]"),
        ([5, 5, 5], "5"),
        ([4.9349, 5.12, 5.26], "5.1 [4.9-5.3]"),
        ([4.98, 5.02], "5"),
        ([7, None, 9, None, 9], "9 [7-9], 2 diverged"),
        ([None, None], "2 diverged"),
    ],
)
def test_a_cell_of_the_table(values, expected):
    assert summary(rows_of("lorae", values)) == expected


def test_shares_count_estimates_at_most_one_away():
    rows = [
        *rows_of("a", [3.9, 4, 5, 6, 6.1]),
        *rows_of("b", [5, None]),
        *rows_of("a", [2], data="swiss-roll", dimension=2),
        *rows_of("b", [9], data="swiss-roll", dimension=2),
    ]
    assert shares_within_one(rows) == {"a": 4 / 6, "b": 1 / 3}
    assert markdown(rows).splitlines() == [
        "| data | dimension | a | b |",
        "|---|---|---|---|",
        "| warped-5 | 5 | 5 [3.9-6.1] | 5, 1 diverged |",
        "| swiss-roll | 2 | 2 | 9 |",
        "| **within 1** |  | **67%** | **33%** |",
    ]


def test_shares_are_told_apart_by_kinds_of_data():
    pictures = [dataclasses.replace(row, family="shapes") for row in rows_of("lorae", [5, 9])]
    assert shares_table([*rows_of("irmae", [9, 1]), *rows_of("lorae", [5]), *pictures]).splitlines() == [
        "| method | vectors | pictures | all |",
        "|---|---|---|---|",
        "| `lorae` | 100% | 50% | 67% |",
        "| `irmae` | 0% | – | 0% |",
    ]


def test_weights_have_a_table_of_their_own():
    rows = [*rows_of("lorae", [8, 5, 4, 1], factors=[0.1, 1.0, 0.1, 10.0]), *rows_of("irmae", [5])]
    assert markdown(rows).splitlines()[-4:] == [
        "",
        "| method | x 0.1 | x 1 | x 10 |",
        "|---|---|---|---|",
        "| lorae | 50% | 100% | 0% |",
    ]


def test_the_plot_needs_an_estimate(tmp_path):
    rows = [dataclasses.asdict(row) for row in rows_of("a", [None, 4])]
    with pytest.raises(LoraeError, match="at least one estimate"):
        plot_dimensions(rows[:1], tmp_path / "plot.png")
    assert plot_dimensions(rows, tmp_path / "plot.png").is_file()


# The command


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(PRESETS, "smoke", TINY)


def reproduce(capsys, *words):
    code = cli.main(["reproduce", *map(str, words)])
    return code, *capsys.readouterr()


def test_reproduce_writes_records_table_and_plot_and_goes_on(tiny, tmp_path, capsys, monkeypatch):
    words = ("dimension", "--preset", "smoke", "--out", tmp_path, "--workers", 1)
    code, printed, errors = reproduce(capsys, *words, "--json")
    assert (code, errors) == (0, "")
    result = json.loads(printed)
    assert result["cells"] == 2 * len(ESTIMATORS) == len(Path(result["records"]).read_text().splitlines())
    table = Path(result["table"]).read_text()
    assert table.splitlines()[0] == f"| data | dimension | {' | '.join(ESTIMATORS)} |"
    picture = np.asarray(Image.open(result["figure"]).convert("L"))
    assert (picture < 128).any()
    before = Path(result["records"]).read_bytes()

    def refuse(configuration):
        raise AssertionError("measured again")

    monkeypatch.setattr(estimates, "measure", refuse)
    code, printed, _ = reproduce(capsys, *words)
    assert code == 0
    assert "share of cells within 1" in printed
    assert str(tmp_path / "table.md") in printed
    assert Path(result["records"]).read_bytes() == before

    # A checkout holds the records alone.
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout" / "records.jsonl").write_bytes(before)
    code, printed, _ = reproduce(capsys, *words[:3], "--draw-only", "--out", tmp_path / "checkout", "--json")
    assert code == 0
    assert json.loads(printed)["within_one"] == result["within_one"]
    assert (tmp_path / "checkout" / "table.md").read_text() == table

    # More seeds ask for more.
    monkeypatch.setattr(estimates, "measure", lambda configuration: {"estimate": 100 + configuration["data"]["seed"]})
    assert json.loads(reproduce(capsys, *words, "--seeds", 2, "--json")[1])["cells"] == 2 * result["cells"]
    new = [json.loads(line)["result"]["estimate"] for line in Path(result["records"]).read_text().splitlines()]
    assert new.count(101) == result["cells"]
    assert 100 not in new


@pytest.mark.usefixtures("blank_figures")
def test_a_new_revision_of_an_estimator_counts_alone(tiny, tmp_path, capsys, monkeypatch):
    words = ("dimension", "--preset", "smoke", "--out", tmp_path, "--workers", 1)
    monkeypatch.setattr(estimates, "measure", lambda configuration: {"estimate": 5})
    result = json.loads(reproduce(capsys, *words, "--json")[1])
    monkeypatch.setitem(methods.METHODS, "rrae", dataclasses.replace(methods.METHODS["rrae"], revision=2))
    reproduce(capsys, *words, "--draw-only")
    assert "rrae" not in (tmp_path / "table.md").read_text()
    assert "pca-99" in (tmp_path / "table.md").read_text()
    measured = []
    monkeypatch.setattr(estimates, "measure", lambda configuration: measured.append(configuration) or {"estimate": 77})
    reproduce(capsys, *words)
    assert [(each["estimator"]["name"], each["estimator"]["revision"]) for each in measured] == [("rrae", 2)] * 2
    assert len(ResultStore(tmp_path).records()) == result["cells"] + 2  # nothing that was measured is lost
    reproduce(capsys, *words, "--draw-only")
    assert (tmp_path / "table.md").read_text().count("| 77 |") == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing"], "study: got 'nothing', expected one of table1, table2"),
        (["dimension", "--preset", "huge"], "preset: got 'huge', expected one of smoke, quick, paper (from --preset)"),
        (["dimension", "--seeds", "0"], "seeds: got '0', expected a whole number of at least 1 (from --seeds)"),
        (["dimension", "--workers", "x"], "workers: got 'x', expected a whole number of at least 1 (from --workers)"),
        (["dimension", "--draw-only", "--out", "nowhere"], "out: 'nowhere' holds no records.jsonl"),
        (["dimension", "--protocol", "authors_code"], "study: dimension makes its own data"),
    ],
)
def test_bad_input_is_one_line(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, printed, errors = reproduce(capsys, *words)
    assert (code, printed, len(errors.splitlines())) == (2, "", 1)
    assert message in errors
    assert not list(tmp_path.iterdir())


def test_presets_are_those_of_the_command():
    assert set(paper.PRESETS) == set(PRESETS)


# The page


def test_the_page_says_what_is_in_the_code():
    page = (ROOT / "docs" / "dimension.md").read_text()
    for name in ESTIMATORS:
        assert f"`{name}`" in page
    for source in SOURCES.values():
        assert f"`{source.family}`" in page


@pytest.mark.skipif(not (ROOT / "results" / "dimension" / "records.jsonl").exists(), reason="not measured yet")
def test_the_tables_of_the_page_are_drawn_from_the_records():
    records = ResultStore(ROOT / "results" / "dimension").records()
    rows = dimension.current_estimates(records)
    page = (ROOT / "docs" / "dimension.md").read_text()
    assert markdown(rows) in page
    assert shares_table(rows) in page
