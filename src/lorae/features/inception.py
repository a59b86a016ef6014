"""The Inception network of published FID values: TensorFlow's weights of 2015 in a torch module."""

import hashlib
import io
import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch users know
from numpy.typing import NDArray
from torch import Tensor, nn

from lorae.documentation import FEATURE_NETWORKS, see
from lorae.errors import LoraeError, NotApplicableError
from lorae.features.base import FeatureExtractor
from lorae.features.resize import color_input
from lorae.system.download import download
from lorae.system.files import home_expanded, read_file, write_atomically

FILE_NAME = "pt_inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{FILE_NAME}"
HASH_PREFIX = "6726825d"
VARIABLE = "LORAE_INCEPTION"

DIM = 2048
SIDE = 299
# Batch size that is fastest on a CPU, with channels last: 30 ms an image on 2 cores, where 40 at once take 53.
INCEPTION_BATCH = 10

PROTOCOL = {
    "resize": f"Pillow bicubic with antialiasing on float32 channels to {SIDE}x{SIDE}, as clean-fid",
    "quantisation": "uint8 before the resize, neither rounded nor clipped after it",
    "input": "(x - 128) / 128 of values on the scale 0 to 255, grey as three equal channels",
}

# The convolutions of a branch in their order: channels, and the kernels that run side by side on the same input.
Chain = list[tuple[int, str]]

# Branches of the blocks, by the sides of their images in pixels.
BLOCK_35: dict[str, Chain] = {
    "branch1x1": [(64, "1x1")],
    "branch5x5": [(48, "1x1"), (64, "5x5")],
    "branch3x3dbl": [(64, "1x1"), (96, "3x3"), (96, "3x3")],
}
FROM_35_TO_17: dict[str, Chain] = {"branch3x3": [(384, "3x3")], "branch3x3dbl": BLOCK_35["branch3x3dbl"]}
FROM_17_TO_8: dict[str, Chain] = {
    "branch3x3": [(192, "1x1"), (320, "3x3")],
    "branch7x7x3": [(192, "1x1"), (192, "1x7"), (192, "7x1"), (192, "3x3")],
}
BLOCK_8: dict[str, Chain] = {
    "branch1x1": [(320, "1x1")],
    "branch3x3": [(384, "1x1"), (384, "1x3 3x1")],
    "branch3x3dbl": [(448, "1x1"), (384, "3x3"), (384, "1x3 3x1")],
}


def _block_17(inner: int) -> dict[str, Chain]:
    return {
        "branch1x1": [(192, "1x1")],
        "branch7x7": [(inner, "1x1"), (inner, "1x7"), (192, "7x1")],
        "branch7x7dbl": [(inner, "1x1"), (inner, "7x1"), (inner, "1x7"), (inner, "7x1"), (192, "1x7")],
    }


def build_inception(weights: str | Path | None = None) -> FeatureExtractor:
    """Build the extractor `inception`: uint8 images (n, 1 or 3, h, w) to float32 (n, 2048).

    Weights of None are those of LORAE_INCEPTION, then of torch's cache, then a download into that cache.
    Source: Heusel et al., NeurIPS 2017 (arXiv:1706.08500); weights as converted for pytorch-fid.
    """
    content = _weights_file(weights)
    saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    # On `meta` no random numbers are drawn, so the caller's random state does not change.
    with torch.device("meta"):
        network = inception_network()
    # The counters of batches have no effect here, and old files lack them.
    chosen = {
        name: saved.get(name, torch.tensor(0)) if name.endswith(".num_batches_tracked") else saved[name]
        for name in network.state_dict()
    }
    network.load_state_dict(chosen, assign=True)
    network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return FeatureExtractor(
        "inception", hashlib.sha256(content).hexdigest(), DIM, network, _prepare, dict(PROTOCOL), INCEPTION_BATCH
    )


def inception_network() -> nn.Sequential:
    """Return the network up to the pooled features, (n, 3, 299, 299) to (n, 2048), with random weights.

    Its blocks are named as in the weights file. It differs from other Inception networks of version 3 in two points:
    average pools ignore padding, and the last block pools by the maximum. Source:
    Szegedy et al., CVPR 2016 (arXiv:1512.00567).
    """
    # TensorFlow averages over pixels of the image only, so a constant stays constant at the border.
    average = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    layers: dict[str, nn.Module] = {
        "Conv2d_1a_3x3": NormedConvolution(3, 32, "3x3", stride=2),
        "Conv2d_2a_3x3": NormedConvolution(32, 32, "3x3"),
        "Conv2d_2b_3x3": NormedConvolution(32, 64, "3x3", padded=True),
        "maxpool1": nn.MaxPool2d(3, 2),
        "Conv2d_3b_1x1": NormedConvolution(64, 80, "1x1"),
        "Conv2d_4a_3x3": NormedConvolution(80, 192, "3x3"),
        "maxpool2": nn.MaxPool2d(3, 2),
        "Mixed_5b": MixedBlock(192, BLOCK_35, average, pool_channels=32),
        "Mixed_5c": MixedBlock(256, BLOCK_35, average, pool_channels=64),
        "Mixed_5d": MixedBlock(288, BLOCK_35, average, pool_channels=64),
        "Mixed_6a": MixedBlock(288, FROM_35_TO_17, nn.MaxPool2d(3, 2), halves=True),
        "Mixed_6b": MixedBlock(768, _block_17(128), average, pool_channels=192),
        "Mixed_6c": MixedBlock(768, _block_17(160), average, pool_channels=192),
        "Mixed_6d": MixedBlock(768, _block_17(160), average, pool_channels=192),
        "Mixed_6e": MixedBlock(768, _block_17(192), average, pool_channels=192),
        "Mixed_7a": MixedBlock(768, FROM_17_TO_8, nn.MaxPool2d(3, 2), halves=True),
        "Mixed_7b": MixedBlock(1280, BLOCK_8, average, pool_channels=192),
        "Mixed_7c": MixedBlock(2048, BLOCK_8, nn.MaxPool2d(3, stride=1, padding=1), pool_channels=192),
        "avgpool": nn.AdaptiveAvgPool2d(1),
        "flatten": nn.Flatten(),
    }
    return nn.Sequential(OrderedDict(layers))


class NormedConvolution(nn.Module):
    """A convolution without bias, batch normalization, and a ReLU.

    `kernel` is height and width, as "1x7"; `padded` pads by half the kernel, which keeps the sides at stride 1.
    """

    def __init__(self, inputs: int, outputs: int, kernel: str, stride: int = 1, padded: bool = False) -> None:
        super().__init__()
        height, width = (int(side) for side in kernel.split("x"))
        padding = (height // 2, width // 2) if padded else (0, 0)
        self.conv = nn.Conv2d(inputs, outputs, (height, width), stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of x, float (n, inputs, h, w)."""
        return F.relu(self.bn(self.conv(x)))


class MixedBlock(nn.Module):
    """Branches of convolutions and one with a pool on the same input; their outputs are concatenated in order.

    `pool_channels` are those of the 1x1 convolution after the pool, 0 for none. With `halves`, each branch ends with
    stride 2 and no padding.
    """

    def __init__(
        self, inputs: int, chains: dict[str, Chain], pool: nn.Module, pool_channels: int = 0, halves: bool = False
    ) -> None:
        super().__init__()
        self.branches = [self._add_branch(inputs, name, chain, halves) for name, chain in chains.items()]
        self.pool = pool
        self.branch_pool = NormedConvolution(inputs, pool_channels, "1x1") if pool_channels else nn.Identity()

    def _add_branch(self, width: int, branch: str, chain: Chain, halves: bool) -> list[list[str]]:
        """Add the convolutions of a branch under the names of the weights file; return the names of each step."""
        steps = []
        for number, (channels, kernels) in enumerate(chain, 1):
            step = branch if len(chain) == 1 else f"{branch}_{number}"
            side_by_side = kernels.split()
            names = [step] if len(side_by_side) == 1 else [step + letter for letter in "ab"]
            ends = halves and number == len(chain)
            for name, kernel in zip(names, side_by_side, strict=True):
                self.add_module(name, NormedConvolution(width, channels, kernel, 2 if ends else 1, padded=not ends))
            width = channels * len(names)
            steps.append(names)
        return steps

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of x, float (n, inputs, h, w)."""
        outputs = [self._along(steps, x) for steps in self.branches]
        return torch.cat([*outputs, self.branch_pool(self.pool(x))], dim=1)

    def _along(self, steps: list[list[str]], x: Tensor) -> Tensor:
        for names in steps:
            outputs = [self.get_submodule(name)(x) for name in names]
            x = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)
        return x


def _prepare(images: NDArray[Any]) -> Tensor:
    return color_input(images, SIDE, middle=128)


def _weights_file(weights: str | Path | None) -> bytes:
    """Return the checked content of the weights file from the given path, else from the first place that has it."""
    for origin, given in (("argument features_weights", weights), (VARIABLE, os.environ.get(VARIABLE))):
        if given:
            return _read(home_expanded(given), f"from {origin}")
    cached = Path(torch.hub.get_dir()) / "checkpoints" / FILE_NAME
    if cached.exists():
        return _read(cached, "from torch's cache; delete it to fetch it anew")
    try:
        content = download(URL)
    except LoraeError as error:
        raise NotApplicableError(
            f"inception: cannot download its weights ({error}); fetch {URL} elsewhere and pass "
            f"features_weights=PATH or put it at {cached}, or use features='lite0'{see(FEATURE_NETWORKS)}",
            settings={"features_weights": "PATH", "features": "lite0"},
        ) from error
    write_atomically(cached, _checked(content, URL))
    return content


def _read(path: Path, origin: str) -> bytes:
    try:
        content = read_file(path)
    except OSError as error:
        raise LoraeError(
            f"inception: cannot read {path} ({error.strerror or error}), expected the file {FILE_NAME} ({origin})",
            argument="features_weights",
        ) from error
    return _checked(content, f"{path} ({origin})")


def _checked(content: bytes, place: str) -> bytes:
    got = hashlib.sha256(content).hexdigest()
    if not got.startswith(HASH_PREFIX):
        raise LoraeError(
            f"inception: {place} has SHA-256 {got}, expected one that begins with {HASH_PREFIX}",
            argument="features_weights",
        )
    return content
