"""Statistics of a training: what is written can be read, and a cut file is refused with its remedy."""

import json
import math
import shutil

import pytest

from lorae.errors import LoraeError
from lorae.runs import Run
from lorae.runs.statistics_file import StatisticsFile
from lorae.system.records import RecordError
from tests.edited_records import read_edited


def test_the_remedy_for_a_cut_file_is_one(trained, tmp_path):
    run = Run(shutil.copytree(trained.path, tmp_path / "run"))
    lines = (run.path / "stats.jsonl").read_bytes().splitlines(keepends=True)
    (run.path / "stats.jsonl").write_bytes(b"".join(lines[:-1]))
    with pytest.raises(LoraeError, match=r"restore it, or delete the keys log_lines and crc32 of evaluation\.json"):
        list(run.stats())
    edited = read_edited(run.path / "evaluation.json")
    del edited["log_lines"]
    (run.path / "evaluation.json").write_text(json.dumps(edited))
    assert len(list(run.stats())) == len(lines) - 1


def test_replaced_records_are_all_there_are(tmp_path):
    statistics = StatisticsFile(tmp_path / "not" / "yet" / "there.jsonl")
    records = [{"event": "step", "step": step} for step in (1, 2)]
    for record in records:
        statistics.append(record)
    statistics.replace(statistics.read())
    assert list(statistics.read()) == records
    statistics.append({"event": "step", "step": 3})
    assert [record["step"] for record in statistics.read()] == [1, 2, 3]


@pytest.mark.parametrize("record", [{"event": "epoch", "step": 1, "test_mse": math.inf}, {"step": 1}])
def test_a_record_that_readers_refuse_is_not_written(record, tmp_path):
    statistics = StatisticsFile(tmp_path / "stats.jsonl")
    statistics.append({"event": "step", "step": 0})
    with pytest.raises(RecordError, match="a record is not written"):
        statistics.append(record)
    statistics.append({"event": "step", "step": 2})
    assert [record["step"] for record in statistics.read()] == [0, 2]
