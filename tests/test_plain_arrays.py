"""Arrays of users: read rightly, or refused in one line with the way out."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
import torch

import lorae
from lorae.data.collection import load_collection
from lorae.errors import LoraeError
from lorae.models.autoencoder import Autoencoder, ModelSpec
from lorae.plain_arrays import column_names, is_far, plain_array

VALUES = np.arange(12.0).reshape(6, 2)
MASK = np.zeros((6, 2), bool)
MASK[1, 1] = True


class WithUnits(np.ndarray):
    """An array class of another package, as of physical quantities."""


class Labelled:
    """An array of another package with names on its axes, as of xarray."""

    def __array__(self, *_, **__):
        return VALUES


def quantized():
    with warnings.catch_warnings():  # newer versions of torch announce the end of quantized tensors
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(torch.ones(6, 2), 0.1, 0, torch.qint8)


READ = {
    "list": VALUES.tolist(),
    "matrix": np.asmatrix(VALUES),
    "no masked entries": np.ma.array(VALUES, mask=False),
    "fortran order": np.asfortranarray(VALUES),
    "big endian": VALUES.astype(">f8"),
    "read-only view": np.broadcast_to(VALUES, VALUES.shape),
    "tensor": torch.from_numpy(VALUES),
    "gradients": torch.from_numpy(VALUES).requires_grad_(),
    "parameter": torch.nn.Parameter(torch.from_numpy(VALUES)),
    "bfloat16": torch.from_numpy(VALUES).bfloat16(),
    "negative view": torch.view_as_complex(torch.from_numpy(np.stack([VALUES, -VALUES], -1).copy())).conj().imag,
    "frame": pd.DataFrame(VALUES, columns=["a", "b"]),
    "nullable types": pd.DataFrame(VALUES).astype({0: "Int64", 1: "Float64"}),
    "repeated names": pd.DataFrame(VALUES, columns=["a", "a"]),
    "polars": pl.DataFrame(VALUES, schema=["a", "b"]),
    "polars, several types": pl.DataFrame({"a": pl.Series(VALUES[:, 0], dtype=pl.Int128), "b": VALUES[:, 1]}),
    "polars, decimals": pl.DataFrame(VALUES, schema=["a", "b"]).cast(pl.Decimal(10, 2)),
    "pyarrow": pa.table({"a": VALUES[:, 0].astype(np.int8), "b": VALUES[:, 1]}),
    "pyarrow, decimals": pa.table({"a": VALUES[:, 0], "b": VALUES[:, 1]}).cast(
        pa.schema([("a", pa.decimal128(12, 2)), ("b", pa.float32())])
    ),
    "several types": pd.DataFrame({"a": VALUES[:, 0].astype(np.int8), "b": VALUES[:, 1]}),
}

REFUSED = {
    "masked": (np.ma.array(VALUES, mask=MASK), "masked array with 1 masked entries"),
    "masked integers": (np.ma.array(VALUES.astype(int), mask=MASK), "1 masked entries.*array.filled"),
    "units": (VALUES.view(WithUnits), "a WithUnits of"),
    "labels": (Labelled(), "a Labelled of"),
    "complex": (VALUES + 1j, "complex128.*real and the imaginary parts"),
    "times": (VALUES.astype("datetime64[s]"), r"datetime64\[s\].*convert the times"),
    "durations": (VALUES.astype("timedelta64[s]"), r"timedelta64\[s\].*convert the times"),
    "objects": (VALUES.astype(object), "dtype object"),
    "words": (VALUES.astype(str), "dtype <U"),
    "structured": (np.zeros(6, [("a", float), ("b", float)]), "structured_to_unstructured"),
    "records": (VALUES.view([("a", float), ("b", float)]).view(np.recarray), "structured_to_unstructured"),
    "ragged list": ([[1.0], [1.0, 2.0]], "not an array"),
    "sparse matrix": (scipy.sparse.csr_matrix(VALUES), "sparse csr_matrix.*toarray"),
    "sparse array": (scipy.sparse.coo_array(VALUES), "sparse coo_array.*toarray"),
    "sparse tensor": (torch.from_numpy(VALUES).to_sparse(), "layout sparse_coo.*to_dense"),
    "quantized": (quantized(), "quantized.*dequantize"),
    "meta tensor": (torch.empty(6, 2, device="meta"), "cannot convert a tensor"),
    "complex tensor": (torch.ones(6, 2, dtype=torch.complex64), "complex64"),
    "missing values": (pd.DataFrame({"a": [1.0, np.nan]}), "1 missing values in column 'a'.*dropna"),
    "nullable missing": (pd.DataFrame({"a": pd.array([1, None], dtype="Int64")}), "1 missing values in column 'a'"),
    "categories": (pd.DataFrame({"a": pd.Categorical([1, 2])}), "column 'a' of dtype category.*get_dummies"),
    "text column": (pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}), "column 'b' of dtype"),
    "time column": (pd.DataFrame({"a": pd.to_datetime(["2020", "2021"])}), "column 'a' of dtype datetime64"),
    "object column": (pd.DataFrame({"a": np.array([1, 2], dtype=object)}), "column 'a' of dtype object"),
    "time column of polars": (pl.DataFrame({"a": [1], "b": [1]}).cast({"b": pl.Datetime}), "column 'b' .*seconds"),
    "polars, missing": (
        pl.DataFrame({"a": [1, 2, None]}),
        r"1 missing values .*\(first in row 2\).*drop_nulls",
    ),
    "polars, categories": (
        pl.DataFrame({"a": ["x"]}, schema={"a": pl.Categorical}),
        "dtype Categorical.*to_dummies",
    ),
    "polars, lists": (pl.DataFrame({"a": [[1, 2]]}), "column 'a' of dtype List"),
    "lazy frame": (pl.LazyFrame({"a": [1]}), "got a LazyFrame.*collect"),
    "pyarrow, missing": (pa.table({"a": [1, None]}), "1 missing values in column 'a'.*drop_null"),
    "pyarrow, text": (pa.table({"a": ["x"]}), "column 'a' of dtype string"),
    "sparse column": (pd.DataFrame({"a": pd.arrays.SparseArray([0.0, 1.0])}), "column 'a' of dtype Sparse"),
}


@pytest.mark.parametrize("name", READ)
def test_arrays_that_are_read(name):
    array = plain_array(READ[name], "array")
    assert type(array) is np.ndarray
    np.testing.assert_array_equal(array, VALUES)


@pytest.mark.parametrize("name", REFUSED)
def test_arrays_that_are_refused_in_one_line(name):
    array, expected = REFUSED[name]
    with pytest.raises(LoraeError, match=f"^here: .*{expected}") as caught:
        plain_array(array, "here")
    assert "\n" not in str(caught.value)


def test_truth_values_are_numbers():
    for frame in (pd.DataFrame, pl.DataFrame, pa.table):
        array = plain_array(frame({"a": [True, False], "b": [0.5, 2.0]}), "array")
        np.testing.assert_array_equal(array, [[1, 0.5], [0, 2]])


@pytest.mark.parametrize(
    ("table", "names"),
    [
        (READ["frame"], ("a", "b")),
        (READ["polars"], ("a", "b")),
        (READ["pyarrow"], ("a", "b")),
        (pd.DataFrame(VALUES), ()),
        (pd.DataFrame(VALUES, columns=["a", 1]), ()),
        (READ["frame"]["a"], ()),
        (VALUES, ()),
    ],
)
def test_columns_have_names_if_all_are_strings(table, names):
    assert column_names(table) == names


@pytest.mark.parametrize("name", ["frame", "polars", "pyarrow", "gradients", "matrix", "no masked entries"])
def test_every_entrance_reads_the_same(name):
    expected = lorae.load_data(VALUES)
    found = lorae.load_data(READ[name])
    np.testing.assert_array_equal(found.train.inputs, expected.train.inputs)
    assert found.fingerprint == expected.fingerprint
    np.testing.assert_array_equal(load_collection(READ[name]).items, load_collection(VALUES).items)
    model = Autoencoder(ModelSpec("mlp", (2,), latent_dim=2))
    np.testing.assert_array_equal(np.asarray(model.encode(READ[name])), model.encode(VALUES))


@pytest.mark.parametrize("name", sorted(set(REFUSED) - {"labels", "units", "ragged list"}))
def test_every_entrance_refuses_the_same(name):
    array, expected = REFUSED[name]
    model = Autoencoder(ModelSpec("mlp", (2,), latent_dim=2))
    for use in (lorae.load_data, load_collection):
        with pytest.raises(LoraeError, match=expected):
            use(array)
    if not isinstance(array, torch.Tensor):
        with pytest.raises(LoraeError, match=expected):
            model.encode(array)


@pytest.mark.parametrize("name", ["labels", "units"])
def test_classes_of_other_packages_are_named(name):
    with pytest.raises(LoraeError, match=r"^data: got (Labelled|WithUnits), expected a name, a path or a NumPy array"):
        lorae.load_data(REFUSED[name][0])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy])
def test_numbers_that_are_not_finite_are_named(value, convert):
    array = VALUES.copy()
    array[4, 1] = value
    with pytest.raises(LoraeError, match=rf"array: got {value} at index \(4, 1\), expected finite"):
        lorae.load_data(convert(array))


@pytest.mark.parametrize(
    ("mean", "deviation", "expected"),
    [
        (1.7e9, 86400.0, True),
        (5e6, 1e3, True),
        (300.0, 5.0, True),
        (0.0, 1.0, False),
        (1e9, 1e9, False),
        (1e9, 0.0, False),
    ],
)
def test_far_columns_are_those_that_float32_rounds_by_much(mean, deviation, expected):
    assert is_far(np.array([0.0, mean]), np.array([1.0, deviation])) == expected
