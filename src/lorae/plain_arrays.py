"""Arrays of users as plain NumPy arrays of numbers; what would lose its meaning on the way is refused."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae.documentation import SPARSE_DATA, see
from lorae.errors import LoraeError

# What to do with a type that holds no plain numbers, by its NumPy kind.
REMEDIES = {
    "c": "pass the real and the imaginary parts as columns",
    "M": "convert the times to numbers, as by array.astype('datetime64[s]').astype(float)",
    "m": "convert the times to numbers, as by array / numpy.timedelta64(1, 's')",
    "V": "pass its fields as columns, as by numpy.lib.recfunctions.structured_to_unstructured(array)",
    "O": "convert it, as by array.astype(float)",
    "U": "convert it, as by array.astype(float), or encode the words as numbers",
    "S": "convert it, as by array.astype(float), or encode the words as numbers",
}


# Columns whose mean exceeds this many deviations are far from zero: float32 would round them by more than a millionth
# of their deviation.
FAR = 16


def is_far(mean: NDArray[np.float64], deviation: NDArray[np.float64]) -> bool:
    """Return whether float32 has too few digits for columns of these means and deviations; constants do not count.

    >>> is_far(np.array([1.7e9]), np.array([86400.0]))
    True
    """
    return bool(((np.abs(mean) > FAR * deviation) & (deviation > 0)).any())


# Packages of tables, and how their columns become numbers and lose their missing values.
TABLES = {
    "pandas": ("pandas.get_dummies or astype(float)", "dropna(), or fill them, as by fillna(value)"),
    "polars": ("to_dummies() or cast(polars.Float64)", "drop_nulls(), or fill them, as by fill_null(value)"),
    "pyarrow": ("cast(pyarrow.float64())", "drop_null(), or fill them, as by pyarrow.compute.fill_null"),
}


def is_array(value: Any) -> bool:
    """Return whether a value is of a type that `plain_array` reads or refuses with advice."""
    return _package(value) in ("numpy", "torch", "scipy", *TABLES)


def column_names(value: Any) -> tuple[str, ...]:
    """Return the names of a table's columns if all are strings, as scikit-learn keeps them; else none."""
    package = _package(value)
    names = getattr(value, "column_names" if package == "pyarrow" else "columns", ()) if package in TABLES else ()
    return tuple(names) if all(isinstance(name, str) for name in names) else ()


def plain_array(value: Any, title: str) -> NDArray[Any]:
    """Return an array, a list, a table of numbers or a dense tensor as a plain array of numbers.

    Tables are data frames and series of pandas and polars, and tables of pyarrow.

    Raises LoraeError, with `title` in front, for masked, sparse and quantized values, for subclasses of arrays that
    other packages define, whose units or labels would be lost, and for types that are no real numbers.

    >>> plain_array(np.ma.array([[1.0, 2.0]], mask=False), "array")
    array([[1., 2.]])
    """
    package = _package(value)
    if isinstance(value, np.ma.MaskedArray):
        return _checked(_unmasked(value, title), title)
    if package == "torch":
        return _checked(_from_tensor(value, title), title)
    if package in TABLES:
        return _checked(_from_table(value, title), title)
    if package == "scipy":
        raise LoraeError(
            f"{title}: got a sparse {type(value).__name__}, expected a dense array; pass its toarray(), or fewer dense "
            f"columns of it, as by sklearn.decomposition.TruncatedSVD{see(SPARSE_DATA)}"
        )
    if package != "numpy" and not isinstance(value, (list, tuple)):
        raise LoraeError(
            f"{title}: got a {type(value).__name__} of {package}, expected a NumPy array; pass its plain values"
        )
    try:
        return _checked(np.asarray(value), title)
    except ValueError as error:  # rows of several lengths
        raise LoraeError(f"{title}: not an array ({error})") from None


def _checked(array: NDArray[Any], title: str) -> NDArray[Any]:
    if array.dtype.kind not in "buif":
        remedy = REMEDIES.get(array.dtype.kind, "convert it")
        raise LoraeError(f"{title}: got dtype {array.dtype}, expected integers or floating point numbers; {remedy}")
    return array


def _unmasked(array: "np.ma.MaskedArray[Any, Any]", title: str) -> NDArray[Any]:
    masked = int(np.ma.getmaskarray(array).sum())
    if masked:
        raise LoraeError(
            f"{title}: got a masked array with {masked:,} masked entries, expected none; drop their rows, as by "
            "numpy.ma.compress_rows(array), or fill them, as by array.filled(value)"
        )
    return np.asarray(array.data)


def _from_tensor(tensor: Any, title: str) -> NDArray[Any]:
    kind = str(tensor.layout).removeprefix("torch.")
    if kind != "strided":
        raise LoraeError(f"{title}: got a tensor of layout {kind}, expected a dense one; pass its to_dense()")
    if tensor.is_quantized:
        raise LoraeError(f"{title}: got a quantized tensor, expected numbers; pass its dequantize()")
    try:
        # NumPy has no bfloat16; float32 holds all its values.
        tensor = tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor
        array: NDArray[Any] = tensor.detach().cpu().resolve_conj().resolve_neg().numpy()
    except (TypeError, RuntimeError) as error:  # types that NumPy lacks, and the device `meta`, which holds no values
        reason = str(error).splitlines()[0]
        raise LoraeError(f"{title}: cannot convert a tensor of {tensor.dtype} to NumPy ({reason})") from None
    return array


def _package(value: Any) -> str:
    return type(value).__module__.split(".")[0]


def check_columns(table: Any, title: str, *, missing: bool = False) -> None:
    """Raise LoraeError for a column of a table that holds no numbers and, unless `missing`, for missing values."""
    package = _package(table)
    conversion, removal = TABLES[package]
    for name, column in _columns(table, package):
        dtype, numbers = _type_of_column(column, package)
        if not numbers:
            times = any(word in str(dtype).lower() for word in ("date", "time", "duration"))
            advice = "the numbers of seconds since a start" if times else f"numbers, as by {conversion}"
            raise LoraeError(
                f"{title}: got column {name!r} of dtype {dtype}, expected numbers; convert it to {advice}, or drop it"
            )
        empty = np.asarray(column.isna() if package == "pandas" else column.is_null())
        if empty.any() and not missing:
            raise LoraeError(
                f"{title}: got {int(empty.sum()):,} missing values in column {name!r} (first in row "
                f"{int(empty.argmax())}), expected none; drop their rows, as by {removal}"
            )


def _from_table(table: Any, title: str) -> NDArray[Any]:
    if not hasattr(table, "__len__"):  # a LazyFrame or an Expr
        raise LoraeError(f"{title}: got a {type(table).__name__}, expected a table in memory, as from collect()")
    check_columns(table, title)
    package = _package(table)
    if package == "pandas" or _is_flat(table):
        return _without_objects(table)
    arrays = [_without_objects(column) for _, column in _columns(table, package)]
    return np.column_stack(arrays) if arrays else np.empty((len(table), 0))


def _is_flat(table: Any) -> bool:
    return getattr(table, "ndim", 1) == 1 and not hasattr(table, "columns")


def _columns(table: Any, package: str) -> list[tuple[Any, Any]]:
    """Return the columns of a table with their names; those of pandas by position, because names may repeat."""
    if _is_flat(table):
        return [(getattr(table, "name", None), table)]
    if package == "pandas":
        return [(name, table.iloc[:, place]) for place, name in enumerate(table.columns)]
    names, columns = (
        (table.columns, table.get_columns()) if package == "polars" else (table.column_names, table.columns)
    )
    return list(zip(names, columns, strict=True))


def _type_of_column(column: Any, package: str) -> tuple[Any, bool]:
    """Return the type of a column, and whether it holds numbers or truth values, one in each row."""
    if package == "pandas":
        return column.dtype, getattr(column.dtype, "kind", "O") in "buif" and "Sparse" not in str(column.dtype)
    if package == "polars":
        return column.dtype, column.dtype.is_numeric() or str(column.dtype) == "Boolean"
    return column.type, str(column.type).startswith(("int", "uint", "half", "float", "double", "bool", "decimal"))


def _without_objects(values: Any) -> NDArray[Any]:
    """Return numbers that arrive as objects, such as decimals and columns of pandas' own types, as float64."""
    if str(getattr(values, "dtype", "")).endswith("Int128"):  # NumPy has no integers of 128 bits
        values = values.cast(float)
    array = np.asarray(values)
    return array.astype(np.float64) if array.dtype.kind == "O" else array
