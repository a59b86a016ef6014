"""Pages of the smoke preset: a note, no verdicts. All other presets judge; the records here are made up."""

import re
from pathlib import Path

import pytest

from lorae.cli import parser as cli
from lorae.reproduction.dimension import benchmark
from lorae.reproduction.pages.blocks import SMOKE_TEST
from lorae.reproduction.studies import studies
from lorae.reproduction.tables.plan import fill, planned
from lorae.reproduction.tables.presets import PRESETS, StudyConfig
from lorae.reproduction.tables.published import tables
from tests.reproduction.tiny import TINY

JUDGED = ["table6", "figure2", "figure3", "theorem1", "theorem2", "proposition1"]
VERDICT = re.compile(
    r"""(\*\*|<span class="badge [a-z]+">|^  )(holds|does not hold)|same order""", re.IGNORECASE | re.MULTILINE
)


def made_up(job, number):
    """A result with the entries of every measure; numbers differ by job, so that orders can be told."""
    accuracy = {"mean": 0.5 + 0.001 * number, "values": [0.4]}
    labels = dict.fromkeys(("10", "100", "1000", "10000", "all"), accuracy)
    contrast = {
        "ratio": {"mean": 1.0 + number, "median": 1.0 + number},
        "items": {"mean": 2.0, "median": 2.0},
        "matrix_ranks": {"0.001": 8},
        "norm": 4.0,
        "norm_bound": 5.0,
        "constant": 2.0,
        "initial_norm": 8.0,
        "final_error": 0.1,
        "bound": 0.5,
        "bound_holds": True,
    }
    return {
        "measure": job.configuration.get("measure", {}).get("name"),
        "value": 10.0 + number,
        "rank": 20 + number,
        "eigenvalues": [2.0**-index for index in range(20)],
        "n": 500,
        "ranks": {"0.001": 30 - number, "1e-06": 40 - number},
        "matrix_ranks": {"0.001": 30 - number},
        "entropy_rank": 5.0,
        "contrast": contrast,
        "smallest_gradient": 1.0 / (1 + number),
        "largest_gradient": 2.0,
        "running": [[1, 2.0], [2, 1.0]],
        "pictures": {"interpolation-linear": "pictures/rows.png"},
        **labels,
    }


def drawn(name, preset, folder):
    (folder / "pictures").mkdir()
    (folder / "pictures" / "rows.png").write_bytes(b"\x89PNG")
    config = StudyConfig(preset, "paper", 1)
    jobs = studies()[name].jobs(config)
    records = {
        job.key: {"key": job.key, "configuration": job.configuration, "result": made_up(job, number)}
        for number, job in enumerate(jobs)
    }
    found = studies()[name].draw(config, records, folder)
    return found, {kind: Path(path).read_text() for kind, path in found["pages"][name].items()}


@pytest.mark.parametrize("name", JUDGED)
def test_a_smoke_page_begins_with_a_note_and_judges_nothing(name, tmp_path):
    found, texts = drawn(name, "smoke", tmp_path)
    assert found["claims"] == []
    assert found["note"] == SMOKE_TEST
    for text in texts.values():
        assert not VERDICT.search(text)
        assert "Claims are checked" not in text
        assert text.index("This is a smoke test") < text.find("<table") % len(text)
    assert texts["markdown"].split("\n\n")[1] == f"> **Note.** {SMOKE_TEST}"


@pytest.mark.parametrize("name", JUDGED)
def test_every_other_preset_judges_in_both_formats(name, tmp_path):
    found, texts = drawn(name, "quick", tmp_path)
    assert "note" not in found
    assert found["claims"]
    for text in texts.values():
        assert VERDICT.search(text)
        assert "smoke test" not in text
    plain = texts["html"].replace("&#39;", "'").replace("&lt;", "<").replace("&gt;", ">")
    for claim in found["claims"]:
        assert re.sub("`", "", claim["claim"]).split(" [")[0] in re.sub("</?code>", "", plain)


def test_the_command_prints_the_note_and_no_verdict(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("lorae.reproduction.theory.adam_convergence.STEPS", {"smoke": (1, 2)})
    words = ["reproduce", "theorem1", "--preset", "smoke", "--out", str(tmp_path), "--workers", "1"]
    assert cli.main(words) == 0
    printed = capsys.readouterr().out
    assert " ".join(printed.split()).startswith(SMOKE_TEST[:60])
    assert not VERDICT.search(printed)


def test_the_benchmark_of_dimensions_has_the_note_below_its_table(tmp_path):
    job = benchmark.plan(benchmark.PRESETS["smoke"])[0]
    records = {job.key: {"configuration": job.configuration, "result": {"estimate": 5}}}
    for preset, expected in (("smoke", True), ("quick", False)):
        found = studies()["dimension"].draw(StudyConfig(preset, "paper", 1), records, tmp_path)
        assert ("note" in found) is expected
        assert ("This is a smoke test" in Path(found["table"]).read_text()) is expected


# Trainings that fail


@pytest.mark.parametrize(
    ("results", "cell"),
    [
        (["collapsed"], "collapsed"),
        (["collapsed", "collapsed"], "collapsed"),
        ([19.0, "collapsed", 21.0], "20.0 ± 1.4 (1 of 3 collapsed)"),
        (["diverged", "collapsed"], "– (1 of 2 diverged, 1 of 2 collapsed)"),
        ([19.0], "19.0"),
    ],
)
def test_a_cell_says_how_its_trainings_failed(results, cell, monkeypatch):
    from lorae.reproduction.tables.page import _ours

    monkeypatch.setitem(PRESETS, "smoke", TINY)
    config, table = StudyConfig("smoke", "paper", len(results)), tables()["table3"]
    records = {}
    for entry in planned(table, config):
        if entry.column == "mixture" and entry.row == "VAE":
            result = results[entry.seed]
            value = {result: "latents: all are the same"} if isinstance(result, str) else {"mixture": {"value": result}}
            records[entry.job.key] = {"result": {"measure": "fid", **value}}
    (filled,) = fill(table, config, records)
    assert _ours(filled, "VAE", "mixture") == cell
