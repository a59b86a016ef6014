import numpy as np
import pytest

from lorae.errors import LoraeError
from lorae.runs.figure_data import FigureData, FigureDataFile, figure_items_path, read_figure_items, write_figure_items
from lorae.system.files import CannotWriteError


def test_what_is_written_is_read(tmp_path):
    data = FigureData(errors=np.array([1, 2], dtype=np.float32), labels=np.array([3]))
    FigureDataFile(tmp_path).write(data)
    found = FigureDataFile(tmp_path).read()
    np.testing.assert_array_equal(found.errors, data.errors)
    np.testing.assert_array_equal(found.labels, data.labels)
    assert found.codes is None


def test_a_run_of_an_earlier_version_has_none(tmp_path):
    file = FigureDataFile(tmp_path)
    assert not file.exists
    assert file.read() is None
    file.delete()


def test_arrays_stay_in_memory_while_they_cannot_be_written(tmp_path):
    file = FigureDataFile(tmp_path / "file" / "below")
    (tmp_path / "file").write_text("")
    data = FigureData(errors=np.array([1], dtype=np.float32))
    with pytest.raises(CannotWriteError):
        file.write(data)
    assert file.exists
    assert file.read() is data


@pytest.mark.parametrize("content", [b"", b"no tensors", b"\0" * 64])
def test_damage_is_named(tmp_path, content):
    (tmp_path / "figure_data.safetensors").write_bytes(content)
    with pytest.raises(LoraeError, match=r"figure_data\.safetensors: does not hold the arrays of figures"):
        FigureDataFile(tmp_path).read()


def test_the_items_of_a_figure_are_read_without_pickles(tmp_path):
    items = np.arange(6, dtype=np.uint8).reshape(2, 3)
    write_figure_items(items, tmp_path / "samples.png")
    np.testing.assert_array_equal(read_figure_items(tmp_path / "samples.png"), items)
    np.save(tmp_path / "samples.npy", np.array([{}], dtype=object), allow_pickle=True)
    (tmp_path / "samples.npy").rename(figure_items_path(tmp_path / "samples.png"))
    with pytest.raises(LoraeError, match=r"samples\.safetensors: does not hold the arrays of figures"):
        read_figure_items(tmp_path / "samples.png")
