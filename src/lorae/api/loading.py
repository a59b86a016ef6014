"""Load runs and data sets."""

import dataclasses
import functools
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorae.config.data_settings import ARRAY, DataSettings
from lorae.config.datasets import DATASETS
from lorae.config.settings import MODULES
from lorae.errors import LoraeError, LoraeWarning, MissingDataError
from lorae.isolation import isolated
from lorae.runs.run import Run
from lorae.system.files import home_expanded
from lorae.validation import Rule

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from lorae.data.dataset import Dataset
    from lorae.models.autoencoder import Autoencoder
    from lorae.models.own_networks import OwnNetworks


def load(
    run: "str | Path | Run",
    *,
    point: str | None = None,
    encoder: "nn.Module | None" = None,
    decoder: "nn.Module | None" = None,
    trust_code: bool = False,
) -> "Autoencoder":
    """Load the trained model of a run.

    Parameters
    ----------
    run : str | Path | Run
        A finished run.
    point : str, default=None
        Name of a point of a penalty path, as in `evaluation.json`; None: the model of the run.
    encoder, decoder : torch module, default=None
        For a run with networks of your own: modules of the structure that was trained.
    trust_code : bool, default=False
        For such a run of a file: import the copy of this file in the run folder, as in `lorae.runs.Run`.

    Returns
    -------
    Autoencoder
        On the CPU, in evaluation mode; it has `encode`, `decode`, `reconstruct`, `spectrum`, `collapse`, `truncate`.
        They take whatever `train` takes, prepare it by the settings of the run, and order the columns of a table by
        their names in training.

    Raises
    ------
    LoraeError
        If the run is not finished, has no such point, or its files are damaged.

    Examples
    --------
    >>> model = load("runs/demo")             # doctest: +SKIP
    >>> model.decode(model.encode(images))    # doctest: +SKIP
    """
    from lorae.data.items import prepare_items, read_for_model

    if not isinstance(run, Run) or encoder is not None or decoder is not None or trust_code:
        path = run.path if isinstance(run, Run) else run
        run = Run(path, encoder=encoder, decoder=decoder, trust_code=trust_code)
    model = run.load_model(point)
    model.read = functools.partial(read_for_model, run.settings, model.spec.shape, columns_of(run))
    model.prepare = functools.partial(prepare_items, run.settings, model.spec.shape)
    return model


def load_data(data: Any = "mnist", **settings: Any) -> "Dataset":
    """Load a data set as training does.

    Parameters
    ----------
    data : object, default="mnist"
        As in `train`.
    **settings
        Fields of `lorae.config.data_settings.DataSettings`: `data_root`, `limit`, `size`, `crop`, `channels`,
        `factors`, `test_fraction`, `split_seed`, `holdout`, `value_range`, `skip_bad`.

    Returns
    -------
    Dataset
        With the splits `train` and `test`, whose `inputs` are images, uint8 (n, c, h, w), or vectors (n, d),
        float32 or, far from zero, float64 (see docs/data.md).

    Raises
    ------
    LoraeError
        If the data cannot be read, or a setting does not fit them.

    Examples
    --------
    >>> load_data("shapes-grey", limit=100).train.inputs.shape
    (100, 1, 32, 32)
    """
    return load_dataset(DataSettings.from_values(settings | {"data": data_name(data)}, origin_of_argument), data)


def origin_of_argument(name: str) -> str:
    """Return the origin of an argument's value, for an error message."""
    return f"argument {name}"


def check_argument(rule: Rule, name: str, value: Any) -> Any:
    """Return the parsed value of an argument; raise LoraeError if it breaks the rule."""
    return rule.check(name, value, origin_of_argument(name))


def as_run(run: "str | Path | Run") -> Run:
    """Return the run of a folder, or the run itself."""
    return run if isinstance(run, Run) else Run(run)


def data_name(data: Any) -> str:
    """Return the setting `data`: a known name, an absolute path (runs are read from any folder), or ARRAY."""
    from lorae.data import source_names
    from lorae.data.sources import is_source

    if isinstance(data, (str, Path)):
        return str(data) if str(data) in source_names() else absolute_path(data)
    if not is_source(data):
        raise LoraeError(
            f"data: got {type(data).__name__}, expected a name, a path or a NumPy array, a tensor, a table of pandas, "
            "polars or pyarrow, or a Dataset or DataLoader of torch"
        )
    return ARRAY


def own_networks(encoder: Any, decoder: Any, settings: dict[str, Any]) -> "OwnNetworks | None":
    """Return the user's networks, given as modules or as the setting `network`, which is made complete; else None."""
    from lorae.models.own_networks import OwnNetworks

    network = settings.get("network")
    if encoder is not None or decoder is not None:
        if network not in (None, MODULES):
            raise LoraeError(f"network: got {network!r} beside encoder and decoder, expected one of them")
        settings["network"] = MODULES
        return OwnNetworks.from_modules(encoder, decoder)
    if network == MODULES:
        raise LoraeError(f"network: got {network!r}, expected the modules as encoder= and decoder=")
    if not isinstance(network, str) or ":" not in network:
        return None
    place, _, name = network.rpartition(":")
    settings["network"] = f"{absolute_path(place)}:{name}"
    return OwnNetworks.from_file(settings["network"])


def axes_of(data: Any) -> int | None:
    """Return the number of axes of an array, in memory or in an .npy or .npz file; None for other data."""
    from lorae.data.sources import read_array_file

    if not isinstance(data, (str, Path)):
        return len(data.shape) if hasattr(data, "shape") else None
    path = home_expanded(data)
    if not path.is_file() or path.suffix.lower() not in (".npy", ".npz"):
        return None
    found = read_array_file(path)
    return max(array.ndim for array in found.values()) if isinstance(found, dict) else found.ndim


def columns_of(run: Run) -> tuple[str, ...]:
    """Return the names of the columns of a table that a run was trained on; none for other data."""
    return tuple(run.config.get("data", {}).get("columns", ()))


def absolute_path(path: str | Path) -> str:
    """Return the absolute path of an existing file; any other unchanged, so that an error shows the input."""
    found = home_expanded(path)
    return str(found.absolute()) if str(path) and found.exists() else str(path)


@isolated()
def load_dataset(settings: DataSettings, data: Any) -> "Dataset":
    """Load the data of settings; `data` is the array where it is one."""
    from lorae.data import load_data as load_source

    return load_source(settings, None if isinstance(data, (str, Path)) else data)


def given_items(run: Run, shape: tuple[int, ...], items: Any, n: int | None = None) -> "NDArray[Any]":
    """Return the first n of given items, all for None, prepared as in the training of a run on items of a shape."""
    from lorae.data.items import items_for_model

    found: NDArray[Any] = items_for_model(run.settings, shape, columns_of(run), items, n)
    return found


def dataset_of(run: Run, data: "str | Path | NDArray[Any] | None") -> "Dataset":
    """Load the data that a run was trained on, from where they are now if `data` says it; refuse data that changed."""
    settings = run.settings
    if isinstance(data, (str, Path)):
        place = absolute_path(data)
        if settings.data in DATASETS:
            settings = dataclasses.replace(settings, data_root=place)
        else:
            settings = dataclasses.replace(settings, data=place)
    elif settings.data == ARRAY and data is None:
        raise MissingDataError(
            f"data: {str(run.path)!r} was trained on an array in memory; pass data=ARRAY, the array or a file of it",
            settings={"data": "ARRAY"},
        )
    trained_on = str(run.config.get("data", {}).get("fingerprint", ""))
    dataset = _stored(run, trained_on) if data is None else None
    dataset = dataset or load_dataset(settings, settings.data if data is None else data)
    if dataset.fingerprint != trained_on:
        raise LoraeError(
            f"data: {dataset.name!r} has fingerprint {dataset.fingerprint[:12]}, expected {trained_on[:12]} "
            f"(from {run.path / 'config.json'}): the files have changed since training"
        )
    return dataset


def kept_items(run: Run, model: "Autoencoder", missing: MissingDataError) -> "NDArray[Any]":
    """Return the test items that a run keeps, with a warning; raise the error of its missing data if there are none."""
    kept = run.reference_items(model)
    if kept is None:
        raise missing
    warnings.warn(
        f"data: they are not there; these are of the first {len(kept)} test items, which are kept with the run",
        LoraeWarning,
        stacklevel=3,
    )
    return kept


def _stored(run: Run, fingerprint: str) -> "Dataset | None":
    """Return the data of a run from the cache if their files are gone; None if they are not."""
    from lorae.data.cache import stored

    source = run.settings.data
    if source in DATASETS or Path(source).exists():
        return None
    found = stored(str(run.fact("data", "name")), fingerprint, run.settings.prepared_limit)
    if found is None:
        raise MissingDataError(
            f"data: {source!r}, on which {str(run.path)!r} was trained, does not exist; "
            "if it was moved, pass data=PATH",
            settings={"data": "PATH"},
        )
    found = dataclasses.replace(found, tensors=run.fact("data", "kind") == "tensors")
    return found.limited(run.settings.limit)
