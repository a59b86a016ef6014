"""Arrays that the figures of a report are drawn from, so that it needs neither the data nor the model."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorae.errors import LoraeError
from lorae.system.faults import reason_of
from lorae.system.files import write_atomically
from lorae.system.tensor_file import DamagedFileError, read_sealed, sealed

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class FigureData:
    """Items, reconstructions, errors, codes and traversals of a trained model, each part None if it does not apply.

    Images are uint8 and at most 64 pixels high and wide; other items are float32 in standardized units.

    Parameters
    ----------
    originals, reconstructions : array of shape (n, ...)
        The first test items.
    errors : array of shape (n,)
        Mean squared errors of test items, at most about 10,000.
    worst, best : array of shape (k, 2, ...)
        Test items with the largest and the smallest errors, each above its reconstruction.
    worst_errors, best_errors : array of shape (k,)
        Their errors.
    codes : array of shape (m, 2)
        Coordinates of items along the first two principal axes of the latents.
    codes_of_test : array of shape (1,)
        1 if these are test items, 0 if they are training items.
    labels : array of shape (m,)
        Their classes.
    shares : array of shape (axes,)
        Share of the latents' variance along each of the first principal axes.
    traversals : array of shape (axes, steps, ...)
        Decoded latents along these axes.
    positions : array of shape (steps,)
        Their distances from the mean, in standard deviations.
    """

    originals: "NDArray[Any] | None" = None
    reconstructions: "NDArray[Any] | None" = None
    errors: "NDArray[Any] | None" = None
    worst: "NDArray[Any] | None" = None
    best: "NDArray[Any] | None" = None
    worst_errors: "NDArray[Any] | None" = None
    best_errors: "NDArray[Any] | None" = None
    codes: "NDArray[Any] | None" = None
    codes_of_test: "NDArray[Any] | None" = None
    labels: "NDArray[Any] | None" = None
    shares: "NDArray[Any] | None" = None
    traversals: "NDArray[Any] | None" = None
    positions: "NDArray[Any] | None" = None


class FigureDataFile:
    """The arrays of a run, in the file `figure_data.safetensors`, or in memory while that cannot be written."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "figure_data.safetensors"
        self._unwritten: FigureData | None = None

    @property
    def exists(self) -> bool:
        """Whether there are such arrays; runs of earlier versions have none."""
        return self._unwritten is not None or self.path.exists()

    def write(self, data: FigureData) -> None:
        """Write the arrays, with a checksum."""
        self._unwritten = data
        arrays = {part.name: getattr(data, part.name) for part in fields(data)}
        _write(self.path, {name: array for name, array in arrays.items() if array is not None})
        self._unwritten = None

    def read(self) -> FigureData | None:
        """Return the arrays, or None if there are none."""
        if self._unwritten is not None or not self.path.exists():
            return self._unwritten
        arrays = _read(self.path, "`lorae evaluate` writes it anew")
        known = {part.name for part in fields(FigureData)}
        return FigureData(**{name: array for name, array in arrays.items() if name in known})

    def delete(self) -> None:
        """Delete the arrays, which belong to weights that change."""
        self._unwritten = None
        self.path.unlink(missing_ok=True)


def figure_items_path(figure: Path) -> Path:
    """Return the path of the items that a figure shows."""
    return figure.with_suffix(".safetensors")


def write_figure_items(items: "NDArray[Any]", figure: Path) -> None:
    """Write the items of a figure beside it, from which a report draws it, with a checksum."""
    _write(figure_items_path(figure), {"items": items})


def read_figure_items(figure: Path) -> "NDArray[Any]":
    """Return the items of a figure that `write_figure_items` wrote."""
    items: NDArray[Any] = _read(figure_items_path(figure), "the command that draws the figure writes it anew")["items"]
    return items


def _write(path: Path, arrays: "dict[str, NDArray[Any]]") -> None:
    import numpy as np
    from safetensors.numpy import save

    write_atomically(path, sealed(save({name: np.ascontiguousarray(array) for name, array in arrays.items()})))


def _read(path: Path, cure: str) -> "dict[str, NDArray[Any]]":
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(read_sealed(path))
    except (OSError, SafetensorError, DamagedFileError, KeyError, ValueError) as error:
        raise LoraeError(
            f"{path}: does not hold the arrays of figures ({reason_of(error)}); delete it, and {cure}"
        ) from None
