"""Arrays of users as plain NumPy arrays of numbers; what would lose its meaning on the way is refused."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

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


def is_array(value: Any) -> bool:
    """Return whether a value is of a type that `plain_array` reads or refuses with advice."""
    return type(value).__module__.split(".")[0] in ("numpy", "pandas", "torch", "scipy")


def plain_array(value: Any, title: str) -> NDArray[Any]:
    """Return an array, a list, a data frame of numbers or a dense tensor as a plain array of numbers.

    Raises LoraeError, with `title` in front, for masked, sparse and quantized values, for subclasses of arrays that
    other packages define, whose units or labels would be lost, and for types that are no real numbers.

    >>> plain_array(np.ma.array([[1.0, 2.0]], mask=False), "array")
    array([[1., 2.]])
    """
    package = type(value).__module__.split(".")[0]
    if isinstance(value, np.ma.MaskedArray):
        return _checked(_unmasked(value, title), title)
    if package == "torch":
        return _checked(_from_tensor(value, title), title)
    if package == "pandas":
        return _checked(_from_frame(value, title), title)
    if package == "scipy":
        raise LoraeError(
            f"{title}: got a sparse {type(value).__name__}, expected a dense array; pass its toarray(), or fewer dense "
            "columns of it, as by sklearn.decomposition.TruncatedSVD"
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


def _from_frame(frame: Any, title: str) -> NDArray[Any]:
    columns = frame.items() if frame.ndim == 2 else [(frame.name, frame)]
    for name, column in columns:
        kind = getattr(column.dtype, "kind", "O")
        if kind not in "buif" or "Sparse" in str(column.dtype):
            raise LoraeError(
                f"{title}: got column {name!r} of dtype {column.dtype}, expected numbers; convert it, as by "
                "pandas.get_dummies or astype(float), or drop it"
            )
        if column.isna().any():
            raise LoraeError(
                f"{title}: got {int(column.isna().sum()):,} missing values in column {name!r}, expected none; drop "
                "their rows, as by dropna(), or fill them, as by fillna(value)"
            )
    array: NDArray[Any] = frame.to_numpy()
    # Columns of pandas' own types, and of several types, arrive as objects or in the wider type.
    return array.astype(np.float64) if array.dtype.kind == "O" else array
