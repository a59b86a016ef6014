"""Files of a run, of an estimator and of the cache whose bytes have changed are refused, or say the same as before."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lorae import LoRAE
from lorae.data import cache
from lorae.errors import LoraeError
from lorae.runs.run import Run
from lorae.system.files import read_file
from lorae.system.tensor_file import DamagedFileError, check_seal, sealed

FLIPS = 60


def estimator_of(path):
    model = LoRAE.load(path)
    return {**model.model_.state_dict(), "codes": torch.from_numpy(model._codes)}


# What is read, and the file that is damaged.
READERS = {
    "weights": ("model.safetensors", lambda folder: Run(folder).load_model().state_dict()),
    "checkpoint": ("checkpoints/last.pt", lambda folder: Run(folder).load_checkpoint()),
    "encoder outputs": ("encoder_outputs.safetensors", lambda folder: {"h": Run(folder).encoder_outputs()}),
    "reference items": ("reference_items.safetensors", lambda folder: {"items": Run(folder).reference_items()}),
    "estimator": ("estimator.safetensors", lambda folder: estimator_of(folder / "estimator.safetensors")),
    "cache": ("key/train.npy", lambda folder: {"train": stored(folder).train.inputs}),
    "cached labels": ("key/train_labels.npy", lambda folder: {"labels": stored(folder).train.labels}),
}
kinds = pytest.mark.parametrize("kind", READERS)


def stored(folder):
    return cache._read("name", "key", folder / "key")[0]


@pytest.fixture(scope="module")
def written(trained, tmp_path_factory):
    """A folder with every kind of file."""
    folder = tmp_path_factory.mktemp("written") / "run"
    shutil.copytree(trained.path, folder)
    LoRAE(rank=1, random_state=0).fit(np.random.default_rng(0).normal(size=(10, 3))).save(
        folder / "estimator.safetensors"
    )

    def prepare(builder):
        for part in cache.PARTS:
            builder.create(part, (50, 6), np.uint8)[:] = np.arange(300).reshape(50, 6) % 256
            builder.set_labels(part, np.arange(50))
        return cache.DatasetInfo("numbers")

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LORAE_CACHE", str(folder / "cache"))
        cache.cached("name", "key", prepare)
    (folder / "cache" / "data" / "key").rename(folder / "key")
    return folder


@pytest.fixture
def damaged(written, tmp_path):
    """A copy to damage."""
    return shutil.copytree(written, tmp_path / "run")


def read(kind, folder):
    """The content as nested tuples that can be compared, or None where the file is refused in one line."""
    try:
        return plain(READERS[kind][1](folder))
    except (LoraeError, ValueError) as error:
        (line,) = str(error).splitlines()
        return None if str(folder) in line else line


def plain(value):
    if isinstance(value, dict):
        return tuple((key, plain(value[key])) for key in value)
    if isinstance(value, (list, tuple)):
        return tuple(map(plain, value))
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return str(value.dtype), tuple(value.shape), np.asarray(value).tobytes()
    return value


@kinds
def test_a_flipped_bit_is_noticed_or_changes_nothing(kind, written, damaged):
    path = damaged / READERS[kind][0]
    content, expected = path.read_bytes(), read(kind, written)
    assert expected is not None
    generator = np.random.default_rng(len(kind))
    refused = 0
    for position in generator.integers(len(content), size=FLIPS):
        changed = bytearray(content)
        changed[position] ^= 1 << int(generator.integers(8))
        path.write_bytes(changed)
        os.utime(path, ns=(int(position), int(position)))  # written at another time
        found = read(kind, damaged)
        assert found in (None, expected), f"bit of byte {position} of {len(content)}"
        refused += found is None
    assert refused > FLIPS / 2


@kinds
@pytest.mark.parametrize("damage", ["empty", "half", "a folder", "a pipe", "text"])
def test_another_file_in_its_place_is_refused_in_one_line(kind, damage, damaged):
    path = damaged / READERS[kind][0]
    content = path.read_bytes()
    path.unlink()
    if damage == "a folder":
        path.mkdir()
    elif damage == "a pipe":
        os.mkfifo(path)
    else:
        path.write_bytes({"empty": b"", "half": content[: len(content) // 2], "text": b"not that\n" * 40}[damage])
    assert read(kind, damaged) is None


def test_a_missing_array_of_the_cache_is_noticed(damaged):
    (damaged / "key" / "test_labels.npy").unlink()
    assert read("cache", damaged) is None


def test_a_cache_of_an_earlier_version_has_no_checksums(damaged, written):
    info = damaged / "key" / "info.json"
    text = info.read_text()
    info.write_text(text[: text.index(',\n "arrays"')] + "}")
    assert read("cache", damaged) == read("cache", written)


@pytest.mark.parametrize("metadata", [None, {"b": "1", "a": "2"}])
def test_a_sealed_file_is_one_of_safetensors(metadata):
    from safetensors.numpy import load, save

    arrays: dict[str, Any] = {"odd": np.arange(3, dtype=np.int16), "other": np.ones((2, 2))}
    content = sealed(save(arrays, metadata))
    check_seal(content)
    assert all(np.array_equal(load(content)[name], array) for name, array in arrays.items())
    assert content == sealed(content)
    with pytest.raises(DamagedFileError):
        check_seal(content[:-1] + bytes([content[-1] ^ 1]))
    check_seal(save(arrays, metadata))  # of another program


def test_files_are_read_up_to_a_size(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_file(path, 5) == b"12345"
    with pytest.raises(OSError, match="has 5 bytes, expected at most 4"):
        read_file(path, 4)
    for other in (tmp_path, Path("/dev/zero")):
        with pytest.raises(OSError, match="not a regular file"):
            read_file(other)
