"""The page of a sweep: content, escaping, and in the browser widths and schemes."""

import json
import re
import shutil
from typing import Any

import pytest

from lorae.plotting.frontier import frontier_figure
from lorae.runs import Run
from lorae.sweeps import write_report
from lorae.sweeps.definition import SweepFolder
from lorae.sweeps.results import Outcome, read_records
from tests.browser import SCHEMES, TEXTS, WIDTHS, started


@pytest.fixture(scope="module")
def browser():
    yield from started()


def record(number, **changes):
    return {
        "number": number,
        "state": "complete",
        "parameters": {"penalty": 10.0 ** -(1 + number % 5), "latent_dim": 2 + number % 3},
        "seed": 0,
        "measured": {
            "rank": 2 + number % 7,
            "error": 0.5 / (1 + number),
            "seconds": 61.0 + number,
            "fid": 30.0 - number,
        },
        "feasible": True,
        "epoch": 12,
        "error_there": 0.6 / (1 + number),
        "reason": None,
        "same_as": None,
        "warnings": [],
    } | changes


@pytest.fixture
def page_of(searched, tmp_path):
    """Write the page of a copy of a sweep with other records; return its path."""

    def write(records):
        folder = shutil.copytree(searched.path, tmp_path / "a <b> sweep")
        shutil.rmtree(folder / "trials")
        (folder / "study.db").unlink()
        (folder / "study.db").mkdir()
        (folder / "records.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
        with pytest.warns(match="the page is of the records"):
            return write_report(folder)

    return write


def test_the_page_has_what_was_found(searched, run_cli):
    code, printed, errors = run_cli("report", searched.path)
    assert (code, errors, printed) == (0, "", f"{searched.path / 'report.html'}\n")
    page = (searched.path / "report.html").read_text("utf-8")
    text = " ".join(re.sub(r"<[^>]+>", "", page).split())
    assert "4 trials trained to the end." in text
    assert searched.command in text
    assert "Frontier of rank and held-out error" in text
    assert page.count('href="trials/') == 4
    assert "<script" not in page
    assert "http" not in page.replace("http://www.w3.org", "").replace("http-equiv", "")


def test_distances_that_were_measured_later_are_on_the_page(searched, tmp_path):
    copy = shutil.copytree(searched.path, tmp_path / "copy")
    run = Run(copy / "trials" / "1")
    run.add_to_evaluation({"fid": {"gaussian": {"value": 12.25}}})
    page = write_report(copy).read_text("utf-8")
    assert "12.2" in page
    assert "FID" in page


def test_failed_and_pruned_trials_are_told_apart_and_escaped(page_of):
    page = page_of(
        [
            record(0),
            record(1, state="failed", measured={}, reason="diverged: <script>alert(1)</script>"),
            record(2, state="pruned", measured={}, reason="pruned after epoch 3"),
            record(3, state="waiting", measured={}, epoch=None, error_there=None),
        ]
    ).read_text("utf-8")
    assert "1 trials trained to the end, 1 pruned, 1 failed, 1 not ended." in page
    assert "<script" not in page
    assert "Trial 1: diverged: &lt;script&gt;" in page
    assert "a &lt;b&gt; sweep" in page


def test_a_sweep_without_results_says_so(page_of):
    assert "No trial has been trained to the end yet." in page_of([]).read_text("utf-8")


def test_the_mean_over_seeds_decides(searched):
    parameters = {"penalty": 1.0, "latent_dim": 2}, {"penalty": 2.0, "latent_dim": 2}
    records = [
        record(0, parameters=parameters[0], measured={"rank": 2, "error": 0.1}),
        record(1, parameters=parameters[0], measured={"rank": 2, "error": 0.5}, seed=1),
        record(2, parameters=parameters[1], measured={"rank": 2, "error": 0.2}),
        record(3, parameters=parameters[1], measured={"rank": 2, "error": 0.2}, seed=1),
        record(4, measured={"rank": 2, "error": 0.01}),  # one seed alone
    ]
    definition: Any = searched.outcome.definition | {"seeds": [0, 1]}
    outcome = Outcome.of(definition, records)
    (best,) = outcome.best
    assert [trial["number"] for trial in best.trials] == [2, 3]


def test_damaged_records_are_named(searched, tmp_path, run_cli):
    copy = shutil.copytree(searched.path, tmp_path / "copy")
    content = (copy / "records.jsonl").read_text()
    (copy / "records.jsonl").write_text(content.replace('"seed": 0', '"seed": 1', 1))
    with pytest.raises(Exception, match=r"records\.jsonl, line 1: has changed since it was written"):
        read_records(SweepFolder(copy))
    (copy / "sweep.json").write_text("{")
    code, _, errors = run_cli("report", copy)
    assert code == 2
    assert "sweep.json: not readable as JSON" in errors


def test_the_frontier_figure_takes_any_values():
    for points in ([(1, 0.0)], [(3, 0.1)] * 3, [(number, 10.0**-number) for number in range(30)]):
        figure = frontier_figure(points, points[:2], best=points[0], numbers=["1", "2"])
        figure.savefig("/dev/null", format="svg")


@pytest.mark.browser
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_fits_its_window(browser, page_of, width, scheme):
    path = page_of([record(number) for number in range(40)])
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    faults = []
    page.on("console", lambda message: faults.append(message.text))
    page.goto(path.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    texts = page.evaluate(TEXTS)
    assert texts
    assert [text for text in texts if text[1] < 9 or not text[2]] == []
    assert faults == []
    context.close()
