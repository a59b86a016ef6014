"""Items in files: what indexing reads, views, writing, temporary files, and files that change."""

import os
import pickle
import threading

import numpy as np
import pytest

from lorae.errors import LoraeError
from lorae.system import array_file, stored_items
from lorae.system.files import CannotWriteError
from lorae.system.stored_items import (
    Collected,
    StoredItems,
    created,
    identity_of,
    in_memory_bytes,
    mean_of,
    opened,
    parts,
    plain_items,
    take,
    temporary,
)

OFFSET = 24


@pytest.fixture
def items():
    return np.random.default_rng(0).normal(size=(5000, 3, 2)).astype(np.float32)


@pytest.fixture
def stored(items, tmp_path):
    path = tmp_path / "items"
    path.write_bytes(bytes(OFFSET) + items.tobytes())
    return opened(path, items.shape, items.dtype, OFFSET)


INDICES = {
    "all": slice(None),
    "slice": slice(7, 300),
    "steps": slice(3, None, 17),
    "from the end": slice(-5, None),
    "backwards": slice(20, 3, -4),
    "nothing": slice(9, 9),
    "random with repeats": np.random.default_rng(1).integers(0, 5000, 400),
    "permutation": np.random.default_rng(2).permutation(5000),
    "sorted": np.sort(np.random.default_rng(3).permutation(5000)[:700]),
    "negative": np.array([-1, 0, -5000]),
    "one of several": np.array([4, 4, 4]),
    "no rows": np.array([], dtype=np.int64),
    "truth": np.arange(5000) % 3 == 1,
    "one": 17,
    "last": -1,
}


@pytest.mark.parametrize("name", INDICES)
def test_indexing_reads_what_an_array_gives(items, stored, name):
    found = stored[INDICES[name]]
    np.testing.assert_array_equal(found, items[INDICES[name]])
    assert found.dtype == items.dtype
    assert found.flags.writeable


@pytest.mark.parametrize(
    "name", [name for name in INDICES if not name.startswith(("one", "last"))] + ["one of several"]
)
def test_a_view_reads_what_a_view_of_an_array_gives(items, stored, name):
    view, expected = stored.at(INDICES[name]), items[INDICES[name]]
    assert view.shape == expected.shape
    assert len(view) == len(expected)
    np.testing.assert_array_equal(view[::3], expected[::3])
    np.testing.assert_array_equal(view.at(slice(1, 90))[::-2], expected[1:90][::-2])
    if len(expected):
        rows = np.random.default_rng(4).integers(0, len(expected), 50)
        np.testing.assert_array_equal(view[rows], expected[rows])
    np.testing.assert_array_equal(np.asarray(view), expected)


def test_shape_and_size_are_those_of_the_array(items, stored):
    for name in ("shape", "dtype", "ndim", "size", "nbytes"):
        assert getattr(stored, name) == getattr(items, name)


def test_mapped_items_are_changed_as_they_are_read(items, stored):
    doubled = stored.mapped(lambda values: (2 * values).reshape(len(values), -1), (6,), np.float32)
    cut = doubled.at(slice(10, 20)).mapped(lambda values: values[:, ::2], (3,), np.float32)
    np.testing.assert_array_equal(cut[[3, 0]], (2 * items).reshape(-1, 6)[[13, 10], ::2])
    assert cut.shape == (10, 3)
    np.testing.assert_array_equal(take(cut, slice(2))[:], cut[:2])


@pytest.mark.parametrize("rows", [np.array([0.5]), np.zeros((2, 2), np.int64), "a"])
def test_other_indices_are_refused(stored, rows):
    with pytest.raises(TypeError, match="expected rows"):
        stored[rows]


@pytest.mark.parametrize("rows", [5000, -5001, np.array([5000]), np.array([-5001])])
def test_rows_that_are_not_there_are_refused(stored, rows):
    with pytest.raises(IndexError):
        stored[rows]


def test_only_the_rows_that_are_asked_for_are_read(items, stored, monkeypatch):
    read = []
    through = array_file.ArrayFile._read_at

    def counted(self, descriptor, target, place):
        read.append((place - OFFSET, len(target)))
        return through(self, descriptor, target, place)

    monkeypatch.setattr(array_file.ArrayFile, "_read_at", counted)
    row = items[0].nbytes
    _ = stored[[4000, 1, 2000]]
    assert read == [(1 * row, row), (2000 * row, row), (4000 * row, row)]  # in the order of the file
    read.clear()
    _ = stored[[12, 10, 14]]  # within a page
    assert read == [(10 * row, 5 * row)]


def test_threads_read_at_once(items, stored):
    failures = []

    def check(seed):
        rows = np.random.default_rng(seed).integers(0, 5000, 200)
        if not np.array_equal(stored[rows], items[rows]):
            failures.append(seed)

    threads = [threading.Thread(target=check, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_systems_whose_files_have_one_position(items, tmp_path, monkeypatch):
    for name in ("preadv", "pwrite"):
        monkeypatch.delattr(os, name, raising=False)
    (tmp_path / "items").write_bytes(bytes(items.nbytes))
    written = created(tmp_path / "items", items.shape, items.dtype)
    for rows in parts(written, 700):
        written[rows] = items[rows]
    np.testing.assert_array_equal(written[[30, 3]], items[[30, 3]])


def test_a_file_that_is_too_short_is_refused(items, tmp_path):
    path = tmp_path / "items"
    path.write_bytes(items.tobytes()[:-5])
    with pytest.raises(OSError, match="5 bytes too short"):
        opened(path, items.shape, items.dtype, 0)


@pytest.mark.parametrize("change", ["cut", "write"])
def test_a_file_that_changes_is_named(stored, change):
    _ = stored[:10]
    path = stored.file.path
    if change == "cut":
        os.truncate(path, OFFSET + 100)
    else:
        content = path.read_bytes()
        path.write_bytes(content)
        os.utime(path, ns=(1, 1))
    with pytest.raises(LoraeError, match=f"data: .*{path}.*") as caught:
        stored[4990:]
    assert "\n" not in str(caught.value)


def test_a_file_that_is_gone_is_named(items, tmp_path):
    path = tmp_path / "items"
    path.write_bytes(items.tobytes())
    stored = opened(path, items.shape, items.dtype, 0)
    path.unlink()
    with pytest.raises(LoraeError, match=f"data: cannot open {path}"):
        stored[0]


def test_another_process_opens_the_file_itself(items, stored):
    again = pickle.loads(pickle.dumps(stored.at(slice(5, 50))))
    np.testing.assert_array_equal(again[::5], items[5:50:5])


def test_temporary_items_are_written_and_filled(items, tmp_path):
    written = temporary(tmp_path, items.shape, items.dtype)
    for row, item in enumerate(items[:20]):
        written[row] = item
    written[20:] = items[20:]
    np.testing.assert_array_equal(np.asarray(written), items)
    calls = []

    def fill():
        calls.append(1)
        return (items[rows] for rows in parts(items, 900))

    filled = temporary(tmp_path, items.shape, items.dtype, fill)
    assert calls == []
    np.testing.assert_array_equal(filled[::-7], items[::-7])
    assert (filled[0] == items[0]).all()
    assert calls == [1]
    assert list(tmp_path.iterdir()) == []  # without a name


def test_a_temporary_file_without_room_names_the_way_out(items, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stored_items, "reserve", refuse)
    with pytest.raises(LoraeError, match="No space left on device; set LORAE_CACHE"):
        temporary(tmp_path, items.shape, items.dtype)[0]
    monkeypatch.undo()
    written = temporary(tmp_path, items.shape, items.dtype)
    monkeypatch.setattr(os, "pwrite", refuse)
    with pytest.raises(CannotWriteError, match="No space left on device; set LORAE_CACHE"):
        written[0] = items[0]


@pytest.mark.parametrize("most", ["0", "0.05", "512"])
def test_collected_items_are_in_a_file_once_they_are_many(items, tmp_path, monkeypatch, most):
    monkeypatch.setenv("LORAE_IN_MEMORY", most)
    collected = Collected(lambda: tmp_path)
    for rows in parts(items, 640):
        collected.add(items[rows])
    found = collected.items()
    assert isinstance(found, StoredItems) == (items.nbytes > float(most) * 2**20)
    np.testing.assert_array_equal(np.asarray(found), items)


def test_numbers_of_all_items(items, stored):
    np.testing.assert_allclose(mean_of(stored), items.mean(axis=0, dtype=np.float64), rtol=1e-12)
    assert stored_items.largest_value(stored) == items.max()
    assert plain_items(stored, "items") is stored
    words = StoredItems(array_file.ArrayFile(lambda: -1, (3,), "U4"))
    with pytest.raises(LoraeError, match="items: got dtype <U4"):
        plain_items(words, "items")


def test_all_items_become_an_array_only_if_the_memory_has_room(stored, monkeypatch):
    monkeypatch.setattr("lorae.system.memory.memory", lambda: 1000)
    with pytest.raises(LoraeError, match=r"data: 5,000 items .*GiB of memory"):
        np.asarray(stored)


@pytest.mark.parametrize("given", ["much", "-1", "nan", "inf"])
def test_a_wrong_size_of_memory_is_named(monkeypatch, given):
    monkeypatch.setenv("LORAE_IN_MEMORY", given)
    with pytest.raises(LoraeError, match=f"LORAE_IN_MEMORY: got '{given}', expected"):
        in_memory_bytes()


def test_identity_changes_with_the_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert identity_of([path]) == ""  # it may change again within the resolution of the clock
    monkeypatch.setattr(stored_items, "SETTLED", 0)
    first = identity_of([path])
    assert first
    assert identity_of([path]) == first
    assert identity_of([path], "other") != first
    times = path.stat()
    path.write_bytes(b"54321")
    os.utime(
        path, ns=(times.st_atime_ns, times.st_mtime_ns)
    )  # which programs can set back, unlike the time of the entry
    assert identity_of([path]) != first
    assert identity_of([tmp_path / "none"]) == ""
