import json
import multiprocessing
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image

import lorae
from lorae.data import DataSettings, load_data
from lorae.data import cache as cache_module
from lorae.data import decode as decode_module
from lorae.data.cache import DatasetInfo, cache_root, cached, content_key
from lorae.data.pictures import decode_picture
from lorae.errors import LoraeError


def prepare_counted(log: Path):
    def prepare(workspace):
        with log.open("a") as file:
            file.write("prepared\n")
        for part, count in (("train", 50), ("test", 5)):
            workspace.create(part, (count, 4), np.float32)[:] = np.arange(4)
            workspace.set_labels(part, np.arange(count))
        return DatasetInfo("made here", {"file": "md5:0"}, 2, {"bad.png": "not an image"})

    return prepare


def test_prepared_once_and_read_back(tmp_path):
    log = tmp_path / "log"
    (first, _), (again, facts) = (cached("some", "key", prepare_counted(log)) for _ in range(2))
    assert log.read_text().count("prepared") == 1
    assert first.describe() == again.describe()
    assert again.intrinsic_dimension == 2
    assert again.source == "made here"
    assert facts.skipped == {"bad.png": "not an image"}
    np.testing.assert_array_equal(again.train.inputs, np.tile(np.arange(4, dtype=np.float32), (50, 1)))
    assert again.test.labels.tolist() == [0, 1, 2, 3, 4]


def test_failed_preparation_leaves_nothing(cache, tmp_path):
    def fail(workspace):
        workspace.create("train", (3, 2), np.float32)
        raise LoraeError("bad data")

    with pytest.raises(LoraeError, match="bad data"):
        cached("some", "key", fail)
    assert [path.name for path in (cache / "data").iterdir() if path.is_dir()] == []
    cached("some", "key", prepare_counted(tmp_path / "log"))


KILLED = """
import os, signal, numpy as np
from lorae.data.cache import cached
def prepare(workspace):
    workspace.create("train", (50, 4), np.float32)[:] = 7
    os.kill(os.getpid(), signal.SIGKILL)
cached("some", "key", prepare)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends a Unix signal")
def test_killed_preparation_is_done_again(cache, tmp_path):
    assert subprocess.run([sys.executable, "-c", KILLED], check=False).returncode < 0
    assert any("partial" in path.name for path in (cache / "data").iterdir())
    log = tmp_path / "log"
    dataset, _ = cached("some", "key", prepare_counted(log))
    assert dataset.train.inputs.max() == 3
    assert log.read_text().count("prepared") == 1
    assert not any("partial" in path.name for path in (cache / "data").iterdir())


def _load_in_process(start, folder, queue):
    start.wait()
    dataset, _ = cached("some", "key", prepare_counted(Path(folder) / "log"))
    queue.put(int(dataset.train.inputs.sum()))


def test_two_processes_prepare_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    start, queue = context.Barrier(2), context.Queue()
    workers = [context.Process(target=_load_in_process, args=(start, str(tmp_path), queue)) for _ in range(2)]
    for worker in workers:
        worker.start()
    results = [queue.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert results == [300, 300]
    assert (tmp_path / "log").read_text().count("prepared") == 1


def test_large_arrays_stay_in_their_files(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("LORAE_IN_MEMORY", str(512 / 2**20))
    for _ in range(2):
        dataset, _ = cached("some", "key", prepare_counted(tmp_path / "log"))
        assert (dataset.train.stored, dataset.test.stored) == (True, False)
        # Warnings are errors here: PyTorch warns of arrays that cannot be written.
        tensor = torch.from_numpy(dataset.train.inputs[:3])
        assert tensor[0].tolist() == [0, 1, 2, 3]
        tensor[0] = 9
    assert dataset.train.inputs[0].tolist() == [0, 1, 2, 3]


def test_a_large_array_is_read_for_its_checksum_only_if_its_file_was_touched(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("LORAE_IN_MEMORY", str(512 / 2**20))
    cached("some", "key", prepare_counted(tmp_path / "log"))
    cache_module._checked.clear()
    sums = []
    monkeypatch.setattr(cache_module, "_checksum", lambda array: sums.append(array.shape))
    with pytest.raises(LoraeError, match=r"test.npy has changed"):  # the small one is always compared
        cached("some", "key", prepare_counted(tmp_path / "log"))
    assert sums == [(5, 4)]
    monkeypatch.undo()
    monkeypatch.setenv("LORAE_CACHE", str(cache))
    monkeypatch.setenv("LORAE_IN_MEMORY", str(512 / 2**20))
    path = cache / "data" / "key" / "train.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(LoraeError, match=r"train.npy has changed"):
        cached("some", "key", prepare_counted(tmp_path / "log"))


def test_damaged_cache_is_named(cache, tmp_path):
    cached("some", "key", prepare_counted(tmp_path / "log"))
    (cache / "data" / "key" / "train.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(LoraeError, match=r"cache: .*key is damaged .*delete"):
        cached("some", "key", prepare_counted(tmp_path / "log"))


def test_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("LORAE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(LoraeError, match=r"cache: cannot write to .*LORAE_CACHE"):
        cached("some", "key", prepare_counted(tmp_path / "log"))


def test_full_disk_is_told_before_writing(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 90, 10))
    with pytest.raises(LoraeError, match="MiB free, expected"):
        cached("some", "key", prepare_counted(tmp_path / "log"))


def test_where_the_cache_lies(monkeypatch):
    monkeypatch.setenv("LORAE_CACHE", "/chosen")
    assert cache_root() == Path("/chosen")
    monkeypatch.delenv("LORAE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_root() == Path("/xdg/lorae")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_root() == Path.home() / ".cache" / "lorae"


def test_the_folder_of_earlier_versions_stays_in_use(monkeypatch, tmp_path):
    monkeypatch.delenv("LORAE_CACHE")
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: Path("/usual"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_root() == Path("/usual")
    (tmp_path / "lorae").mkdir()
    assert cache_root() == tmp_path / "lorae"


def test_every_setting_changes_the_key():
    keys = {
        content_key("a", "0", size=1),
        content_key("a", "0", size=2),
        content_key("a", "1", size=1),
        content_key("b", "0", size=1),
        content_key("a", "0", crop=1),
    }
    assert len(keys) == 5


def test_description_can_be_stored():
    described = load_data(DataSettings(data="shapes-grey", factors=("x", "y"))).describe()
    assert json.loads(json.dumps(described)) == described


def test_a_limit_keeps_the_items_beyond_it_out_of_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LORAE_CACHE", str(tmp_path / "cache"))
    items = np.random.default_rng(0).normal(size=(20_000, 16)).astype(np.float32)
    np.save(tmp_path / "items.npy", items)
    path = str(tmp_path / "items.npy")
    few = lorae.load_data(path, limit=100, test_fraction=0.01)
    size = sum(file.stat().st_size for file in (tmp_path / "cache").rglob("*.npy"))
    assert size < (100 + 200) * 16 * 4 + 1000  # a sixtieth of the file
    whole = lorae.load_data(path, test_fraction=0.01)
    assert few.fingerprint == whole.fingerprint
    np.testing.assert_array_equal(few.train.inputs, whole.train.inputs[:100])
    np.testing.assert_array_equal(few.test.inputs, whole.test.inputs)
    again = lorae.load_data(path, limit=30, test_fraction=0.01)  # of the whole copy, which is there now
    np.testing.assert_array_equal(again.train.inputs, whole.train.inputs[:30])
    assert len([folder for folder in (tmp_path / "cache" / "data").iterdir() if folder.is_dir()]) == 2


def test_pictures_beyond_a_limit_are_not_decoded(tmp_path, monkeypatch):
    monkeypatch.setenv("LORAE_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "pictures"
    for number in range(40):
        part = folder / ("test" if number % 4 == 0 else "train") / f"class{number % 2}"
        part.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), 6 * number, np.uint8)).save(part / f"{number:02}.png")
    whole = lorae.load_data(str(folder), size=8)
    decoded = []
    monkeypatch.setattr(decode_module, "decode_picture", lambda *given: decoded.append(1) or decode_picture(*given))
    monkeypatch.setenv("LORAE_CACHE", str(tmp_path / "other"))
    few = lorae.load_data(str(folder), size=8, limit=12)
    assert len(decoded) == 12 + len(whole.test)
    assert few.fingerprint == whole.fingerprint
    for part, expected in ((few.train, whole.train.first(12)), (few.test, whole.test)):
        np.testing.assert_array_equal(part.inputs, expected.inputs)
        np.testing.assert_array_equal(part.labels, expected.labels)
    assert len(lorae.load_data(str(folder), size=8, limit=1000).train) == len(whole.train)
    assert len(lorae.load_data(str(folder), size=8, limit=5, skip_bad=True).train) == 5


def test_items_beyond_a_limit_are_still_checked(tmp_path):
    items = np.zeros((1000, 3), np.float32)
    items[:, 0] = np.arange(1000)
    items[990, 1] = np.nan
    np.save(tmp_path / "items.npy", items)
    with pytest.raises(LoraeError, match=r"got nan at index \(990, 1\)"):
        lorae.load_data(str(tmp_path / "items.npy"), limit=10)


def test_a_limited_run_finds_its_data_in_the_cache_when_the_file_is_gone(tmp_path, monkeypatch, small):
    monkeypatch.setenv("LORAE_CACHE", str(tmp_path / "cache"))
    np.save(tmp_path / "items.npy", np.random.default_rng(0).normal(size=(300, 6)))
    run = lorae.train(tmp_path / "items.npy", out=tmp_path / "run", limit=64, **small | {"latent_dim": 2, "epochs": 1})
    before = lorae.evaluate(run, only="reconstruction", quiet=True)["reconstruction"]
    (tmp_path / "items.npy").unlink()
    assert lorae.evaluate(run, only="reconstruction", quiet=True)["reconstruction"] == before


def test_what_a_killed_preparation_left_is_deleted_by_the_next_one(tmp_path, monkeypatch):
    monkeypatch.setenv("LORAE_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "data"
    left, building = folder / ".0123.partial", folder / ".4567.partial"
    for partial in (left, building):
        partial.mkdir(parents=True)
        (partial / "train.npy").write_bytes(bytes(1000))
    np.save(tmp_path / "items.npy", np.random.default_rng(0).normal(size=(30, 3)))
    with FileLock(folder / "4567.lock"):
        lorae.load_data(str(tmp_path / "items.npy"))
    assert (left.exists(), building.exists()) == (False, True)
