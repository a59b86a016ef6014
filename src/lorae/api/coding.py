"""Codes of items, and items of codes, by a run alone: its data are not needed."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorae.api.loading import as_run, given_items
from lorae.api.writing import check_out, write_items

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lorae.runs.run import Run


def encode(
    run: "str | Path | Run",
    items: Any,
    *,
    out: str | Path | None = None,
    device: str = "auto",
) -> "NDArray[Any]":
    """Encode items of your own by a run; its training data are not needed.

    Parameters
    ----------
    run : str | Path | Run
        A finished run of a method with an encoder.
    items : object
        Anything that `train` takes. Items are prepared as those of the training, and columns ordered by name.
    out : str or Path, default=None
        New .npy, .npz or .csv file that the codes are written to as well.
    device : {"auto", "cpu", "cuda"}, default="auto"
        Device of the model; `auto` takes a GPU if there is one.

    Returns
    -------
    ndarray
        Codes, float32 (n, latent_dim).

    Raises
    ------
    LoraeError
        If the items do not fit the run, its method only generates, or `out` exists.

    Examples
    --------
    >>> encode("runs/demo", "my-images", out="codes.npy").shape   # doctest: +SKIP
    (250, 16)
    """
    from lorae.evaluation.context import on_device
    from lorae.system.hardware import choose_device

    run, target = as_run(run), check_out(out, pictures=False)
    model = run.load_model()
    codes: NDArray[Any] = on_device(model, choose_device(device)).encode(given_items(run, model.spec.shape, items))
    if target is not None:
        write_items(codes, target, key="codes")
    return codes


def decode(
    run: "str | Path | Run",
    codes: Any,
    *,
    out: str | Path | None = None,
    device: str = "auto",
) -> "NDArray[Any]":
    """Decode codes by a run; its training data are not needed.

    Parameters
    ----------
    run : str | Path | Run
        A finished run.
    codes : object
        An array or table (n, latent_dim), or an .npy, .npz, .csv or .parquet file of one.
    out : str or Path, default=None
        New .npy or .npz file, new folder of PNG files, or for vectors new .csv file, that the items are written to as
        well.
    device : {"auto", "cpu", "cuda"}, default="auto"
        Device of the model; `auto` takes a GPU if there is one.

    Returns
    -------
    ndarray
        Images, uint8 (n, c, h, w), or vectors in their own units, (n, d), as `sample` gives them.

    Raises
    ------
    LoraeError
        If the codes do not have the width of the latent, or `out` exists.

    Examples
    --------
    >>> decode("runs/demo", "codes.npy", out="decoded").shape   # doctest: +SKIP
    (250, 1, 32, 32)
    """
    import numpy as np

    from lorae.data.collection import load_collection
    from lorae.evaluation.context import on_device
    from lorae.plotting.images import as_items
    from lorae.system.hardware import choose_device

    run, target = as_run(run), check_out(out, pictures=True)
    model = on_device(run.load_model(), choose_device(device))
    items = as_items(model.decode(load_collection(codes).items.astype(np.float32)), images=model.spec.images)
    if target is not None:
        write_items(items, target)
    return items
