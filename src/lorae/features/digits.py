"""Features of handwritten digits: a small classifier for 32 x 32 gray images, with its weights in the package."""

import hashlib
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lorae.errors import NotApplicableError
from lorae.features.base import FeatureExtractor
from lorae.features.resize import resize_clean

WEIGHTS = Path(__file__).with_name("digits.safetensors")
SIDE, DIM, CLASSES = 32, 128, 10


class DigitsNetwork(nn.Module):
    """Five convolutions and a linear classifier; the features are the pooled outputs of the last convolution.

    Each feature is divided by its standard deviation over the training images, so that none outweighs the others.
    140,000 weights, trained on MNIST by `studies/train_digit_features.py`.
    """

    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for after, stride in ((32, 1), (32, 2), (64, 1), (64, 2), (DIM, 1)):
            convolution = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
            layers += [convolution, nn.BatchNorm2d(after), nn.ReLU()]
            before = after
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(DIM, CLASSES)
        self.register_buffer("deviation", torch.ones(DIM))

    def pooled(self, x: Tensor) -> Tensor:
        """Return the input of the classifier, float (n, 128), for x, float (n, 1, 32, 32) in [0, 1]."""
        result: Tensor = self.features(x).mean((2, 3))
        return result

    def forward(self, x: Tensor) -> Tensor:
        """Return features of unit deviation on the training images, float (n, 128), for x as in `pooled`."""
        return self.pooled(x) / self.deviation


def build_digits() -> FeatureExtractor:
    """Build the extractor `digits`, 128 features."""
    from safetensors.torch import load

    content = WEIGHTS.read_bytes()
    network = DigitsNetwork()
    network.load_state_dict(load(content))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return FeatureExtractor(
        name="digits",
        sha256=hashlib.sha256(content).hexdigest(),
        dim=DIM,
        network=network,
        prepare=prepare_digits,
        protocol={
            "resize": "bicubic to 32 x 32 on floats, none at that size",
            "input": "grey uint8 / 255",
            "scale": "unit deviation on MNIST",
        },
        batch=50,
    )


def prepare_digits(images: NDArray[Any]) -> Tensor:
    """Return the network's input for uint8 gray images (n, 1, h, w)."""
    if images.ndim != 4 or images.shape[1] != 1:
        raise NotApplicableError(
            f"features: 'digits' takes gray images (n, 1, h, w), got shape {images.shape}; use features='lite0' or "
            "inception",
            settings={"features": "lite0"},
        )
    return torch.from_numpy(resize_clean(images, SIDE, SIDE)) / 255
