"""Export models for use without this package, or without torch: safetensors with the spec inside, ONNX graphs."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorae import __version__
from lorae.api.finishing import encoder_outputs
from lorae.api.loading import as_run, check_argument, dataset_of
from lorae.api.truncation import beside, refuse_truncated
from lorae.runs.run import Run
from lorae.system.files import write_atomically
from lorae.validation import choice

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lorae.models.autoencoder import Autoencoder

FORMATS = ("safetensors", "onnx")

# The one key of the metadata in every file: safetensors writes several in random order.
KEY = "lorae"


def export_run(
    run: "str | Path | Run",
    format: str = "safetensors",
    *,
    out: str | Path | None = None,
    rank: int | None = None,
    data: "str | Path | NDArray[Any] | None" = None,
) -> Path:
    """Write the model of a run for use elsewhere, without M: truncated if the method has a matrix, else as it is.

    Its codes are those of `lorae.truncate(run, rank)`: the codes of the run, centered and rotated to their principal
    axes. Without a rank, the distances between the codes of items are those of the run.

    Parameters
    ----------
    run : str, Path or Run
        A finished run.
    format : {"safetensors", "onnx"}, default="safetensors"
        `safetensors` writes `model.safetensors`. Its metadata has a key `lorae`, JSON whose `spec` rebuilds the model:
        `model = Autoencoder(ModelSpec.from_json(spec))`, then `model.load_state_dict(load_file(path))`.
        `onnx` writes `encoder.onnx` from `items` to `codes`, except for generators, and `decoder.onnx` from `codes` to
        `items`, float32 with any number of rows, opset 20. Items are images (n, c, h, w) in [0, 1], which decoded ones
        may leave slightly, or vectors in their own units, float64 if they are far from zero (see docs/data.md).
    out : str or Path, default=None
        New folder; None takes `RUN-FORMAT`.
    rank : int, default=None
        Number of axes, as in `lorae.truncate`.
    data : str, Path or ndarray, default=None
        Where the data are now if they were moved, or the array of a run on one; only a run of an
        earlier version needs them, others check them.

    Returns
    -------
    Path
        The folder. Two exports of a run have the same bytes.

    Raises
    ------
    LoraeError
        If the rank does not fit, the folder exists, or the packages of ONNX are missing.

    Examples
    --------
    >>> export_run("runs/demo", "onnx")   # doctest: +SKIP
    PosixPath('runs/demo-onnx')
    """
    run = as_run(run)
    format = check_argument(choice(*FORMATS), "format", format)
    if format == "onnx":
        from lorae.models.onnx_graphs import require_onnx

        require_onnx("format: got 'onnx'")
    if rank is not None:
        refuse_truncated(run)
    folder = beside(run, format) if out is None else Path(out)
    Run.refuse_existing(folder)
    model = _deployable(run, rank, data)
    about = {"version": __version__, "method": run.settings.method, "spec": dataclasses.asdict(model.spec)}
    files = _as_safetensors(model, about) if format == "safetensors" else _as_onnx(model, about)
    for name, content in files.items():
        write_atomically(folder / name, content)
    return folder


def exported_width(folder: Path) -> int:
    """Return the number of latent coordinates of a model that `export_run` wrote, from the spec in its file."""
    if (folder / "model.safetensors").exists():
        # Not `safe_open`, which takes no path with bytes that are not UTF-8: a size, then as many bytes of JSON.
        with (folder / "model.safetensors").open("rb") as file:
            header = file.read(int.from_bytes(file.read(8), "little"))
        about = json.loads(header)["__metadata__"][KEY]
    else:
        import onnx

        about = onnx.load(folder / "decoder.onnx").metadata_props[0].value
    return int(json.loads(about)["spec"]["latent_dim"])


def _deployable(run: Run, rank: int | None, data: "str | Path | NDArray[Any] | None") -> "Autoencoder":
    """Return the model without M, and with its spectral norms, which no longer change, divided into the weights."""
    from torch.nn.utils import parametrize

    model = run.load_model()
    if rank is not None or model.bottleneck.matrix() is not None:
        rank = model.truncation_rank(rank)  # a model that cannot be truncated is refused before the data are loaded
        outputs = run.encoder_outputs()
        if outputs is None or data is not None:  # data that are given are checked
            dataset = dataset_of(run, data)
            outputs = encoder_outputs(model, dataset) if outputs is None else outputs
        model = model.truncated(model.truncation_of(outputs, rank))
    for layer in list(model.decoder.modules()):
        if parametrize.is_parametrized(layer):
            parametrize.remove_parametrizations(layer, "weight")
    model.spec = dataclasses.replace(model.spec, spectral_norm=False)
    return model.eval()


def _as_safetensors(model: "Autoencoder", about: dict[str, Any]) -> dict[str, bytes]:
    from safetensors.torch import save

    tensors = {name: value.contiguous() for name, value in model.state_dict().items()}
    return {"model.safetensors": save(tensors, metadata={KEY: json.dumps(about)})}


def _as_onnx(model: "Autoencoder", about: dict[str, Any]) -> dict[str, bytes]:
    from lorae.models.onnx_graphs import decoder_graph, encoder_graph

    metadata = {KEY: json.dumps(about)}
    graphs = {"decoder.onnx": decoder_graph(model, metadata)}
    if model.spec.encodes:
        graphs["encoder.onnx"] = encoder_graph(model, metadata)
    return graphs
