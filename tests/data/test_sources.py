"""One function reads whatever a user passes: training, encoding, comparing and the estimator see the same items."""

import functools

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

import lorae
from lorae.config.data_settings import DataSettings
from lorae.data.collection import for_scikit_learn, load_collection
from lorae.data.items import prepare_items, read_for_model
from lorae.data.sources import RawItems, in_order, read_items
from lorae.data.splits import seeded_split
from lorae.errors import LoraeError
from lorae.models import Autoencoder, ModelSpec
from lorae.models.scaling import as_images

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(40, 3))
IMAGES = RNG.integers(0, 65536, (12, 8, 8), dtype=np.uint16)
NAMES = ["a", "b", "c"]
FRAME = pd.DataFrame(VECTORS, columns=NAMES)


def write(path, save):
    save(path)
    return path


def stack(images):
    def save(path):
        first, *others = map(Image.fromarray, images)
        first.save(path, save_all=True, append_images=others)

    return save


def folder(path):
    path.mkdir()
    for number, image in enumerate(IMAGES):
        Image.fromarray(image).save(path / f"{number:02}.png")


# Name -> function of a folder that makes the source; all vectors are VECTORS, all images IMAGES.
VECTOR_SOURCES = {
    "array": lambda _: VECTORS,
    "tensor": lambda _: torch.from_numpy(VECTORS),
    "pandas": lambda _: FRAME,
    "polars": lambda _: pl.DataFrame(VECTORS, schema=NAMES),
    "pyarrow": lambda _: pa.Table.from_pandas(FRAME),
    "Dataset": lambda _: TensorDataset(torch.from_numpy(VECTORS)),
    "DataLoader": lambda _: DataLoader(TensorDataset(torch.from_numpy(VECTORS)), batch_size=7, shuffle=True),
    "CSV": lambda path: write(path / "a.csv", lambda p: FRAME.to_csv(p, index=False)),
    "CSV, decimal commas": lambda path: write(
        path / "a.csv", lambda p: FRAME.to_csv(p, index=False, sep=";", decimal=",")
    ),
    "Parquet": lambda path: write(path / "a.parquet", FRAME.to_parquet),
    "NumPy file": lambda path: write(path / "a.npy", lambda p: np.save(p, VECTORS)),
}
IMAGE_SOURCES = {
    "array": lambda _: IMAGES,
    "tensor": lambda _: torch.from_numpy(IMAGES),
    "DataLoader": lambda _: DataLoader(TensorDataset(torch.from_numpy(IMAGES[:, None])), batch_size=5, shuffle=True),
    "TIFF stack": lambda path: write(path / "a.tif", stack(IMAGES)),
    "TIFF stack of floats": lambda path: write(path / "a.tiff", stack((IMAGES >> 8) / np.float32(255))),
    "folder": lambda path: write(path / "images", folder),
    "arrays by key": lambda path: write(path / "a.npz", lambda p: np.savez(p, X=IMAGES, y=np.arange(12))),
}
SOURCES = [("vectors", name) for name in VECTOR_SOURCES] + [("images", name) for name in IMAGE_SOURCES]


def made(kind, name, path):
    return (VECTOR_SOURCES if kind == "vectors" else IMAGE_SOURCES)[name](path)


def as_given(kind, name):
    """Return the items as scikit-learn gets them: vectors in double precision, images as bytes or floats."""
    if kind == "vectors":
        return VECTORS
    pixels = (IMAGES >> 8).astype(np.uint8)[:, None]
    return pixels / np.float32(255) if name == "TIFF stack of floats" else pixels


def model_for(data, **settings):
    chosen, shape = DataSettings(**settings), data.shape
    model = Autoencoder.initialized(ModelSpec("mlp", shape, latent_dim=2))
    model.read = functools.partial(read_for_model, chosen, shape, data.columns)
    model.prepare = functools.partial(prepare_items, chosen, shape)
    return model


@pytest.mark.parametrize(("kind", "name"), SOURCES)
def test_training_comparing_and_encoding_take_the_same_object_as_the_same_items(tmp_path, kind, name):
    source = made(kind, name, tmp_path)
    settings = {"size": 8} if name == "folder" else {}
    data = lorae.load_data(source, **settings)
    plain = VECTORS.astype(np.float32) if kind == "vectors" else (IMAGES >> 8).astype(np.uint8)[:, None]
    train, test = seeded_split(len(plain), DataSettings())
    np.testing.assert_array_equal(data.train.inputs, plain[train])
    np.testing.assert_array_equal(data.test.inputs, plain[test])
    np.testing.assert_array_equal(load_collection(source).items, plain)
    if kind == "images":  # a network of layers takes vectors only
        np.testing.assert_array_equal(
            prepare_items(DataSettings(), (1, 8, 8), read_for_model(DataSettings(), (1, 8, 8), (), source)), plain
        )
    else:
        model = model_for(data)
        np.testing.assert_array_equal(model.encode(source), model.encode(plain))
        np.testing.assert_array_equal(model.reconstruct(source), model.reconstruct(plain))


@pytest.mark.parametrize(("kind", "name"), SOURCES)
def test_scikit_learn_sees_the_same_items(tmp_path, kind, name):
    items = np.asarray(for_scikit_learn(made(kind, name, tmp_path), "X"))
    np.testing.assert_array_equal(items if kind == "vectors" else as_images(items), as_given(kind, name))


def test_the_estimator_takes_a_table_in_a_file_with_the_names_of_its_columns(tmp_path):
    path = made("vectors", "CSV", tmp_path)
    model = lorae.LoRAE(rank=1, epochs=1, random_state=0).fit(path)
    assert list(model.feature_names_in_) == NAMES
    np.testing.assert_array_equal(model.transform(path), model.transform(FRAME))
    FRAME[["c", "b", "a"]].to_csv(tmp_path / "other.csv", index=False)
    with pytest.raises(ValueError, match="feature names"):
        model.transform(tmp_path / "other.csv")


def test_the_estimator_takes_a_loader_of_images(tmp_path):
    model = lorae.LoRAE(rank=1, epochs=1, random_state=0).fit(made("images", "DataLoader", tmp_path))
    assert model.transform(IMAGES[:, None]).shape == (12, 1)


def test_a_run_keeps_the_names_of_columns_and_orders_those_of_other_tables(tmp_path):
    data = tmp_path / "table.csv"
    FRAME.to_csv(data, index=False)
    run = lorae.train(data, out=tmp_path / "run", method="lorae+", penalty=1e-3, epochs=1, quiet=True)
    assert run.config["data"]["columns"] == NAMES
    model = lorae.load(run)
    codes = model.encode(VECTORS)
    for table in (data, FRAME, FRAME[["c", "a", "b"]], pl.DataFrame(FRAME[["b", "c", "a"]].to_dict("list"))):
        np.testing.assert_allclose(model.encode(table), codes, atol=1e-6)
    FRAME[["c", "b", "a"]].to_csv(tmp_path / "other.csv", index=False)
    np.testing.assert_allclose(model.encode(tmp_path / "other.csv"), codes, atol=1e-6)
    with pytest.raises(LoraeError, match=r"^items: got a table that lacks 'c' and has besides 'd', expected those of"):
        model.encode(FRAME.rename(columns={"c": "d"}))
    assert lorae.reconstruct(run, data=FRAME[["c", "a", "b"]], n=4).exists()


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("b", "a"), [[2, 1], [4, 3]]),
        (("a", "b"), [[1, 2], [3, 4]]),
        ((), [[1, 2], [3, 4]]),
    ],
)
def test_columns_are_ordered_by_name(names, expected):
    items = RawItems(np.array([[1, 2], [3, 4]]), "table", columns=("a", "b"))
    np.testing.assert_array_equal(in_order(items, names).inputs, expected)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (("a", "c"), "lacks 'b' and has besides 'c'.*pass 'a', 'b' only"),
        (("a", "b", "c"), "has besides 'c'"),
        (("a", "a"), "lacks 'b'"),
        (("a", "b", "b"), "repeats names"),
    ],
)
def test_other_columns_are_refused(found, expected):
    items = RawItems(np.zeros((2, len(found))), "table", columns=found)
    with pytest.raises(LoraeError, match=rf"^table: got a table that {expected}"):
        in_order(items, ("a", "b"))


def test_two_tables_are_compared_by_the_names_of_their_columns():
    found = lorae.fid(FRAME, FRAME[["c", "a", "b"]], quiet=True)
    assert found["fid"] == pytest.approx(0, abs=1e-8)


def test_a_value_of_a_table_that_is_not_finite_is_named_with_its_column():
    frame = pl.DataFrame({"a": [1.0, 2.0], "b": [3.0, float("nan")]})
    with pytest.raises(LoraeError, match=r"got nan at index \(1, 1\) \(column 'b'\), expected finite"):
        lorae.load_data(frame)


def test_an_archive_with_a_split_gives_all_its_items(tmp_path):
    np.savez(tmp_path / "a.npz", train=VECTORS[:30], test=VECTORS[30:])
    np.testing.assert_array_equal(read_items(tmp_path / "a.npz", "items").inputs, VECTORS)


@pytest.mark.parametrize(
    ("X", "expected"),
    [
        (pd.DataFrame({"a": pd.Categorical([1, 2, 3])}), "column 'a' of dtype category"),
        (pl.DataFrame({"a": ["x", "y", "z"]}), "column 'a' of dtype String"),
        ("missing.csv", r"got 'missing.csv', expected a folder"),
    ],
)
def test_the_estimator_refuses_the_same_in_one_line(X, expected):
    with pytest.raises(ValueError, match=expected):
        lorae.LoRAE().fit(X)
