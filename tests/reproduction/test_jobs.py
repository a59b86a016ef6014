"""Jobs are measured once, whatever happens on the way and however many work on them."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from lorae.errors import LoraeError
from lorae.reproduction.jobs import pool, store
from lorae.reproduction.jobs.pool import run_jobs
from lorae.reproduction.jobs.store import Job, ResultStore
from lorae.system.files import CannotWriteError
from tests.edited_records import read_edited

ROOT = Path(__file__).parents[2]
JOBS = [Job(f"job {number}", {"number": number}) for number in range(5)]


class Measure:
    """Squares the number and remembers of which; `before` may raise."""

    def __init__(self, before=lambda number: None):
        self.seen = []
        self.before = before

    def __call__(self, configuration):
        number = configuration["number"]
        self.before(number)
        self.seen.append(number)
        return {"square": number**2, "threads": torch.get_num_threads()}


def where_and_how(configuration):
    """For processes of their own, which find it by its name."""
    time.sleep(0.2)  # so that both get some
    return {"process": os.getpid(), "threads": torch.get_num_threads()}


def die(configuration):
    os._exit(3)


def sleep_and_tell(configuration):
    Path(configuration["folder"], f"pid{os.getpid()}").touch()
    time.sleep(60)
    return {}


def test_the_key_is_that_of_the_content():
    first = Job("one name", {"a": 1, "b": {"c": [1, 2], "d": None}})
    assert first.key == Job("another", {"b": {"d": None, "c": [1, 2]}, "a": 1}).key
    others: list[dict[str, Any]] = [{"a": 2}, {"b": {"c": [2, 1], "d": None}}, {"b": {"c": [1, 2]}}, {"e": 0}]
    assert len({first.key, *(Job("", first.configuration | other).key for other in others)}) == 5


def test_records_say_what_was_measured_and_where(tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        records = run_jobs(JOBS, Measure(), tmp_path)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert [record["result"] for record in records] == [{"square": n**2, "threads": 1} for n in range(5)]
    assert [(record["name"], record["key"]) for record in records] == [(job.name, job.key) for job in JOBS]
    assert all(record["machine"]["torch"] == torch.__version__ for record in records)
    assert ResultStore(tmp_path).records() == records


def test_finished_jobs_are_not_measured_again(tmp_path):
    run_jobs(JOBS[:3], Measure(), tmp_path)
    again = Measure()
    records = run_jobs(JOBS, again, tmp_path)
    assert again.seen == [3, 4]
    assert [record["configuration"]["number"] for record in records] == list(range(5))


def test_the_records_of_a_checkout_are_enough(tmp_path):
    before = run_jobs(JOBS, Measure(), tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "records.jsonl").rename(tmp_path / "b" / "records.jsonl")
    again = Measure()
    more = [*JOBS, Job("new", {"number": 9})]
    assert run_jobs(more, again, tmp_path / "b")[:5] == before
    assert again.seen == [9]


def test_records_of_earlier_versions_are_read(tmp_path):
    """They are in a folder `cells`, and have no schema."""
    records = run_jobs(JOBS, Measure(), tmp_path)
    assert {record["schema"] for record in records} == {1}
    (tmp_path / "records.jsonl").unlink()
    (tmp_path / "jobs").rename(tmp_path / "cells")
    for path in (tmp_path / "cells").glob("*.json"):
        path.write_text(json.dumps({key: value for key, value in read_edited(path).items() if key != "schema"}))
    again = Measure()
    assert [record["key"] for record in run_jobs(JOBS, again, tmp_path)] == [job.key for job in JOBS]
    assert again.seen == []


def old_and_new(*places):
    """Two configurations that differ in the name of one setting, in nested dictionaries under these names."""
    found = []
    for name in ("normalise", "normalize"):
        values: dict[str, Any] = {"method": "lorae", name: "none", "bottleneck": {"layers": 4}}
        for place in reversed(places):
            values = {place: values, "seed": 3}
        found.append(values)
    return found


@pytest.mark.parametrize("places", [("model", "settings"), ("settings",)])
@pytest.mark.parametrize("folder", ["jobs", "cells", None])
def test_records_with_a_former_name_of_a_setting_are_those_of_todays_job(places, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "RENAMED", {"normalise": "normalize"})
    old, new = (Job("a", configuration) for configuration in old_and_new(*places))
    record = {"name": "a", "key": old.key, "configuration": old.configuration, "result": {"x": 1}, "seconds": 2.0}
    path = tmp_path / "records.jsonl" if folder is None else tmp_path / folder / f"{old.key}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record) + "\n")
    again = Measure()
    expected = record | {"key": new.key, "configuration": new.configuration}
    assert run_jobs([new], again, tmp_path) == [expected]
    assert again.seen == []
    # The rewritten file needs no migration.
    monkeypatch.setattr(store, "RENAMED", {})
    assert ResultStore(tmp_path).records() == [expected]


def test_records_without_a_former_name_are_left_as_they_are():
    record = {"name": "a", "key": "of another version", "configuration": {"data": {"normalise": 1}}}
    assert store.migrate(record) is record


def test_committed_records_are_rewritten_without_a_change_of_order(tmp_path):
    path = ROOT / "results" / "paper-full" / "records.jsonl"
    (tmp_path / "records.jsonl").write_bytes(path.read_bytes())
    ResultStore(tmp_path).gather([])
    names = [
        [json.loads(line)["name"] for line in found.read_text().splitlines()] for found in (path, tmp_path / path.name)
    ]
    assert names[0] == names[1]


@pytest.mark.parametrize("content", [b"", b'{"key": ', b"\xff"])
def test_a_damaged_record_is_measured_again(content, tmp_path):
    records = run_jobs(JOBS, Measure(), tmp_path)
    (tmp_path / "records.jsonl").unlink()
    (tmp_path / "jobs" / f"{JOBS[2].key}.json").write_bytes(content)
    again = Measure()
    assert [record["result"] for record in run_jobs(JOBS, again, tmp_path)] == [r["result"] for r in records]
    assert again.seen == [2]


def test_an_interrupted_study_goes_on_where_it_was(tmp_path):
    def interrupt(number):
        if number == 2:
            raise KeyboardInterrupt("stopped after step 7")

    with pytest.raises(KeyboardInterrupt, match="with 2 of 5 jobs finished; the same command goes on from there"):
        run_jobs(JOBS, Measure(interrupt), tmp_path)
    # What there is can be drawn.
    assert [record["key"] for record in ResultStore(tmp_path).records()] == [job.key for job in JOBS[:2]]
    again = Measure()
    assert len(run_jobs(JOBS, again, tmp_path)) == 5
    assert again.seen == [2, 3, 4]


@pytest.mark.parametrize(
    ("failing", "message"),
    [
        ([1], r"^job 1: data: gone; 4 of 5 jobs are finished, and the same command runs the rest$"),
        ([0, 2, 3], r"^job 0: data: gone \(2 more failed: job 2; job 3\); 2 of 5 jobs are finished"),
    ],
)
def test_an_error_names_its_job_and_costs_no_other(failing, message, tmp_path):
    def fail(number):
        if number in failing:
            raise LoraeError("data: gone")

    with pytest.raises(LoraeError, match=message):
        run_jobs(JOBS, Measure(fail), tmp_path)
    assert len(ResultStore(tmp_path).records()) == 5 - len(failing)  # what there is can be drawn
    again = Measure()
    run_jobs(JOBS, again, tmp_path)
    assert again.seen == failing


def test_an_error_that_nobody_foresaw_is_raised_as_it_is_after_the_other_jobs(tmp_path):
    def fail(number):
        if number < 2:
            raise LoraeError("data: gone") if number == 0 else ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError, match="a bug"):
        run_jobs(JOBS, Measure(fail), tmp_path)
    assert len(ResultStore(tmp_path).records()) == 3


def fail_on_even_numbers(configuration):
    if configuration["number"] % 2 == 0:
        raise LoraeError("data: gone")
    return {}


def test_a_failed_job_of_a_worker_leaves_the_one_beside_it_alone(tmp_path):
    with pytest.raises(LoraeError, match=r"^job \d: data: gone \(2 more failed: .*; 2 of 5 jobs are finished"):
        run_jobs(JOBS, fail_on_even_numbers, tmp_path, workers=2)
    assert {record["name"] for record in ResultStore(tmp_path).records()} == {"job 1", "job 3"}


def test_a_disk_that_cannot_be_written_ends_a_study_at_once(tmp_path):
    def fail(number):
        raise CannotWriteError("cannot write file: no room")

    measure = Measure(fail)
    with pytest.raises(CannotWriteError, match="no room"):
        run_jobs(JOBS, measure, tmp_path)


def test_a_job_that_another_process_works_on_is_left_to_it(tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "PAUSE", 0.02)
    folder, measure, found = ResultStore(tmp_path), Measure(), []
    with folder.claimed(JOBS[1]) as ours:
        assert ours
        thread = threading.Thread(target=lambda: found.extend(run_jobs(JOBS, measure, tmp_path)))
        thread.start()
        while len(measure.seen) < 4:
            time.sleep(0.01)
        time.sleep(0.1)  # it asks again and again, and does not take it
        assert thread.is_alive()
        folder.write(JOBS[1], {"square": "of another"}, 1.0)
    thread.join(timeout=10)
    assert measure.seen == [0, 2, 3, 4]
    assert found[1]["result"] == {"square": "of another"}


def test_a_claim_of_a_process_that_died_is_void(tmp_path):
    code = f"""
import os
from tests.reproduction.test_jobs import JOBS
from lorae.reproduction.jobs.store import ResultStore
with ResultStore({str(tmp_path)!r}).claimed(JOBS[0]):
    os._exit(0)
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert (tmp_path / "jobs" / f"{JOBS[0].key}.lock").exists()
    assert len(run_jobs(JOBS[:1], Measure(), tmp_path)) == 1


def test_several_processes_share_the_jobs_with_one_thread_each(tmp_path):
    results = [record["result"] for record in run_jobs(JOBS, where_and_how, tmp_path, workers=2)]
    assert {result["threads"] for result in results} == {1}
    processes = {result["process"] for result in results}
    assert len(processes) == 2
    assert os.getpid() not in processes


def test_a_worker_that_dies_is_said_so(tmp_path):
    with pytest.raises(LoraeError, match=r"workers: a worker process died.*try workers=1"):
        run_jobs(JOBS, die, tmp_path, workers=2)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks Linux which processes live")
@pytest.mark.parametrize(("number", "workers"), [(signal.SIGTERM, 1), (signal.SIGTERM, 2), (signal.SIGKILL, 2)])
def test_no_worker_outlives_its_study_and_a_termination_says_how_to_go_on(number, workers, tmp_path):
    code = f"""
from pathlib import Path
from lorae.reproduction.jobs.pool import run_jobs
from lorae.reproduction.jobs.store import Job
from tests.reproduction.test_jobs import sleep_and_tell
if __name__ == "__main__":
    jobs = [Job(str(n), {{"number": n, "folder": {str(tmp_path)!r}}}) for n in range(2)]
    run_jobs(jobs, sleep_and_tell, {str(tmp_path / "out")!r}, workers={workers})
"""
    (tmp_path / "study.py").write_text(code)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    study = subprocess.Popen([sys.executable, str(tmp_path / "study.py")], env=environment, stderr=subprocess.PIPE)
    try:
        wait_for(lambda: len(list(tmp_path.glob("pid*"))) == workers, 60)
        processes = [int(path.name[3:]) for path in tmp_path.glob("pid*")]
        study.send_signal(number)
        assert study.wait(timeout=20) != 0
        wait_for(lambda: not any(alive(process) for process in processes), 20)
        said = study.communicate()[1].decode()
        assert ("with 0 of 2 jobs finished; the same command goes on from there" in said) == (number == signal.SIGTERM)
    finally:
        study.kill()


def wait_for(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(process):
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_missing_and_broken_records_are_named(tmp_path):
    with pytest.raises(LoraeError, match=r"holds no records.jsonl; it is written when a study ends"):
        ResultStore(tmp_path).records()
    (tmp_path / "records.jsonl").write_text(json.dumps({"key": "a"}) + "\n{")
    with pytest.raises(LoraeError, match=r"records\.jsonl, line 1: configuration is missing, expected an object"):
        ResultStore(tmp_path).records()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LoraeError, match="cannot write to"):
        run_jobs(JOBS[:1], Measure(), tmp_path / "file")
