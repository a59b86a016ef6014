"""Files of a model: `model.safetensors` with its weights, and `model.json` with its specification."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from lorae.errors import LoraeError
from lorae.isolation import isolated
from lorae.runs.schema import read_record, rename_weights, write_record
from lorae.system.files import write_atomically

if TYPE_CHECKING:
    from lorae.models.autoencoder import Autoencoder


def write_model(model: "Autoencoder", folder: Path) -> None:
    """Write the weights, then `model.json`, so that a folder with `model.json` is complete."""
    from safetensors.torch import save

    tensors = {name: value.contiguous().cpu() for name, value in model.state_dict().items()}
    write_atomically(folder / "model.safetensors", save(tensors))
    write_record(folder / "model.json", dataclasses.asdict(model.spec))


def load_weights(model: "Autoencoder", folder: Path) -> None:
    """Load the weights of a folder into a model."""
    from safetensors.torch import load_file

    model.load_state_dict(rename_weights(load_file(folder / "model.safetensors")))


def read_model(folder: Path, advice: str) -> "Autoencoder":
    """Return the model of a folder, on the CPU and in evaluation mode.

    Raises LoraeError if a file is missing, or the two do not fit together; `advice` says what to do then.
    """
    import torch
    from safetensors import SafetensorError

    from lorae.models.autoencoder import Autoencoder, ModelSpec
    from lorae.randomness import drawing_from

    spec = read_record("model", folder / "model.json")
    del spec["schema"]
    path = folder / "model.safetensors"
    if not path.exists():
        raise LoraeError(f"{path}: not found, but model.json is there")
    try:
        with isolated():
            # Initial weights, which are replaced next, must not use up the caller's random numbers.
            with drawing_from(torch.Generator("cpu"), everything=True):
                model = Autoencoder(ModelSpec.from_json(spec))
            load_weights(model, folder)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise LoraeError(f"{path}: does not hold the model of model.json ({reason}); {advice}") from None
    return model.eval()
