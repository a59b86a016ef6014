"""A modern convolutional pair: group normalization, SiLU and residual blocks, for images of any side."""

from itertools import pairwise
from math import gcd, prod

import torch.nn.functional as F  # noqa: N812 - the name that PyTorch users know
from torch import Tensor, nn

from lorae.models.layers import Linear, Sigmoid, StridedConv2d, StridedConvTranspose2d

# Channels at a half, a quarter and an eighth of the sides: those of the paper's MNIST pair, so that both cost alike.
CHANNELS = (32, 64, 128)
FACTOR = 2 ** len(CHANNELS)

# Groups of a normalization (arXiv:1803.08494 has 32 for hundreds of channels): four channels a group at 32.
GROUPS = 8


class ResidualBlock(nn.Module):
    """Normalize, SiLU, convolve, twice, added to the input; the identity at the start (arXiv:1603.05027)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            convolution = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
            layers += [nn.GroupNorm(gcd(GROUPS, channels), channels), nn.SiLU(), convolution]
        nn.init.zeros_(convolution.weight)
        self.change = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Map x, float (n, channels, h, w), to the same shape."""
        changed: Tensor = x + self.change(x)
        return changed


class PadSides(nn.Module):
    """Repeat the last row and column of images until both sides are multiples of `FACTOR`."""

    def forward(self, x: Tensor) -> Tensor:
        """Map x, float (n, c, h, w), to images of the padded sides."""
        bottom, right = (-side % FACTOR for side in x.shape[2:])
        return F.pad(x, (0, right, 0, bottom), mode="replicate") if bottom or right else x


class CropSides(nn.Module):
    """Cut images to the sides before `PadSides`."""

    def __init__(self, sides: tuple[int, ...]) -> None:
        super().__init__()
        self.height, self.width = sides

    def forward(self, x: Tensor) -> Tensor:
        """Map x, float (n, c, H, W), to (n, c, height, width)."""
        return x[..., : self.height, : self.width]


def resnet_layers(
    shape: tuple[int, ...], latent_dim: int, outputs: int, width: float, depth: int, output: str
) -> tuple[nn.Module, Linear, Linear, nn.Module]:
    """Return the encoder's features and last layer, and the decoder's first layer and features.

    `depth` is the number of residual blocks at each resolution; pixels are not bounded unless `output` is sigmoid.
    """
    counts = [max(1, round(count * width)) for count in CHANNELS]
    start = (counts[-1], *(-(-side // FACTOR) for side in shape[1:]))
    down: list[nn.Module] = [PadSides()]
    for before, after in pairwise([shape[0], *counts]):
        down += [StridedConv2d(before, after), *(ResidualBlock(after) for _ in range(depth))]
    up: list[nn.Module] = [nn.Unflatten(1, start)]
    for before, after in pairwise([*reversed(counts), shape[0]]):
        up += [*(ResidualBlock(before) for _ in range(depth)), nn.GroupNorm(gcd(GROUPS, before), before), nn.SiLU()]
        up.append(StridedConvTranspose2d(before, after))
    up += [CropSides(shape[1:]), *([Sigmoid()] if output == "sigmoid" else [])]
    down += [nn.GroupNorm(gcd(GROUPS, counts[-1]), counts[-1]), nn.SiLU()]
    last, first = Linear(prod(start), outputs), Linear(latent_dim, prod(start))
    return nn.Sequential(*down), last, first, nn.Sequential(*up)
