"""Feature extractors: fixed networks whose features compare sets of images."""

import hashlib
import importlib
import importlib.util
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lorae import plugins
from lorae.errors import LoraeError, unknown_name
from lorae.features.base import FeatureExtractor as FeatureExtractor
from lorae.features.base import weights_hash as weights_hash
from lorae.features.clip import build_clip
from lorae.features.digits import build_digits
from lorae.features.dinov2 import build_dinov2
from lorae.features.inception import build_inception
from lorae.features.lite0 import build_lite0
from lorae.isolation import isolated
from lorae.randomness import drawing_from
from lorae.system.files import LARGEST_RECORD, read_file

GROUP = "lorae.features"

# A network of the user: a torch module, or a function that takes the same tensor and returns a tensor or an array.
Own = nn.Module | Callable[[Tensor], Any]


@dataclass(frozen=True)
class Source:
    """A row of the table: one line about an extractor, and its constructor, given a weights file or None."""

    summary: str
    build: Callable[[str | None], FeatureExtractor]
    takes_weights: bool = False


EXTRACTORS = {
    "digits": Source("classifier of handwritten digits, 128 features, in the package", lambda _: build_digits()),
    "lite0": Source("EfficientNet-Lite0 trained on ImageNet, 1,280 features, offline", lambda _: build_lite0()),
    "inception": Source("the network of the standard FID, 2,048 features", build_inception, takes_weights=True),
    "dinov2": Source("DINOv2 ViT-L/14 of FD-DINOv2, 1,024 features", build_dinov2, takes_weights=True),
    "clip": Source("CLIP ViT-L/14@336 of CMMD, 768 features", build_clip, takes_weights=True),
    "raw": Source("the pixels or columns themselves", lambda _: build_raw()),
}


def build_extractor(features: str | Own, weights: str | None = None) -> FeatureExtractor:
    """Build a feature extractor by name, or from a torch module or function.

    features: a name of `EXTRACTORS` or of another package (see `lorae.plugins`), a module, a function, or
        `FILE.py:NAME` or `PACKAGE.MODULE:NAME` of one. A function without required parameters is called and returns
        the module or function. Either maps images, float32 (n, c, h, w) in [0, 1], or unchanged vectors to (n, d).
    weights: file of the weights, for those of `EXTRACTORS` that take one
    """
    # Initial weights, which are replaced next, must not use up the caller's random numbers.
    with isolated(), drawing_from(torch.Generator("cpu"), everything=True):
        return _build(features, weights)


def _build(features: str | Own, weights: str | None) -> FeatureExtractor:
    if not isinstance(features, str):
        name = getattr(features, "__name__", type(features).__name__)
        return _own_extractor(name, _as_module(name, features))
    if weights is not None and not (features in EXTRACTORS and EXTRACTORS[features].takes_weights):
        takers = [name for name, source in EXTRACTORS.items() if source.takes_weights]
        raise LoraeError(f"features_weights: got {weights!r}, which is for {', '.join(takers)} only")
    if features in plugins.installed(GROUP):
        plugins.refuse_duplicates(GROUP, EXTRACTORS)
        return _own_extractor(features, _as_module(features, plugins.load(GROUP, features)))
    if features in EXTRACTORS:
        return EXTRACTORS[features].build(weights)
    if ":" not in features:
        known = [*EXTRACTORS, *plugins.installed(GROUP)]
        raise unknown_name("features", features, known, ending=", or FILE.py:NAME of your own")
    return _own_extractor(features, _import_module(features))


def build_raw() -> FeatureExtractor:
    """Build the extractor `raw`: flattened items, images divided by 255. Its width depends on the items."""
    return FeatureExtractor("raw", "", 0, nn.Flatten(), _as_floats, {"input": "images / 255, vectors as they are"})


def _as_floats(items: NDArray[Any]) -> Tensor:
    tensor = torch.from_numpy(np.array(items))
    return tensor.float() / 255 if tensor.dtype == torch.uint8 else tensor.float()


def _own_extractor(name: str, network: nn.Module) -> FeatureExtractor:
    protocol = {"input": "uint8 / 255, not resized"}
    if isinstance(network, OwnFunction):
        protocol["code"] = network.code_hash()
    return FeatureExtractor(name, weights_hash(network.state_dict()), 0, network, _as_floats, protocol, own=True)


class OwnFunction(nn.Module):
    """A function of the user in the place of a network without weights."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """Return the function's features as a tensor."""
        result = self.function(x)
        if isinstance(result, Tensor | np.ndarray):
            return torch.as_tensor(result)
        raise LoraeError(f"features: a function returned {type(result).__name__}, expected a tensor or array (n, d)")

    def code_hash(self) -> str:
        """Return the SHA-256 of the function's source, which stands for weights in the protocol."""
        try:
            source = inspect.getsource(inspect.unwrap(self.function))
        except (OSError, TypeError):  # typed in a shell, or compiled
            return "not known"
        return f"sha256:{hashlib.sha256(source.encode()).hexdigest()}"


def _import_module(address: str) -> nn.Module:
    place, name = address.rsplit(":", 1)
    try:
        if place.endswith(".py"):
            read_file(Path(place), LARGEST_RECORD)  # a pipe or a device is refused, which an import waits for
            spec = importlib.util.spec_from_file_location(Path(place).stem, place)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(place)
        found = getattr(module, name)
    except Exception as error:  # whatever the user's code raises
        reason = " ".join(str(error).split())[:300]
        raise LoraeError(f"features: cannot import {address!r}: {type(error).__name__}: {reason}") from None
    return _as_module(address, found)


def _as_module(address: str, found: Any) -> nn.Module:
    """Return a torch module from itself, a function of items, or a class or function that gives one of them."""
    network = found() if inspect.isclass(found) or (inspect.isfunction(found) and not _takes_items(found)) else found
    if isinstance(network, nn.Module):
        return network
    if not callable(network):
        raise LoraeError(f"features: {address!r} is {type(network).__name__}, expected a torch module or a function")
    return OwnFunction(network)


def _takes_items(function: Callable[..., Any]) -> bool:
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return any(
        parameter.kind in positional and parameter.default is parameter.empty
        for parameter in inspect.signature(function).parameters.values()
    )
