import zipfile

import numpy as np
import pytest
from PIL import Image

import lorae
from lorae.data import shapes
from lorae.data.collection import load_collection
from lorae.errors import LoraeError


def pixels(count=4, height=6, width=9, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, channels, height, width), np.uint8)


def write(folder, images):
    folder.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(images):
        Image.fromarray(image.transpose(1, 2, 0).squeeze()).save(folder / f"{index:02}.png")
    return folder


def zipped(folder, path):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.png")):
            archive.write(file, f"pictures/{file.relative_to(folder).as_posix()}")
    return path


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "pictures", pixels())


@pytest.fixture
def damaged(folder):
    """Four files of which the second is cut off and the fourth no image."""
    whole = (folder / "01.png").read_bytes()
    (folder / "01.png").write_bytes(whole[: len(whole) // 2])
    (folder / "03.png").write_text("no picture")
    return folder


@pytest.mark.parametrize("channels", [1, 3])
def test_folder_is_loaded_as_it_is(tmp_path, channels):
    images = pixels(channels=channels)
    folder = write(tmp_path / "pictures", images)
    (folder / "notes.txt").write_text("no picture")
    collection = load_collection(folder)
    assert collection.name == str(folder)
    assert collection.items.dtype == np.uint8
    assert len(collection) == 4
    np.testing.assert_array_equal(collection.items, images)


def test_pictures_of_folders_below_are_taken_too(tmp_path):
    write(tmp_path / "pictures" / "train" / "a", pixels(2))
    write(tmp_path / "pictures" / "test" / "b", pixels(3))
    assert len(load_collection(str(tmp_path / "pictures"))) == 5


@pytest.mark.parametrize("suffix", [".zip", ".ZIP"])
def test_zip_file_holds_the_same_as_the_folder(folder, tmp_path, suffix):
    path = zipped(folder, tmp_path / f"pictures{suffix}")
    np.testing.assert_array_equal(load_collection(path).items, load_collection(folder).items)


def test_array_files_and_arrays_hold_the_same(tmp_path):
    images = pixels()
    np.save(tmp_path / "a.npy", images)
    np.savez(tmp_path / "a.npz", anything=images)
    for source in (tmp_path / "a.npy", str(tmp_path / "a.npz"), images, images.transpose(0, 2, 3, 1)):
        np.testing.assert_array_equal(load_collection(source).items, images)
    assert load_collection(images).name == "array"


def test_vectors_are_single_precision(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(7, 3))
    np.save(tmp_path / "a.npy", vectors)
    items = load_collection(tmp_path / "a.npy").items
    assert items.dtype == np.float32
    np.testing.assert_array_equal(items, vectors.astype(np.float32))


@pytest.mark.parametrize("shape", [(5, 1, 2), (5, 1, 1), (5, 3, 7)])
def test_grey_images_of_any_size(shape):
    assert load_collection(np.zeros(shape, np.uint8)).items.shape == (5, 1, *shape[1:])


def test_floats_are_scaled_to_bytes():
    assert load_collection(np.full((2, 1, 4, 4), 0.5)).items.max() == 128


@pytest.mark.parametrize("source", ["folder", "zip", "array"])
def test_size_resizes(folder, tmp_path, source):
    given = {"folder": folder, "zip": zipped(folder, tmp_path / "a.zip"), "array": pixels()}[source]
    items = load_collection(given, size=4).items
    assert items.shape == (4, 3, 4, 4)
    for item, image in zip(items, pixels(), strict=True):
        square = Image.fromarray(image.transpose(1, 2, 0)).crop((1, 0, 7, 6))
        expected = np.asarray(square.resize((4, 4), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
        np.testing.assert_array_equal(item, expected)


def test_mixed_sizes_are_named_and_mended_by_a_size(folder):
    Image.new("RGB", (5, 7)).save(folder / "other.png")
    with pytest.raises(LoraeError, match=r"differ in size \(4 of 6x9, 1 of 7x5\), expected one size; pass size=N"):
        load_collection(folder)
    assert load_collection(folder, size=8).items.shape == (5, 3, 8, 8)


def test_pictures_on_their_side_are_turned_upright(tmp_path):
    image = pixels(1)[0]
    turned = Image.fromarray(image.transpose(1, 2, 0)).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in "ab":
        turned.save(tmp_path / f"{name}.png", exif=exif)
    np.testing.assert_array_equal(load_collection(tmp_path).items, [image, image])
    write(tmp_path, [image])  # of the same size once the others are upright
    assert load_collection(tmp_path).items.shape == (3, 3, 6, 9)


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_sources_without_pictures_are_named(tmp_path, kind):
    folder = tmp_path / "nothing"
    folder.mkdir()
    (folder / "notes.txt").write_text("no picture")
    source = folder if kind == "folder" else zipped(folder, tmp_path / "nothing.zip")
    with pytest.raises(LoraeError, match=r"nothing.* holds no image files, expected some of \.bmp"):
        load_collection(source)


@pytest.mark.parametrize("shape", [(0, 4), (0, 1, 8, 8)])
def test_empty_arrays_are_refused(shape):
    with pytest.raises(LoraeError, match="empty"):
        load_collection(np.zeros(shape, np.float32))


@pytest.mark.parametrize("kind", ["folder", "zip"])
@pytest.mark.parametrize("size", [None, 4])
def test_broken_files_are_named(damaged, tmp_path, kind, size):
    source = damaged if kind == "folder" else zipped(damaged, tmp_path / "damaged.zip")
    with pytest.raises(LoraeError, match=r"2 of 4 image files cannot be decoded \(pass skip_bad=True") as caught:
        load_collection(source, size)
    assert "01.png: truncated file" in str(caught.value)
    assert "03.png: not an image" in str(caught.value)


def test_broken_files_are_left_out_on_request(damaged, capsys):
    np.testing.assert_array_equal(load_collection(damaged, skip_bad=True).items, pixels()[[0, 2]])
    assert "left out 2 image files" in capsys.readouterr().err


def test_nothing_but_broken_files_is_an_error(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.png").write_text("no picture")
    for skip_bad in (False, True):
        with pytest.raises(LoraeError, match="2 of 2 image files cannot be decoded"):
            load_collection(tmp_path, skip_bad=skip_bad)


@pytest.mark.parametrize(("value", "place"), [(np.nan, "nan"), (1.5, "1.5"), (-0.5, "-0.5")])
def test_pixels_out_of_range_are_named(tmp_path, value, place):
    images = np.zeros((3, 1, 4, 4))
    images[2, 0, 1, 3] = value
    np.save(tmp_path / "a.npy", images)
    for source, name in ((images, "array"), (tmp_path / "a.npy", "a.npy")):
        with pytest.raises(LoraeError, match=rf"{name}: got {place} at index \(2, 0, 1, 3\), expected numbers in 0..1"):
            load_collection(source)


def test_vectors_that_are_not_finite_are_named():
    with pytest.raises(LoraeError, match=r"got inf at index \(0, 1\), expected finite"):
        load_collection(np.array([[0.0, np.inf]]))


@pytest.mark.parametrize("array", [np.zeros(4), np.zeros((2, 2, 4, 4)), np.zeros((2, 0)), np.array([["a"]])])
def test_arrays_that_are_neither_images_nor_vectors(array):
    with pytest.raises(LoraeError, match="array: got"):
        load_collection(array)


def test_npz_with_several_arrays_lists_them(tmp_path):
    np.savez(tmp_path / "a.npz", left=pixels(), right=pixels())
    with pytest.raises(LoraeError, match=r"got the keys left, right, expected .*or a single array"):
        load_collection(tmp_path / "a.npz")


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.zip"])
def test_files_that_cannot_be_read(tmp_path, name):
    (tmp_path / name).write_bytes(b"neither")
    with pytest.raises(LoraeError, match=rf"{name}: not a readable"):
        load_collection(tmp_path / name)


def test_npz_file_that_is_cut_off(tmp_path):
    np.savez(tmp_path / "a.npz", pixels())
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(LoraeError, match="not a readable"):
        load_collection(tmp_path / "a.npz")


def test_pickled_objects_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    with pytest.raises(LoraeError, match="not a readable"):
        load_collection(tmp_path / "a.npy")


@pytest.mark.filterwarnings("ignore:frechet distance")
def test_a_range_is_given_for_both_collections(tmp_path):
    """Of 12 bits in files of 16."""
    values = np.random.default_rng(0).integers(0, 4096, (6, 8, 8)).astype(np.uint16)
    for number, image in enumerate(values):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    folder, array = (load_collection(source, value_range=(0, 4095)).items for source in (tmp_path, values))
    np.testing.assert_array_equal(folder, array)
    assert np.abs(array[:, 0] - values / 4095 * 255).max() <= 0.5
    found = lorae.fid(tmp_path, values, features="raw", value_range="0:4095", quiet=True)
    assert found["fid"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("source", ["missing", "mnist", "mnist:valid", "mnits:test", "notes.txt", ""])
def test_unknown_sources_are_named(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("no picture")
    if not source:
        source = str(tmp_path / "missing")
    with pytest.raises(LoraeError, match=rf"data: got '{source}', expected a folder or .zip .* as in mnist:test"):
        load_collection(source)


@pytest.mark.parametrize(("split", "count"), [("train", 12), ("test", 5)])
def test_splits_of_named_data(monkeypatch, split, count):
    monkeypatch.setattr(shapes, "COUNTS", {"train": 12, "test": 5})
    collection = load_collection(f"shapes-grey:{split}", size=16)
    assert collection.name == f"shapes-grey:{split}"
    assert collection.items.shape == (count, 1, 16, 16)
