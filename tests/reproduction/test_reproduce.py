import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

import lorae
from lorae import api
from lorae.reproduction import runner
from lorae.reproduction.jobs.store import BusyError, ResultStore
from lorae.reproduction.studies import studies
from lorae.reproduction.tables import measurements
from lorae.reproduction.tables.measurements import model_key, trained
from lorae.reproduction.tables.plan import measurement
from lorae.reproduction.tables.presets import PRESETS
from lorae.reproduction.tables.published import tables
from tests.reproduction.tiny import SMOKE, TINY, reproduce

pytestmark = pytest.mark.usefixtures("blank_figures")

# Measuring a job


@pytest.mark.parametrize("measure", list(measurements.MEASUREMENTS))
def test_every_measurement_gives_plain_values_with_its_name(measure, tiny, tmp_path):
    system = tables()["table3"].rows[3]
    job = measurement(SMOKE, "mnist", system, measure, 0)
    result = runner.measure(job.configuration, tmp_path, None)
    assert result["measure"] == measure
    assert json.loads(json.dumps(result)) == result
    assert result["training"]["epochs"] == 1
    for place in result.get("pictures", {}).values():
        assert (tmp_path / place).read_bytes().startswith(b"\x89PNG")


def test_a_model_is_trained_once_and_a_second_measurement_takes_it(tiny, tmp_path, monkeypatch):
    system = tables()["table3"].rows[0]
    runner.measure(measurement(SMOKE, "mnist", system, "rank", 0).configuration, tmp_path, None)

    def refuse(*arguments, **settings):
        raise AssertionError("trained again")

    monkeypatch.setattr(api, "train", refuse)
    assert runner.measure(measurement(SMOKE, "mnist", system, "fid", 0).configuration, tmp_path, None)["gaussian"]
    with pytest.raises(AssertionError, match="trained again"):
        runner.measure(measurement(SMOKE, "mnist", system, "fid", 1).configuration, tmp_path, None)


def test_an_interrupted_model_goes_on_instead_of_beginning_anew(tiny, tmp_path, monkeypatch):
    model = SMOKE.model("mnist", tables()["table3"].rows[0], None, 0)
    path = tmp_path / "models" / model_key(model)
    lorae.runs.run.Run.create(path, api.plan("mnist", out=path, **model["settings"]))
    created = (path / "config.json").stat().st_mtime_ns
    with trained(model, tmp_path, None) as run:
        assert run.finished
    assert (path / "config.json").stat().st_mtime_ns == created


def test_a_model_that_another_process_has_is_busy(tiny, tmp_path):
    model = SMOKE.model("mnist", tables()["table3"].rows[0], None, 0)
    (tmp_path / "models").mkdir()
    with FileLock(tmp_path / "models" / f"{model_key(model)}.lock"):
        script = (
            "from pathlib import Path\n"
            "from lorae.reproduction.tables.measurements import trained\n"
            "from lorae.reproduction.jobs.store import BusyError\n"
            f"model = {model!r}\n"
            "try:\n"
            f"    with trained(model, Path({str(tmp_path)!r}), None): pass\n"
            "except BusyError: print('busy')\n"
        )
        found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "busy"
    assert issubclass(BusyError, Exception)


# The command


def test_a_table_is_reproduced_resumed_and_drawn_from_its_records(tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(PRESETS, "quick", TINY)  # the preset `smoke` has no verdicts
    words = ("table7", "--preset", "quick", "--out", tmp_path, "--workers", 1)
    code, printed, errors = reproduce(capsys, *words, "--json")
    assert (code, errors) == (0, "")
    result = json.loads(printed)
    text = Path(result["pages"]["table7"]["markdown"]).read_text()
    assert "| 1e-3 | 18 |" in text
    assert "same order?" in text
    assert {claim["study"] for claim in result["claims"]} == {"table7"}
    assert Path(result["pages"]["table7"]["html"]).read_text().startswith("<!DOCTYPE html>")
    assert result["cells"] == 5 * 3

    def refuse(*arguments):
        raise AssertionError("measured again")

    monkeypatch.setattr(runner, "measure", refuse)
    code, printed, _ = reproduce(capsys, *words)
    assert code == 0
    assert re.search(r"table7: The rank falls .*\n  (holds|does not hold): ", printed)

    # A checkout holds the records and the pictures, and draws the same page.
    checkout = tmp_path / "checkout"
    shutil.copytree(tmp_path / "pictures", checkout / "pictures")
    (checkout / "records.jsonl").write_bytes(Path(result["records"]).read_bytes())
    code, *_ = reproduce(capsys, "table7", "--preset", "quick", "--draw-only", "--out", checkout)
    assert code == 0
    assert (checkout / "table7.md").read_text() == text


def test_records_of_other_studies_stay_in_the_folder(tiny, tmp_path, capsys):
    words = ("--preset", "smoke", "--out", tmp_path, "--workers", 1)
    reproduce(capsys, "theorem1", *words)
    first = ResultStore(tmp_path).records()
    reproduce(capsys, "table2", *words)
    both = {record["key"] for record in ResultStore(tmp_path).records()}
    assert {record["key"] for record in first} < both
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout" / "records.jsonl").write_bytes((tmp_path / "records.jsonl").read_bytes())
    checkout = ("table1", "--preset", "smoke", "--out", tmp_path / "checkout", "--workers", 1)
    code, _, errors = reproduce(capsys, *checkout)
    assert code == 2
    assert "belongs to the records" in errors
    (tmp_path / "pictures").rename(tmp_path / "checkout" / "pictures")
    assert reproduce(capsys, *checkout)[0] == 0
    assert {record["key"] for record in ResultStore(tmp_path / "checkout").records()} == both


def test_a_study_without_a_record_gets_no_page_beside_those_that_have(tiny, tmp_path, capsys):
    words = ("--preset", "smoke", "--out", tmp_path)
    reproduce(capsys, "theorem1", *words, "--workers", 1)
    code, printed, _ = reproduce(capsys, "all", *words, "--draw-only", "--json")
    assert code == 0
    assert list(json.loads(printed)["pages"]) == ["theorem1"]
    assert json.loads(printed)["claims"] == []  # the models of a smoke test say nothing of the paper
    assert not (tmp_path / "table3.md").exists()


@pytest.mark.parametrize("action", ["--status", "--draw-only", "--json"])
def test_a_file_in_place_of_the_folder_is_named(action, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    code, printed, errors = reproduce(capsys, "table3", "--preset", "smoke", "--out", tmp_path / "file", action)
    assert (code, printed) == (2, "")
    assert errors == f"lorae: out: got '{tmp_path / 'file'}', which is a file, expected a folder\n"


def test_the_status_counts_what_is_done_running_and_left(tiny, tmp_path, capsys):
    reproduce(capsys, "theorem1", "--preset", "smoke", "--out", tmp_path, "--workers", 1)
    status = ("--preset", "smoke", "--out", tmp_path, "--status", "--json")
    done = json.loads(reproduce(capsys, "theorem1", *status)[1])
    assert (done["left"], done["running"], done["seconds_to_go"]) == (0, [], 0.0)
    jobs = studies()["table7"].jobs(SMOKE)
    lock = ResultStore(tmp_path).folder / "jobs" / f"{jobs[0].key}.lock"
    script = f"import time, filelock\nwith filelock.FileLock({str(lock)!r}): print(1, flush=True); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline()
        found = json.loads(reproduce(capsys, "table7", *status)[1])
        assert (found["done"], found["left"], found["running"]) == (0, len(jobs), [jobs[0].name])
        printed = reproduce(capsys, "table7", *status[:-1])[1]
        assert "unknown before the first job" in printed
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["table9"], "study: got 'table9', expected one of table1"),
        (["table5"], "study: table5 is of CelebA alone; pass --data-root FOLDER"),
        (["table3", "--protocol", "mine"], "protocol: got 'mine', expected one of paper, authors_code"),
        (["table3", "--data-root", "nowhere"], "data_root: found no celeba in nowhere"),
        (["table3", "--draw-only", "--out", "nowhere"], "out: 'nowhere' holds no records.jsonl"),
    ],
)
def test_bad_input_is_one_line_and_makes_nothing(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, printed, errors = reproduce(capsys, *words)
    assert (code, printed, len(errors.splitlines())) == (2, "", 1)
    assert message in errors
    assert not list(tmp_path.iterdir())


def test_fewer_seeds_take_no_record_away(tiny, tmp_path, capsys):
    words = ("theorem1", "--preset", "smoke", "--out", tmp_path, "--workers", 1)
    reproduce(capsys, *words, "--seeds", 2)
    before = ResultStore(tmp_path).records()
    shutil.rmtree(tmp_path / "jobs")
    reproduce(capsys, *words)
    assert {record["key"] for record in ResultStore(tmp_path).records()} == {record["key"] for record in before}


def test_pages_are_not_drawn_from_records_of_something_else(tiny, tmp_path, capsys):
    """Drawing with another preset once emptied every page of a finished study."""
    reproduce(capsys, "theorem1", "--preset", "smoke", "--out", tmp_path, "--workers", 1)
    text = (tmp_path / "theorem1.md").read_text()
    for words, named in (
        (("table7", "--preset", "quick"), "none of table7 in preset quick, protocol paper"),
        (("table3", "--preset", "smoke"), "none of table3 in preset smoke"),
        (("dimension",), "none of known dimensions"),
    ):
        code, printed, errors = reproduce(capsys, *words, "--out", tmp_path, "--draw-only")
        assert (code, printed, len(errors.splitlines())) == (2, "", 1)
        assert named in errors
    assert sorted(path.name for path in tmp_path.glob("*.md")) == ["theorem1.md"]
    assert (tmp_path / "theorem1.md").read_text() == text


@pytest.mark.parametrize("line", ["[]", "3", '{"name": "x"}'])
def test_lines_that_are_no_records_are_named(line, tiny, tmp_path, capsys):
    (tmp_path / "records.jsonl").write_text(line + "\n")
    for words in (("table3",), ("dimension",)):
        for action in ("--draw-only", "--status"):
            code, _, errors = reproduce(capsys, *words, "--preset", "smoke", "--out", tmp_path, action)
            assert (code, len(errors.splitlines())) == (2, 1)
            assert "records.jsonl, line 1: " in errors


def test_finished_jobs_are_drawn_after_a_kill(tiny, tmp_path, capsys):
    reproduce(capsys, "theorem1", "--preset", "smoke", "--out", tmp_path, "--workers", 1)
    text = (tmp_path / "theorem1.md").read_text()
    (tmp_path / "records.jsonl").unlink()
    assert reproduce(capsys, "theorem1", "--preset", "smoke", "--out", tmp_path, "--draw-only")[0] == 0
    assert (tmp_path / "theorem1.md").read_text() == text


def test_the_known_dimensions_have_a_status_too(tmp_path, capsys):
    found = json.loads(reproduce(capsys, "dimension", "--preset", "smoke", "--out", tmp_path, "--status", "--json")[1])
    assert (found["done"], found["running"]) == (0, [])
    assert found["left"] > 0


@pytest.mark.slow
def test_a_killed_smoke_run_goes_on_and_ends_within_its_time(tmp_path):
    words = [sys.executable, "-m", "lorae", "reproduce", "table3", "--preset", "smoke", "--out", str(tmp_path / "out")]
    started = time.monotonic()
    process = subprocess.Popen(words)
    while not list(tmp_path.glob("out/models/*/stats.jsonl")):
        time.sleep(0.2)
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    found = subprocess.run([*words, "--json"], capture_output=True, text=True, check=True)
    assert json.loads(found.stdout)["pages"].keys() == {"table3"}
    assert time.monotonic() - started < 300
