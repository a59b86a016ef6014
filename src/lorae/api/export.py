"""Export models for use elsewhere: safetensors with the spec and a model card, graphs of ONNX or of torch."""

import dataclasses
import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorae import __version__
from lorae.api.finishing import encoder_outputs
from lorae.api.loading import as_run, check_argument, dataset_of
from lorae.api.model_card import model_card
from lorae.api.truncation import beside, refuse_truncated
from lorae.runs.model_files import write_spec, write_weights
from lorae.runs.run import Run
from lorae.runs.schema import read_record
from lorae.system.files import write_atomically
from lorae.validation import choice

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lorae.models.autoencoder import Autoencoder

FORMATS = ("safetensors", "onnx", "torch")
SUFFIXES = {"onnx": ".onnx", "torch": ".pt2"}


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
    run : str | Path | Run
        A finished run.
    format : {"safetensors", "onnx", "torch"}, default="safetensors"
        `safetensors` writes what `lorae.from_pretrained` loads, `model.safetensors` and `model.json`, and `README.md`,
        a model card. The metadata of the weights have a key `lorae`, JSON whose `spec` is that of `model.json`.
        `onnx` writes `encoder.onnx` from `items` to `codes`, except for generators, and `decoder.onnx` from `codes` to
        `items`, float32 with any number of rows, opset 20. Items are images (n, c, h, w) in [0, 1], which decoded ones
        may leave slightly, or vectors in their own units, float64 if they are far from zero (see docs/data.md).
        `torch` writes the same graphs as `encoder.pt2` and `decoder.pt2` for `torch.export.load`, on the CPU.
    out : str or Path, default=None
        New folder; None takes `RUN-FORMAT`.
    rank : int, default=None
        Number of axes, as in `lorae.truncate`.
    data : str | Path | ndarray, default=None
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
        from lorae.models.graphs import require_onnx

        require_onnx("format: got 'onnx'")
    folder = beside(run, format) if out is None else Path(out)
    Run.refuse_existing(folder)
    model = deployable(run, rank, data)
    if format == "safetensors":
        write_pretrained(run, model, folder, cut=rank is not None)
        return folder
    from lorae.models.graphs import as_onnx, as_torch, model_graphs

    graphs = model_graphs(model, as_onnx if format == "onnx" else as_torch, _about(run, model))
    for name, content in graphs.items():
        write_atomically(folder / f"{name}{SUFFIXES[format]}", content)
    return folder


def write_pretrained(run: Run, model: "Autoencoder", folder: Path, *, cut: bool, source: str = "this-folder") -> None:
    """Write a model that `deployable` returned, with its card, and `model.json` last.

    cut: whether it has fewer directions than the run; source: where `lorae.from_pretrained` will find it
    """
    from lorae.models.graphs import KEY

    write_weights(model, folder, {KEY: _about(run, model)})
    write_atomically(
        folder / "README.md", model_card(run, model.spec, cut=cut, source=source).encode(errors="backslashreplace")
    )
    write_spec(model, folder)


def _about(run: Run, model: "Autoencoder") -> str:
    """Return the text in every exported file: a JSON object with the spec that rebuilds the model."""
    return json.dumps({"version": __version__, "method": run.settings.method, "spec": dataclasses.asdict(model.spec)})


def exported_width(folder: Path) -> int:
    """Return the number of latent coordinates of a model that `export_run` wrote, from the spec in its file."""
    from lorae.models.graphs import KEY

    if (folder / "model.json").exists():
        return int(read_record("model", folder / "model.json")["latent_dim"])
    if (folder / "decoder.pt2").exists():
        with zipfile.ZipFile(folder / "decoder.pt2") as archive:
            (about,) = (archive.read(name) for name in archive.namelist() if name.endswith(f"/extra/{KEY}"))
    else:
        import onnx

        about = onnx.load(folder / "decoder.onnx").metadata_props[0].value
    return int(json.loads(about)["spec"]["latent_dim"])


def deployable(run: Run, rank: int | None, data: "str | Path | NDArray[Any] | None") -> "Autoencoder":
    """Return the model without M, and with its spectral norms, which no longer change, divided into the weights."""
    from torch.nn.utils import parametrize

    if rank is not None:
        refuse_truncated(run)
    model = run.load_model()
    if rank is not None or model.bottleneck.matrix() is not None:
        rank = model.truncation_rank(rank)  # a model that cannot be truncated is refused before the data are loaded
        outputs = run.encoder_outputs(model)
        if outputs is None or data is not None:  # data that are given are checked
            dataset = dataset_of(run, data)
            outputs = encoder_outputs(model, dataset) if outputs is None else outputs
        model = model.truncated(model.truncation_of(outputs, rank))
    for layer in list(model.decoder.modules()):
        if parametrize.is_parametrized(layer):
            parametrize.remove_parametrizations(layer, "weight")
    model.spec = dataclasses.replace(model.spec, spectral_norm=False)
    return model.eval()
