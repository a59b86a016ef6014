"""Folders and zip files of images, and CelebA."""

import io
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lorae
from lorae.data import DataSettings, load_data
from lorae.data import decode as decode_module
from lorae.errors import LoraeError


def save(path: Path, width=20, height=24, mode="RGB", seed=0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = {"RGB": 3, "L": 1, "RGBA": 4, "LA": 2}[mode]
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    Image.fromarray(pixels.squeeze()).save(path)
    return path


def fill(folder: Path, count=10, **more) -> Path:
    for number in range(count):
        save(folder / f"{number:02}.png", seed=number, **more)
    return folder


def zipped(folder: Path, path: Path, top="") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, top + file.relative_to(folder).as_posix())
    return path


def load(path, **more):
    return load_data(DataSettings(data=str(path), **more))


def test_folder_is_split_by_seed(tmp_path):
    folder = fill(tmp_path / "pictures")
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_text("no picture")
    dataset = load(folder, test_fraction=0.3)
    assert dataset.name == "pictures"
    assert dataset.train.inputs.shape == (7, 3, 64, 64)
    assert dataset.test.inputs.shape == (3, 3, 64, 64)
    assert dataset.train.labels is None
    assert str(folder) in dataset.source
    same, other = load(folder, test_fraction=0.3), load(folder, test_fraction=0.3, split_seed=1)
    np.testing.assert_array_equal(same.test.inputs, dataset.test.inputs)
    assert same.fingerprint == dataset.fingerprint != other.fingerprint


def test_centre_square_is_cut_out(tmp_path):
    folder = fill(tmp_path / "pictures", 2, width=16, height=24)
    dataset = load(folder, size=16)
    originals = {Image.open(path).crop((0, 4, 16, 20)).tobytes() for path in folder.iterdir()}
    found = [part.inputs[0].transpose(1, 2, 0).tobytes() for part in (dataset.train, dataset.test)]
    assert set(found) == originals
    dataset = load(folder, size=8, crop=8)
    originals = {Image.open(path).crop((4, 8, 12, 16)).tobytes() for path in folder.iterdir()}
    found = [part.inputs[0].transpose(1, 2, 0).tobytes() for part in (dataset.train, dataset.test)]
    assert set(found) == originals


def test_crop_that_does_not_fit(tmp_path):
    with pytest.raises(LoraeError, match="crop: got 30, but pictures are only 20x24"):
        load(fill(tmp_path / "pictures"), crop=30)


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("LA", 1), ("RGB", 3), ("RGBA", 3)])
@pytest.mark.parametrize("as_zip", [False, True])
def test_one_colored_image_makes_the_collection_colored(tmp_path, mode, channels, as_zip):
    """Whatever its place; a property of the collection is not read off one file."""

    def source():
        return zipped(folder, tmp_path / "pictures.zip") if as_zip else folder

    folder = fill(tmp_path / "pictures", mode=mode)
    assert load(source()).shape == (channels, 64, 64)
    for name in ("00", "zz"):
        save(folder / f"{name}.png", mode="RGB", seed=99)
        assert load(source()).shape == (3, 64, 64)
        assert load(source(), channels=1).shape == (1, 64, 64)
        save(folder / f"{name}.png", mode=mode)


def test_transparent_parts_become_white(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in "ab":
        Image.new("RGBA", (8, 8), (9, 9, 9, 0)).save(folder / f"{name}.png")
    assert load(folder, size=8).train.inputs.min() == 255


def test_16_bit_grey_keeps_its_upper_bits(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in "ab":
        Image.fromarray(np.full((8, 8), 200 * 256 + 3, np.uint16)).save(folder / f"{name}.png")
    dataset = load(folder, size=8)
    assert dataset.shape == (1, 8, 8)
    assert np.unique(dataset.train.inputs).tolist() == [200]


def test_pictures_are_turned_upright(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    upright = Image.fromarray(np.repeat(np.arange(8, dtype=np.uint8)[:, None], 8, axis=1))
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in "ab":
        turned.save(folder / f"{name}.png", exif=exif)
    np.testing.assert_array_equal(load(folder, size=8).train.inputs[0, 0], np.asarray(upright))


@pytest.mark.parametrize("as_zip", [False, True])
def test_split_and_class_folders(tmp_path, as_zip):
    folder = tmp_path / "animals"
    for part, count in (("train", 3), ("test", 2)):
        for name in ("dog", "cat"):
            fill(folder / part / name, count)
    path = zipped(folder, tmp_path / "animals.zip", top="animals/") if as_zip else folder
    dataset = load(path)
    assert dataset.name == "animals"
    assert dataset.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert dataset.test.labels.tolist() == [0, 0, 1, 1]
    assert dataset.train.labels.dtype == np.int64


def test_zip_holds_the_same_data_as_the_folder(tmp_path):
    folder = fill(tmp_path / "pictures")
    path = zipped(folder, tmp_path / "pictures.zip", top="pictures/")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("__MACOSX/pictures/._00.png", b"shadow")
    assert load(path).fingerprint == load(folder).fingerprint


def test_class_folders_with_a_seeded_split(tmp_path):
    for number, name in enumerate(("a", "b", "c")):
        fill(tmp_path / "pictures" / name, 4, mode="L")
        for path in (tmp_path / "pictures" / name).iterdir():
            Image.new("L", (8, 8), 50 * number).save(path)
    dataset = load(tmp_path / "pictures", size=8)
    for part in (dataset.train, dataset.test):
        np.testing.assert_array_equal(part.inputs[:, 0, 0, 0], 50 * part.labels)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_linked_folders_are_searched_once(tmp_path):
    fill(tmp_path / "elsewhere", 3)
    folder = fill(tmp_path / "pictures", 3)
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "circle").symlink_to(folder)
    dataset = load(folder)
    assert len(dataset.train) + len(dataset.test) == 6


def test_an_image_outside_the_class_folders_leaves_no_labels(tmp_path):
    for name in ("a", "b"):
        fill(tmp_path / "pictures" / name, 2)
    save(tmp_path / "pictures" / "c.png")
    assert load(tmp_path / "pictures").train.labels is None


def test_images_outside_the_split_folders_are_reported(tmp_path, capsys):
    for part in ("train", "test", "valid"):
        fill(tmp_path / "pictures" / part, 3)
    assert len(load(tmp_path / "pictures").train) == 3
    assert "left out 3 image files" in capsys.readouterr().err


@pytest.fixture
def damaged(tmp_path):
    """Ten images of which two cannot be decoded, in class folders."""
    folder = tmp_path / "pictures"
    for name in ("a", "b"):
        fill(folder / name, 5)
    whole = (folder / "a" / "00.png").read_bytes()
    (folder / "a" / "00.png").write_bytes(whole[: len(whole) // 2])
    (folder / "b" / "03.png").write_text("no picture")
    return folder


def test_bad_files_are_all_named(damaged):
    with pytest.raises(LoraeError) as caught:
        load(damaged)
    message = str(caught.value)
    assert "2 of 10 image files cannot be decoded (pass skip_bad=True" in message
    assert "a/00.png: truncated file" in message
    assert "b/03.png: not an image" in message


def test_no_more_than_three_bad_files_are_named(tmp_path):
    folder = fill(tmp_path / "pictures")
    for number in range(5):
        (folder / f"{number:02}.png").write_bytes(b"")
    with pytest.raises(LoraeError, match=r"5 of 10 .*02\.png: not an image; and 2 more"):
        load(folder)


def test_bad_files_are_left_out_on_request(damaged, capsys):
    for _ in range(2):
        dataset = load(damaged, skip_bad=True, test_fraction=0.4)
        assert len(dataset.train) + len(dataset.test) == 8
        assert len(dataset.train.labels) == len(dataset.train)
        assert len(dataset.test.labels) == len(dataset.test)
        assert "left out 2 image files" in capsys.readouterr().err
    # What was prepared with the files left out does not serve a load that is to fail.
    with pytest.raises(LoraeError, match="2 of 10"):
        load(damaged, test_fraction=0.4)


def test_good_rows_stay_with_their_labels(tmp_path):
    for number, name in enumerate(("a", "b")):
        for index in range(6):
            path = save(tmp_path / "pictures" / name / f"{index}.png")
            Image.new("L", (8, 8), 10 + number).save(path)
        (tmp_path / "pictures" / name / "2.png").write_text("no picture")
    dataset = load(tmp_path / "pictures", size=8, skip_bad=True, test_fraction=0.4)
    for part in (dataset.train, dataset.test):
        np.testing.assert_array_equal(part.inputs[:, 0, 0, 0], 10 + part.labels)


def test_damaged_member_of_a_zip_file(tmp_path):
    path = zipped(fill(tmp_path / "pictures", 4), tmp_path / "pictures.zip")
    content = bytearray(path.read_bytes())
    content[100:110] = bytes(10)
    path.write_bytes(content)
    with pytest.raises(LoraeError, match=r"1 of 4 .*00\.png"):
        load(path)


def test_file_that_is_no_zip(tmp_path):
    (tmp_path / "pictures.zip").write_text("no zip")
    with pytest.raises(LoraeError, match="not a readable zip file"):
        load(tmp_path / "pictures.zip")


@pytest.mark.parametrize(("count", "expected"), [(0, "holds no image files"), (1, "holds 1 image file")])
def test_too_few_images(tmp_path, count, expected):
    folder = tmp_path / "pictures"
    folder.mkdir()
    with pytest.raises(LoraeError, match=expected):
        load(fill(folder, count))


def test_unknown_data_lists_what_is_known(tmp_path):
    with pytest.raises(LoraeError, match=r"data: got 'mnits', expected mnist, fashion-mnist, celeba, shapes, .*folder"):
        load("mnits")
    for data in (str(tmp_path / "missing"), "missing.npy"):
        with pytest.raises(LoraeError, match=rf"data: '{data}' does not exist; expected a folder or \.zip file"):
            load(data)


def test_content_decides_the_fingerprint(tmp_path):
    folder = fill(tmp_path / "pictures")
    first = load(folder)
    for path in folder.iterdir():
        os.utime(path, (0, 0))
    assert load(folder).fingerprint == first.fingerprint
    save(folder / "03.png", seed=99)
    assert load(folder).fingerprint != first.fingerprint


def test_cached_pictures_are_not_decoded_again(tmp_path, monkeypatch):
    folder = fill(tmp_path / "pictures")
    first = load(folder)

    def refuse(_):
        raise AssertionError("decoded again")

    monkeypatch.setattr(decode_module, "decode_picture", refuse)
    again = load(folder)
    np.testing.assert_array_equal(again.train.inputs, first.train.inputs)
    assert again.describe() == first.describe()


def test_moved_folder_is_found_in_the_cache_under_its_new_name(tmp_path):
    folder = fill(tmp_path / "pictures")
    first = load(folder)
    folder.rename(tmp_path / "moved")
    moved = load(tmp_path / "moved")
    assert moved.fingerprint == first.fingerprint
    assert moved.name == "moved"
    assert "moved" in moved.source


@pytest.fixture
def half_size(tmp_path):
    """Six pictures of half size that are red inside the usual crop and green outside."""
    root = tmp_path / "celeba-half"
    (root / "img_align_celeba").mkdir(parents=True)
    for number in range(6):
        picture = Image.new("RGB", (89, 109), "lime")
        picture.paste((200 + number, 0, 0), (7, 17, 81, 91))
        picture.save(root / "img_align_celeba" / f"{number + 1:06}.png")
    return root


def celeba(root, **more):
    return load_data(DataSettings(data="celeba", data_root=str(root), **more))


def test_celeba_crop_fits_half_size(half_size):
    dataset = celeba(half_size.parent)
    assert (len(dataset.train), len(dataset.test)) == (5, 1)
    assert dataset.shape == (3, 64, 64)
    assert dataset.train.labels is None
    assert dataset.train.inputs[:, 0].min() >= 200
    assert dataset.train.inputs[:, 1:].max() == 0


def test_celeba_partition_is_obeyed(half_size):
    lines = [f"{number:06}.png {part}" for number, part in enumerate([2, 0, 1, 0, 2, 0, 0, 2], 1)]
    (half_size / "list_eval_partition.txt").write_text("\n".join(lines) + "\n")
    dataset = celeba(half_size)
    assert dataset.train.inputs[:, 0, 0, 0].tolist() == [201, 203, 205]
    assert dataset.test.inputs[:, 0, 0, 0].tolist() == [200, 204]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("000001.png 0\n000002.png 3\n", "line 2"), ("000001.png 0\n", "none of the 6 pictures found is in the test")],
)
def test_celeba_partition_that_does_not_fit(half_size, text, expected):
    (half_size / "list_eval_partition.txt").write_text(text)
    with pytest.raises(LoraeError, match=expected):
        celeba(half_size)


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_celeba_partition_in_another_encoding(half_size, encoding):
    text = "\n".join(f"{number:06}.png {number % 2}  \u00e9" for number in range(1, 9))
    (half_size / "list_eval_partition.txt").write_text(text, encoding=encoding)
    with pytest.raises(LoraeError, match=r"list_eval_partition.txt: cannot be read as UTF-8 text"):
        celeba(half_size)


def test_celeba_from_a_zip_file(half_size, tmp_path):
    folder = celeba(half_size)
    root = tmp_path / "other"
    root.mkdir()
    zipped(half_size / "img_align_celeba", root / "img_align_celeba.zip", top="img_align_celeba/")
    packed = celeba(root)
    np.testing.assert_array_equal(packed.train.inputs, folder.train.inputs)
    assert packed.fingerprint == folder.fingerprint


def test_celeba_says_what_it_needs(tmp_path):
    with pytest.raises(LoraeError, match=r"pass data_root=FOLDER; expected img_align_celeba/"):
        load_data(DataSettings(data="celeba"))
    with pytest.raises(LoraeError, match=r"found no celeba in .*img_align_celeba\.zip"):
        celeba(tmp_path)


@pytest.mark.skipif("LORAE_CELEBA" not in os.environ, reason="LORAE_CELEBA names no folder with CelebA's files")
def test_real_celeba():
    dataset = celeba(os.environ["LORAE_CELEBA"])
    assert dataset.shape == (3, 64, 64)
    assert 50 < dataset.test.inputs.mean() < 200


def test_unreadable_content_never_escapes_as_another_error(tmp_path):
    """Files with every kind of damage are reported, none of them ends the load with a traceback."""
    folder = fill(tmp_path / "pictures", 4)
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(buffer, "TIFF")
    random = np.random.default_rng(0)
    for number in range(30):
        content = bytearray(buffer.getvalue())
        for place in random.integers(0, len(content), 200):
            content[place] = random.integers(256)
        (folder / f"bad{number:02}.tif").write_bytes(bytes(content))
    assert len(load(folder, skip_bad=True).train) >= 3


@pytest.mark.parametrize("top", ["", "animals/"])
@pytest.mark.parametrize("read", [lorae.load_data, lambda path: lorae.fid(path, path, features="raw", quiet=True)])
def test_a_zip_with_two_images_of_one_name_is_refused(read, top, tmp_path):
    path = zipped(fill(tmp_path / "pictures", 4), tmp_path / "pictures.zip", top=top)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(f"{top}02.png", archive.read(f"{top}01.png"))
    said = rf"data: .*pictures.zip: 1 names of images occur more than once, the first is '{top}02.png'"
    with pytest.raises(LoraeError, match=said):
        read(path)
