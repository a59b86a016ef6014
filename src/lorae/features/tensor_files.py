"""Weights of feature networks from safetensors files, of the user or of the Hugging Face hub; nothing is executed."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from lorae.errors import LoraeError, NotApplicableError
from lorae.system.faults import reason_of
from lorae.system.files import home_expanded
from lorae.system.tensor_file import DamagedFileError, read_sealed

# Other formats of weights are pickles or contain some, torch.export's included, or programs, such as TorchScript.
REFUSED = "a .pt, .pth, .bin or .pt2 file is not accepted, because reading it can execute code"


def read_tensors(path: str | Path, name: str, expected: str) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file for the network `name`; `expected` describes the file in errors."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    path = home_expanded(path)
    try:
        return load(read_sealed(path))  # not `load_file`, which takes no path with bytes that are not UTF-8
    except (OSError, DamagedFileError) as error:
        reason = f"cannot read {path} ({reason_of(error)})"
    except SafetensorError as error:
        reason = f"{path} is no complete safetensors file ({error}; {REFUSED})"
    raise LoraeError(
        f"{name}: {reason}, expected {expected} (from argument features_weights)", argument="features_weights"
    )


def not_downloaded(name: str, error: Exception, command: str) -> NotApplicableError:
    """Return the error for weights that cannot be downloaded; `command` fetches them on another machine."""
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return NotApplicableError(
        f"{name}: cannot download its weights ({reason}); fetch them elsewhere by `{command}` and pass "
        "features_weights=PATH, or use features='lite0'",
        settings={"features_weights": "PATH", "features": "lite0"},
    )


def fill(network: nn.Module, tensors: Mapping[str, Tensor], name: str, expected: str) -> None:
    """Load the tensors that a network has; LoraeError if one is missing or has another shape. Others are ignored."""
    for key, value in network.state_dict().items():
        found = tuple(tensors[key].shape) if key in tensors else "nothing"
        if found != tuple(value.shape):
            raise LoraeError(
                f"{name}: the weights have {found} for {key!r} of shape {tuple(value.shape)}, expected {expected}"
            )
    network.load_state_dict({key: tensors[key] for key in network.state_dict()})
