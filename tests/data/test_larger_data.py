"""Data that stay in files give the same items, fingerprints and messages as those in memory."""

import zipfile
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import lorae
from lorae.data import pieces
from lorae.errors import LoraeError
from lorae.system import stored_items

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (60, 3, 16, 16), dtype=np.uint8)
VECTORS = (RNG.normal(size=(400, 5)) * [1, 2, 3, 4, 5] + 1).astype(np.float32)
FAR = VECTORS.astype(np.float64) + 1e6


def write_npy(values, folder):
    np.save(folder / "items.npy", values)
    return folder / "items.npy"


def write_npz(values, folder):
    np.savez(folder / "items.npz", X=values, y=np.arange(len(values)) % 3)
    return folder / "items.npz"


def write_packed(values, folder):
    np.savez_compressed(folder / "items.npz", values)
    return folder / "items.npz"


def write_split(values, folder):
    np.savez(folder / "items.npz", train=values[10:], test=values[:10])
    return folder / "items.npz"


def write_parquet(values, folder):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    table = pandas.DataFrame(values, columns=list("abcde"), index=pandas.Index(range(7, 7 + len(values)), name="place"))
    table.astype({"c": np.float64}).to_parquet(folder / "items.parquet", row_group_size=33)
    return folder / "items.parquet"


def write_folder(values, folder):
    for number, picture in enumerate(values):
        place = folder / "pictures" / f"class{number % 2}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.transpose(1, 2, 0)).resize((20 + number % 3, 22)).save(place / f"{number}.png")
    (folder / "pictures" / "class0" / "bad.png").write_bytes(b"no picture")
    return folder / "pictures"


def write_zip(values, folder):
    written = write_folder(values, folder)
    with zipfile.ZipFile(folder / "pictures.zip", "w") as archive:
        for path in sorted(written.rglob("*.png")):
            archive.write(path, path.relative_to(folder))
    return folder / "pictures.zip"


CASES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "images in npy": (write_npy, IMAGES, {}),
    "images of other axes": (write_npy, IMAGES.transpose(0, 2, 3, 1).copy(), {}),
    "gray images": (write_npy, IMAGES[:, 0], {}),
    "images that are resized": (write_npy, IMAGES, {"size": 8}),
    "images that are cropped": (write_npy, IMAGES, {"crop": 12}),
    "images that become gray": (write_npy, IMAGES, {"channels": 1}),
    "images of floats": (write_npy, IMAGES / 255, {}),
    "images with a range": (write_npy, IMAGES, {"value_range": (0, 511)}),
    "images with labels": (write_npz, IMAGES, {}),
    "packed images": (write_packed, IMAGES, {}),
    "images with a split": (write_split, IMAGES, {}),
    "vectors": (write_npy, VECTORS, {}),
    "vectors of doubles": (write_npy, VECTORS.astype(np.float64), {}),
    "vectors far from zero": (write_npy, FAR, {}),
    "big endian": (write_npy, VECTORS.astype(">f4"), {}),
    "by columns": (write_npy, np.asfortranarray(VECTORS), {}),
    "integers": (write_npy, VECTORS.astype(np.int64), {}),
    "some of them": (write_npy, VECTORS, {"limit": 100}),
    "held out": (write_npy, VECTORS, {"holdout": 50}),
    "parquet": (write_parquet, VECTORS, {}),
    "folder": (write_folder, IMAGES, {"size": 16, "skip_bad": True}),
    "zip": (write_zip, IMAGES, {"size": 16, "skip_bad": True}),
}


@pytest.mark.parametrize("name", CASES)
def test_items_in_files_are_those_in_memory(tmp_path, monkeypatch, name):
    write, values, settings = CASES[name]
    path = write(values, tmp_path)
    expected = lorae.load_data(path, **settings)
    assert not expected.train.stored
    for turn in ("first", "again"):
        monkeypatch.setenv("LORAE_IN_MEMORY", "0")
        monkeypatch.setenv("LORAE_CACHE", str(tmp_path / "another"))
        found = lorae.load_data(path, **settings)
        assert found.train.stored, turn
        assert found.describe() == expected.describe()
        for part in ("train", "test"):
            one, other = getattr(expected, part), getattr(found, part)
            assert other.inputs.shape == one.inputs.shape
            assert other.inputs.dtype == one.inputs.dtype
            np.testing.assert_array_equal(np.asarray(other.inputs), one.inputs)
            np.testing.assert_array_equal(other.labels, one.labels)


def test_images_and_vectors_of_their_final_type_are_not_copied(tmp_path, monkeypatch, cache):
    monkeypatch.setenv("LORAE_IN_MEMORY", "0")
    for values in (IMAGES, IMAGES.transpose(0, 2, 3, 1).copy(), VECTORS, FAR):
        lorae.load_data(write_npy(values, tmp_path))
        lorae.load_data(write_npz(values, tmp_path))
    assert not list(cache.rglob("train.npy"))
    lorae.load_data(write_npy(IMAGES, tmp_path), size=8)
    assert len(list(cache.rglob("train.npy"))) == 1


def test_a_file_is_read_once_for_its_fingerprint_until_it_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("LORAE_IN_MEMORY", "0")
    monkeypatch.setattr(stored_items, "SETTLED", 0)
    path, calls = write_npy(VECTORS, tmp_path), []
    digest = pieces._digest
    monkeypatch.setattr(pieces, "_digest", lambda *of: calls.append(1) or digest(*of))
    first = lorae.load_data(path).fingerprint
    assert lorae.load_data(path).fingerprint == first
    assert len(calls) == 1
    write_npy(VECTORS[::-1].copy(), tmp_path)
    assert lorae.load_data(path).fingerprint != first
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.where(np.arange(2000).reshape(400, 5) == 1504, np.nan, VECTORS), r"items.npy: got nan at index \(300, 4\)"),
        (np.full((40, 3, 8, 8), 1.5), r"items.npy: got 1.5 at index \(0, 0, 0, 0\), expected numbers in 0..1"),
        (VECTORS.astype(complex), "items.npy: got dtype complex128"),
        (np.zeros((10, 2, 0)), "items.npy: got shape"),
    ],
)
def test_the_same_is_refused(tmp_path, monkeypatch, values, expected):
    path = write_npy(values, tmp_path)
    for memory in ("512", "0"):
        monkeypatch.setenv("LORAE_IN_MEMORY", memory)
        with pytest.raises(LoraeError, match=expected):
            lorae.load_data(path)


def test_missing_values_of_a_large_table_are_refused_with_their_place(tmp_path, monkeypatch):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    values = VECTORS.copy()
    values[350, 2] = np.nan
    pandas.DataFrame(values, columns=list("abcde")).convert_dtypes().to_parquet(tmp_path / "items.parquet")
    monkeypatch.setenv("LORAE_IN_MEMORY", "0")
    with pytest.raises(LoraeError, match=r"items.parquet, rows from 0 on: got 1 missing values in column 'c'.*350"):
        lorae.load_data(tmp_path / "items.parquet")


def test_a_damaged_large_file_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("LORAE_IN_MEMORY", "0")
    path = write_npy(VECTORS, tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(LoraeError, match=r"items.npy: not a readable .npy file .*too short"):
        lorae.load_data(path)
    packed = write_packed(VECTORS, tmp_path)
    content = bytearray(packed.read_bytes())
    content[len(content) // 2] ^= 255
    packed.write_bytes(content)
    with pytest.raises(LoraeError, match=r"items.npz: arr_0.npy cannot be unpacked") as caught:
        lorae.load_data(packed)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_a_memory_map_is_read_in_its_file(tmp_path, monkeypatch, mode):
    path = write_npy(VECTORS, tmp_path)
    expected = lorae.load_data(VECTORS[10:])
    monkeypatch.setenv("LORAE_IN_MEMORY", "0")
    mapped = np.load(path, mmap_mode=mode)[10:]
    if mode != "r":
        mapped[3, 2] = expected.train.inputs[0, 0]  # a change of the map is one of the data
        expected = lorae.load_data(np.array(mapped))
    found = lorae.load_data(mapped)
    assert found.train.stored
    assert found.fingerprint == expected.fingerprint
    np.testing.assert_array_equal(np.asarray(found.train.inputs), np.asarray(expected.train.inputs))


class Stream(IterableDataset):
    def __iter__(self):
        return iter(torch.from_numpy(VECTORS))


MAP_STYLE = TensorDataset(torch.from_numpy(VECTORS))


@pytest.mark.parametrize("data", [MAP_STYLE, DataLoader(Stream(), batch_size=7), Stream()])
def test_a_data_set_of_torch_goes_into_a_file(monkeypatch, data):
    expected = lorae.load_data(data)
    monkeypatch.setenv("LORAE_IN_MEMORY", "0")
    found = lorae.load_data(data)
    assert found.train.stored
    assert found.fingerprint == expected.fingerprint
    np.testing.assert_array_equal(np.asarray(found.train.inputs), expected.train.inputs)
