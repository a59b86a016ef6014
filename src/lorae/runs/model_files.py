"""Files of tensors: checkpoints, and a model as `model.safetensors` with weights and `model.json` with its spec."""

import contextlib
import dataclasses
import io
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lorae.errors import LoraeError
from lorae.isolation import isolated
from lorae.runs.schema import read_record, rename_weights, write_record
from lorae.system.faults import reason_of
from lorae.system.files import write_atomically
from lorae.system.records import RecordError, check_type
from lorae.system.tensor_file import DamagedFileError, read_sealed, sealed

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from lorae.models.autoencoder import Autoencoder
    from lorae.models.own_networks import OwnNetworks

# Arrays for use without the data: outputs of the encoder (n, input_dim) on training items, from which densities and
# axes are computed, and a few test items, raw (n, ...), which are pictured.
Kept = Literal["encoder_outputs", "reference_items"]
# Key of the array in its file, and the array in words.
_KEPT = {"encoder_outputs": ("h", "outputs of an encoder"), "reference_items": ("items", "items")}


def save_tensors_atomically(
    path: Path, state: Mapping[str, Any], digest: Callable[[bytes], bytes] | None = None
) -> None:
    """Write what `torch.load(path, weights_only=True)` can read, after the digest of its bytes to detect damage by."""
    import torch

    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    content = buffer.getvalue()
    write_atomically(path, content if digest is None else digest(content) + content)


def check_archive(content: bytes) -> None:
    """Raise ValueError for a file of `torch.save`, an archive, whose members are not what was written.

    torch reads changed numbers without an error, although the archive has checksums.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("the file is packed, expected one of torch.save")
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"the file is damaged: {damaged} has another checksum")


def write_weights(model: "Autoencoder", folder: Path, metadata: dict[str, str] | None = None) -> None:
    """Write `model.safetensors`, with a checksum beside the metadata."""
    from safetensors.torch import save

    tensors = {name: value.contiguous().cpu() for name, value in model.state_dict().items()}
    write_atomically(folder / "model.safetensors", sealed(save(tensors, metadata)))


def write_spec(model: "Autoencoder", folder: Path) -> None:
    """Write `model.json`, last, so that a folder with it is complete."""
    write_record(folder / "model.json", dataclasses.asdict(model.spec))


# Files of a run folder that are made from its weights, the mark of a finished run first. `evaluation.json` and
# `figure_data.safetensors` have classes of their own.
DERIVED = (
    "model.json",
    "report.html",
    "encoder_outputs.safetensors",
    "samplers/*.npz",
    "figures/*.png",
    "figures/*.safetensors",
    "unfinished-*",
)


def delete_derived(folder: Path) -> None:
    """Delete from a run folder what was made from weights that change."""
    for pattern in DERIVED:
        for path in list(folder.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def write_kept(kind: Kept, array: "NDArray[Any]", folder: Path) -> None:
    """Write `KIND.safetensors` with one array."""
    import numpy as np
    from safetensors.numpy import save

    content = sealed(save({_KEPT[kind][0]: np.ascontiguousarray(array)}))
    write_atomically(folder / f"{kind}.safetensors", content)


def read_kept(kind: Kept, folder: Path, shape: Sequence[int] | None = None) -> "NDArray[Any] | None":
    """Return the array (n, ...) that `write_kept` wrote, or None for a folder without it.

    shape: of an entry of the array, where the model is known
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path, (key, words) = folder / f"{kind}.safetensors", _KEPT[kind]
    if not path.exists():
        return None
    try:
        array: NDArray[Any] = load(read_sealed(path))[key]
        if array.ndim < 2 or (shape is not None and array.shape[1:] != tuple(shape)):
            expected = "..." if shape is None else ", ".join(map(str, shape))
            raise ValueError(f"its shape is {array.shape}, expected (n, {expected})")
    except (OSError, SafetensorError, DamagedFileError, KeyError, ValueError) as error:
        raise LoraeError(f"{path}: does not hold {words} ({reason_of(error)}); delete it") from None
    return array


def load_weights(model: "Autoencoder", folder: Path) -> None:
    """Load the weights of a folder into a model."""
    with _refused(folder / "model.safetensors", "these weights", "train a new run"):
        weights = _read_weights(folder)
        check_shapes(weights, model)
        model.load_state_dict(weights)


def _read_weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load

    # Not `load_file`, which takes no path with bytes that are not UTF-8.
    return rename_weights(load(read_sealed(folder / "model.safetensors")))


def check_shapes(weights: Mapping[str, Any], model: "Autoencoder") -> None:
    """Raise ValueError with the first tensor that weights have in another shape than the model."""
    for name, ours in model.state_dict().items():
        if name in weights and weights[name].shape != ours.shape:
            shapes = tuple(weights[name].shape), tuple(ours.shape)
            raise ValueError(f"{name} has shape {shapes[0]} there, {shapes[1]} in the model")
    extra = [name for name in weights if name not in model.state_dict()]
    if extra:
        raise ValueError(f"{extra[0]} is not in the model")


def read_model(folder: Path, advice: str, networks: "OwnNetworks | None" = None) -> "Autoencoder":
    """Return the model of a folder, on the CPU; `advice` says what to do if its two files do not fit together."""
    from lorae.models.spec import ModelSpec

    try:
        spec = read_record("model", folder / "model.json")
        del spec["schema"]
        check_type(spec, ModelSpec, folder / "model.json")
    except RecordError as error:
        raise LoraeError(f"{error}; {advice}") from None
    path = folder / "model.safetensors"
    if not path.exists():
        raise LoraeError(f"{path}: not found, but model.json is there")
    with _refused(path, "the model of model.json", advice), isolated():
        return rebuild(spec, _read_weights(folder), networks=networks)


@contextlib.contextmanager
def _refused(path: Path, expected: str, advice: str) -> Iterator[None]:
    """Raise LoraeError in place of whatever reading the weights of a path raises."""
    from safetensors import SafetensorError

    kinds = (SafetensorError, DamagedFileError, OSError, KeyError, TypeError, ValueError, AttributeError, RuntimeError)
    try:
        yield
    except kinds as error:
        raise LoraeError(f"{path}: does not hold {expected} ({reason_of(error)}); {advice}") from None


def rebuild(
    spec: Mapping[str, Any],
    weights: Mapping[str, Any],
    *,
    networks: "OwnNetworks | None" = None,
    dtype: "torch.dtype | None" = None,
) -> "Autoencoder":
    """Return the model of a spec, perhaps of a stranger, with these weights, on the CPU.

    dtype: of the model; None keeps that of its parts

    Raises ValueError, RuntimeError and others if they do not fit, before memory is taken for the model.
    """
    from lorae.models.autoencoder import Autoencoder, ModelSpec

    if networks is None:
        _check_fit(spec, weights)
    model = Autoencoder.initialized(ModelSpec.from_json(dict(spec)), networks=networks)
    if dtype is not None:
        model.to(dtype)
    check_shapes(weights, model)
    model.load_state_dict(weights)
    return model.eval()


def _check_fit(spec: Mapping[str, Any], weights: Mapping[str, Any]) -> None:
    """Raise an error if a spec does not have the shapes of weights, before memory is taken for its model."""
    import torch

    from lorae.models.autoencoder import Autoencoder, ModelSpec

    _check_sizes(spec, weights)
    # A bottleneck of another, installed package may need values to start.
    with contextlib.suppress(NotImplementedError):
        with torch.device("meta"):
            skeleton = Autoencoder(ModelSpec.from_json(dict(spec)))
        skeleton.load_state_dict({name: value.to("meta") for name, value in weights.items()})


def _check_sizes(spec: Mapping[str, Any], weights: Mapping[str, Any]) -> None:
    """Raise ValueError for a spec, perhaps of a stranger, with sizes that no model of these weights has."""
    shape, latent_dim, options = spec["shape"], spec["latent_dim"], spec.get("bottleneck_options", {})
    most = sum(value.numel() for value in weights.values())
    sizes = {"shape": shape, "latent_dim": [latent_dim]}
    # Each layer is a module, and has at least one tensor of its own.
    layers = {
        "depth": spec.get("depth", 1),
        "layers": options.get("layers", 1) if spec.get("bottleneck") == "linear" else 1,
    }
    for name, size in [(name, size) for name, several in sizes.items() for size in several] + [*layers.items()]:
        largest = len(weights) if name in layers else most
        if type(size) is not int or not 1 <= size <= largest:
            raise ValueError(f"{name} has {size!r}, expected whole numbers from 1 to {largest}")
    for name, number in {"width": spec.get("width", 1.0), **options}.items():
        if isinstance(number, (int, float)) and not abs(number) <= most:
            raise ValueError(f"{name} is {number!r}, expected at most the {most} values of the file")
