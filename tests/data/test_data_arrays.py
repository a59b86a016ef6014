from typing import Any

import numpy as np
import pytest

from lorae.data import DataSettings, load_data
from lorae.errors import LoraeError

RANDOM = np.random.default_rng(0)
BYTES = RANDOM.integers(0, 256, (10, 8, 16, 3), np.uint8)


def load(data, **more):
    named, array = ("array", data) if isinstance(data, np.ndarray) else (str(data), None)
    return load_data(DataSettings.from_values({"data": named, **more}, str), array)


def all_inputs(dataset):
    return np.concatenate([dataset.train.inputs, dataset.test.inputs])


def as_sets(array):
    return sorted(item.tobytes() for item in array)


@pytest.mark.parametrize(
    ("array", "shape"),
    [
        (BYTES, (3, 8, 16)),
        (BYTES.transpose(0, 3, 1, 2), (3, 8, 16)),
        (BYTES[..., :1], (1, 8, 16)),
        (BYTES[..., 0], (1, 8, 16)),
        (BYTES[..., 0].astype(np.int64), (1, 8, 16)),
        (BYTES[..., 0] / 255, (1, 8, 16)),
        ((BYTES[..., 0] / 255).astype(np.float32), (1, 8, 16)),
    ],
)
def test_images(array, shape):
    dataset = load(array)
    assert dataset.kind == "images"
    assert dataset.shape == shape
    assert dataset.train.inputs.dtype == np.uint8
    assert (len(dataset.train), len(dataset.test)) == (9, 1)
    expected = BYTES.transpose(0, 3, 1, 2)[:, : shape[0]]
    assert as_sets(all_inputs(dataset)) == as_sets(np.ascontiguousarray(expected))


def test_truth_values_are_black_and_white():
    dataset = load(BYTES[..., 0] > 100)
    assert np.unique(all_inputs(dataset)).tolist() == [0, 255]


def test_vectors():
    array = RANDOM.normal(size=(20, 5))
    dataset = load(array, test_fraction=0.25)
    assert dataset.kind == "vectors"
    assert (len(dataset.train), len(dataset.test)) == (15, 5)
    assert dataset.train.inputs.dtype == np.float32
    assert as_sets(all_inputs(dataset)) == as_sets(array.astype(np.float32))


def test_float16_and_integer_vectors():
    assert load(np.arange(20).reshape(10, 2) * 1000).train.inputs.max() > 255
    assert load(np.ones((10, 2), np.float16)).train.inputs.dtype == np.float32


@pytest.mark.parametrize(
    ("place", "value", "dtype", "expected"),
    [
        ((3, 1, 2, 0), 256, np.int16, r"got 256 at index \(3, 1, 2, 0\), expected numbers in 0\.\.255"),
        ((3, 1, 2, 0), -1, np.int64, r"got -1 at index \(3, 1, 2, 0\)"),
        ((9, 0, 0, 0), 1.5, np.float32, r"got 1\.5 at index \(9, 0, 0, 0\), expected numbers in 0\.\.1"),
        ((0, 0, 0, 2), np.nan, np.float64, r"got nan at index \(0, 0, 0, 2\)"),
        ((0, 0, 0, 2), np.inf, np.float64, "got inf"),
    ],
)
def test_first_bad_image_value_is_named(place, value, dtype, expected):
    array = np.zeros((10, 8, 8, 3), dtype)
    array[place] = value
    with pytest.raises(LoraeError, match=expected):
        load(array)


@pytest.mark.parametrize("value", [np.nan, -np.inf, 1e300])
def test_vectors_must_be_finite(value):
    array = np.zeros((3000, 2))
    array[2500, 1] = value
    with pytest.raises(LoraeError, match=r"at index \(2500, 1\), expected finite"):
        load(array)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(5),
        np.zeros((5, 8, 8, 2)),
        np.zeros((5, 3, 8, 3)),
        np.zeros((5, 0)),
        np.zeros((5, 8), complex),
        np.array([["a", "b"]] * 5),
    ],
)
def test_other_arrays_are_refused(array):
    with pytest.raises(LoraeError, match="expected"):
        load(array)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_items(count):
    with pytest.raises(LoraeError, match="at least 2"):
        load(np.zeros((count, 4)))


@pytest.mark.parametrize(
    ("shape", "kind", "expected"),
    [
        ((2, 10), "tensors", "tensors"),
        ((3, 8, 8), "tensors", "tensors"),
        ((1, 4, 5, 6), "auto", "tensors"),
        ((7,), "tensors", "vectors"),
        ((9, 8), "auto", "images"),
        ((9, 8), "images", "images"),
    ],
)
def test_the_kind_of_items_is_chosen_by_their_axes_or_by_name(shape, kind, expected):
    values = np.random.default_rng(0).random((5, *shape))
    dataset = load(values, kind=kind)
    assert dataset.kind == dataset.describe()["kind"] == expected
    if expected == "tensors":
        assert dataset.shape == shape
        parts = np.concatenate([dataset.train.inputs, dataset.test.inputs])
        np.testing.assert_array_equal(np.sort(parts.ravel()), np.sort(values.astype(np.float32).ravel()))


def test_tensors_have_finite_values_and_no_pixels():
    with pytest.raises(LoraeError, match=r"nan at index \(1, 0, 2\), expected finite"):
        load(np.where(np.arange(40).reshape(4, 2, 5) == 12, np.nan, 0.0), kind="tensors")
    with pytest.raises(LoraeError, match="size: got 8"):
        load(np.zeros((4, 2, 5)), kind="tensors", size=8)
    with pytest.raises(LoraeError, match=r"kind: got 'tensors', but shapes-grey holds images"):
        load_data(DataSettings(data="shapes-grey", limit=10, kind="tensors"))


def test_images_may_have_any_sides():
    assert load(np.zeros((5, 28, 28), np.uint8)).shape == (1, 28, 28)
    assert load(np.zeros((5, 28, 28), np.uint8), size=32).shape == (1, 32, 32)
    assert load(np.zeros((5, 28, 28), np.uint8), crop=24).shape == (1, 24, 24)
    assert load(np.zeros((5, 28, 28), np.uint8), size=32, channels=3).shape == (3, 32, 32)


@pytest.mark.parametrize("setting", ["size", "crop", "channels"])
def test_vectors_have_no_pixels(setting):
    with pytest.raises(LoraeError, match=f"{setting}: got"):
        load(np.zeros((5, 4)), **{setting: {"size": 8, "crop": 8, "channels": 3}[setting]})


def test_npy_file(tmp_path):
    np.save(tmp_path / "digits.npy", BYTES)
    dataset = load(tmp_path / "digits.npy")
    assert dataset.name == "digits"
    assert str(tmp_path) in dataset.source
    assert as_sets(all_inputs(dataset)) == as_sets(all_inputs(load(BYTES)))
    fingerprint = dataset.fingerprint
    assert load(tmp_path / "digits.npy").fingerprint == fingerprint
    np.save(tmp_path / "digits.npy", 255 - BYTES)
    assert load(tmp_path / "digits.npy").fingerprint != fingerprint


@pytest.mark.parametrize(
    "keys",
    [("train", "test", "train_labels", "test_labels"), ("x_train", "x_test", "y_train", "y_test")],
)
@pytest.mark.parametrize("labelled", [True, False])
def test_npz_with_a_split(tmp_path, keys, labelled):
    labels = np.arange(10, dtype=np.uint8)[:, None]
    arrays = [BYTES[:7], BYTES[7:], labels[:7], labels[7:]]
    chosen = dict(zip(keys, arrays, strict=True)) if labelled else dict(zip(keys[:2], arrays[:2], strict=True))
    np.savez(tmp_path / "a.npz", **chosen)
    dataset = load(tmp_path / "a.npz")
    np.testing.assert_array_equal(dataset.test.inputs, BYTES[7:].transpose(0, 3, 1, 2))
    if labelled:
        assert dataset.train.labels.tolist() == list(range(7))
        assert dataset.test.labels.dtype == np.int64
    else:
        assert dataset.train.labels is None


@pytest.mark.parametrize("key", ["images", "data", "X", "x"])
@pytest.mark.parametrize("label_key", ["labels", "y", None])
def test_npz_without_a_split(tmp_path, key, label_key):
    vectors = np.arange(20.0).reshape(10, 2)
    arrays: dict[str, Any] = {key: vectors} | ({label_key: np.arange(10)} if label_key else {})
    np.savez(tmp_path / "a.npz", **arrays)
    dataset = load(tmp_path / "a.npz")
    if label_key:
        np.testing.assert_array_equal(dataset.train.inputs[:, 0], 2 * dataset.train.labels)
    else:
        assert dataset.train.labels is None


def test_npz_with_one_array_of_any_name(tmp_path):
    np.savez(tmp_path / "a.npz", BYTES)
    assert load(tmp_path / "a.npz").shape == (3, 8, 16)


def test_npz_with_other_keys_lists_them(tmp_path):
    np.savez(tmp_path / "a.npz", left=BYTES, right=BYTES)
    with pytest.raises(LoraeError, match="got the keys left, right, expected train and test"):
        load(tmp_path / "a.npz")


def test_labels_beyond_int64_are_refused_instead_of_negative(tmp_path):
    np.savez(tmp_path / "a.npz", x=BYTES, y=np.full(10, 2**63, np.uint64))
    with pytest.raises(LoraeError, match=r"label of 9223372036854775808, expected at most 9223372036854775807"):
        load(tmp_path / "a.npz")


@pytest.mark.parametrize("labels", [np.arange(9), np.arange(10) / 2, np.zeros((10, 4), int)])
def test_labels_that_do_not_fit(tmp_path, labels):
    np.savez(tmp_path / "a.npz", x=BYTES, y=labels)
    with pytest.raises(LoraeError, match=r"expected \(10,\) integers"):
        load(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("train", "test", "expected"),
    [
        (np.zeros((4, 8, 8), np.uint8), np.zeros((4, 3)), "one kind"),
        (np.zeros((4, 2)), np.zeros((4, 3)), "one shape"),
        (np.zeros((4, 8, 8), np.uint8), np.zeros((4, 16, 16), np.uint8), "one size"),
        (np.zeros((4, 8, 8), np.uint8), np.zeros((0, 8, 8), np.uint8), "test split is empty"),
    ],
)
def test_splits_that_do_not_fit_each_other(tmp_path, train, test, expected):
    np.savez(tmp_path / "a.npz", train=train, test=test)
    with pytest.raises(LoraeError, match=expected):
        load(tmp_path / "a.npz")


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_files_that_cannot_be_read(tmp_path, name):
    (tmp_path / name).write_bytes(b"no array")
    with pytest.raises(LoraeError, match=r"not a readable \.np"):
        load(tmp_path / name)


def test_pickled_objects_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    with pytest.raises(LoraeError, match="not a readable"):
        load(tmp_path / "a.npy")


def test_array_in_memory_is_neither_cached_nor_changed(cache):
    array = RANDOM.normal(size=(20, 5)).astype(np.float32)
    before = array.copy()
    dataset = load(array)
    dataset.train.inputs[:] = 0
    np.testing.assert_array_equal(array, before)
    assert not cache.exists()


def test_settings_compare_and_hash():
    assert DataSettings(data="mnist") == DataSettings(data="mnist")
    assert DataSettings(data="mnist") != DataSettings(data="celeba")
    assert len({DataSettings(size=8), DataSettings(size=8), DataSettings(data="celeba")}) == 2


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("size", 0),
        ("size", -8),
        ("crop", 0),
        ("channels", 2),
        ("test_fraction", 0.0),
        ("test_fraction", 1.0),
        ("split_seed", -1),
    ],
)
def test_settings_out_of_range(setting, value):
    with pytest.raises(LoraeError, match=f"{setting}: "):
        load(BYTES, **{setting: value})
