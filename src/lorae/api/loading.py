"""Load runs and data sets."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorae.config.data_settings import ARRAY, DataSettings
from lorae.errors import LoraeError
from lorae.runs.run import Run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lorae.data.dataset import Dataset
    from lorae.models.autoencoder import Autoencoder


def load(run: "str | Path | Run", *, point: str | None = None) -> "Autoencoder":
    """The trained model of a run: `encode`, `decode`, `reconstruct`, `spectrum`, `collapse`, `truncate`.

    point: the name of a point of a penalty path, as in `evaluation.json`; None: the model of the run itself.
    """
    return as_run(run).load_model(point)


def load_data(data: "str | Path | NDArray[Any]" = "mnist", **settings: Any) -> "Dataset":
    """A data set as training sees it: two splits of uint8 images (n, c, h, w) or float32 vectors (n, d).

    Takes the data settings of `train`: data_root, limit, size, crop, channels, factors, test_fraction, split_seed,
    holdout, skip_bad.
    """
    return load_dataset(DataSettings.from_values(settings | {"data": data_name(data)}, origin_of_argument), data)


def origin_of_argument(name: str) -> str:
    """Where a value came from, for a message about it."""
    return f"argument {name}"


def as_run(run: "str | Path | Run") -> Run:
    """A run from its folder or itself."""
    return run if isinstance(run, Run) else Run(run)


def data_name(data: Any) -> str:
    """What the settings say of data: a known name, the absolute path (runs are read from anywhere), or ARRAY."""
    from lorae.data import source_names

    if isinstance(data, (str, Path)):
        return str(data) if str(data) in source_names() else absolute_path(data)
    if type(data).__module__.split(".")[0] != "numpy":
        raise LoraeError(f"data: got {type(data).__name__}, expected a name, a path or a NumPy array")
    return ARRAY


def absolute_path(path: str | Path) -> str:
    """The absolute path where there is something; else as it is, so that the error shows what was typed."""
    found = Path(path).expanduser()
    return str(found.absolute()) if str(path) and found.exists() else str(path)


def load_dataset(settings: DataSettings, data: Any) -> "Dataset":
    """Load the data of settings; `data` is the array where it is one."""
    from lorae.data import load_data as load_source

    return load_source(settings, None if isinstance(data, (str, Path)) else data)


def dataset_of(run: Run, data: "NDArray[Any] | None") -> "Dataset":
    """The data that a run was trained on; data: the array, for a run on one. LoraeError where they have changed."""
    if run.settings.data == ARRAY and data is None:
        raise LoraeError(f"data: {str(run.path)!r} was trained on an array in memory; pass it again as data=")
    dataset = load_dataset(run.settings, run.settings.data if data is None else data)
    trained_on = str(run.config.get("data", {}).get("fingerprint", ""))
    if dataset.fingerprint != trained_on:
        raise LoraeError(
            f"data: {dataset.name!r} has fingerprint {dataset.fingerprint[:12]}, expected {trained_on[:12]} "
            f"(from {run.path / 'config.json'}): the files have changed since training"
        )
    return dataset
