"""Items are encoded and codes decoded by a run alone, from every kind of file and into every kind of file."""

import json

import numpy as np
import pytest
from PIL import Image

import lorae
from lorae.errors import LoraeError

pytestmark = pytest.mark.usefixtures("blank_figures")


@pytest.fixture(scope="module")
def on_vectors(vectors, small, tmp_path_factory):
    settings = {name: value for name, value in small.items() if name != "penalty"}
    return lorae.train(vectors, out=tmp_path_factory.mktemp("vectors") / "run", **settings | {"latent_dim": 3})


def read(path):
    if path.suffix == ".csv":
        return np.loadtxt(path, delimiter=",", ndmin=2, dtype=np.float32)
    loaded = np.load(path)
    return loaded if path.suffix == ".npy" else loaded[loaded.files[0]]


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv"])
def test_codes_are_those_of_the_loaded_model_in_every_file(suffix, trained, image_file, images, tmp_path):
    expected = lorae.load(trained).encode(images)
    path = tmp_path / f"codes{suffix}"
    codes = lorae.encode(trained, image_file, out=path)
    np.testing.assert_array_equal(codes, expected)
    np.testing.assert_array_equal(read(path), expected)
    np.testing.assert_array_equal(lorae.encode(trained, images[:, 0]), expected)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ""])
def test_decoded_images_are_written_to_arrays_and_folders(suffix, trained, images, tmp_path):
    model, path = lorae.load(trained), tmp_path / f"decoded{suffix}"
    np.save(tmp_path / "codes.npy", model.encode(images[:4]))
    decoded = lorae.decode(trained, tmp_path / "codes.npy", out=path)
    np.testing.assert_array_equal(decoded, np.rint(model.reconstruct(images[:4]).clip(0, 1) * 255).astype(np.uint8))
    if suffix:
        np.testing.assert_array_equal(read(path), decoded)
    else:
        pictures = [np.asarray(Image.open(each)) for each in sorted(path.iterdir())]
        np.testing.assert_array_equal(pictures, decoded[:, 0])
        np.testing.assert_array_equal(lorae.encode(trained, path), model.encode(decoded))  # a folder of images


def test_vectors_come_back_in_their_own_units(on_vectors, vectors, tmp_path):
    lorae.encode(on_vectors, vectors, out=tmp_path / "codes.csv")
    decoded = lorae.decode(on_vectors, tmp_path / "codes.csv", out=tmp_path / "items.csv")
    expected = lorae.load(on_vectors).reconstruct(vectors)
    np.testing.assert_array_equal(decoded, expected)
    np.testing.assert_array_equal(read(tmp_path / "items.csv"), expected)


def test_without_out_the_commands_print_the_rows(on_vectors, vectors, tmp_path, run_cli):
    np.save(tmp_path / "items.npy", vectors[:3])
    code, printed, errors = run_cli("encode", on_vectors.path, tmp_path / "items.npy")
    assert (code, errors) == (0, "")
    codes = np.array([line.split(",") for line in printed.splitlines()], np.float32)
    np.testing.assert_array_equal(codes, lorae.load(on_vectors).encode(vectors[:3]))
    np.save(tmp_path / "codes.npy", codes)
    code, printed, errors = run_cli("decode", on_vectors.path, tmp_path / "codes.npy", "--json")
    assert (code, errors) == (0, "")
    record = json.loads(printed)
    assert (record["n"], record["shape"]) == (3, [6])
    np.testing.assert_allclose(record["items"], lorae.load(on_vectors).decode(codes), rtol=1e-6)


def test_the_command_says_how_many_codes_are_where(trained, image_file, tmp_path, run_cli):
    code, printed, errors = run_cli("encode", trained.path, image_file, "--out", tmp_path / "codes.npy")
    assert (code, printed, errors) == (0, f"96 codes in {tmp_path / 'codes.npy'}\n", "")


def test_codes_far_from_zero_keep_their_digits_in_text():
    rows = np.array([[1.7e9 + 1 / 3, 0.1]])
    (line,) = lorae.api.writing.csv_lines(rows)
    np.testing.assert_array_equal(np.array([line.split(",")], np.float64), rows)


BAD_INPUT = {
    "existing": (["encode", "RUN", "ITEMS", "--out", "ITEMS"], "exists and is never overwritten"),
    "suffix": (["encode", "RUN", "ITEMS", "--out", "OUT.txt"], "expected an .npy, .npz or .csv file"),
    "folder for codes": (["encode", "RUN", "ITEMS", "--out", "OUT"], "expected an .npy, .npz or .csv file"),
    "images as text": (["decode", "RUN", "CODES", "--out", "OUT.csv"], "a new folder; pass --out PATH"),
    "images printed": (["decode", "RUN", "CODES"], "a new folder; pass --out PATH"),
    "width": (["decode", "RUN", "NARROW"], "shape: got 2x3, expected nx8"),
    "pickle": (["decode", "RUN", "PICKLE"], "not a readable .npy file"),
    "no file": (["decode", "RUN", "nothing.npy"], "got 'nothing.npy', expected"),
}


class Trap:
    def __reduce__(self):
        return pytest.fail, ("a pickle was executed",)


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_line_and_exit_code_2_and_writes_nothing(case, trained, image_file, tmp_path, run_cli):
    words, expected = BAD_INPUT[case]
    np.save(tmp_path / "codes.npy", np.zeros((2, 8), np.float32))
    np.save(tmp_path / "narrow.npy", np.zeros((2, 3), np.float32))
    np.save(tmp_path / "pickle.npy", np.array([Trap()], object), allow_pickle=True)
    names = {"ITEMS": image_file, "CODES": tmp_path / "codes.npy", "NARROW": tmp_path / "narrow.npy"}
    names |= {"RUN": trained.path, "PICKLE": tmp_path / "pickle.npy"}
    names |= {f"OUT{suffix}": tmp_path / f"out{suffix}" for suffix in ("", ".txt", ".csv")}
    code, printed, errors = run_cli(*(names.get(word, word) for word in words))
    assert (code, printed) == (2, "")
    assert errors.count("\n") == 1
    assert expected in errors
    assert not list(tmp_path.glob("out*"))


def test_a_generator_decodes_but_does_not_encode(vectors, small, tmp_path):
    settings = {name: value for name, value in small.items() if name != "penalty"}
    run = lorae.train(vectors, out=tmp_path / "run", method="gan", **settings | {"latent_dim": 3, "epochs": 1})
    assert lorae.decode(run, np.zeros((2, 3), np.float32)).shape == (2, 6)
    with pytest.raises(LoraeError, match="only generates"):
        lorae.encode(run, vectors)
