"""The paper's encoders and decoders (supplementary table 1), an MLP pair for vectors, and the other built-in pairs."""

import contextlib
from collections.abc import Iterator
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from lorae.errors import LoraeError
from lorae.models.layers import Linear, PixelwiseLinear, Sigmoid, StridedConv2d, StridedConvTranspose2d, Tanh
from lorae.models.resnet import resnet_layers


class Encoder(nn.Module):
    """Features, then the last linear layer, into which M is folded after training."""

    def __init__(self, features: nn.Module, output: Linear) -> None:
        super().__init__()
        self.features = features
        self.output = output

    def forward(self, x: Tensor) -> Tensor:
        """Map x, float (n, c, h, w) or (n, d), to float32 (n, latent_dim)."""
        h: Tensor = self.output(self.features(x).flatten(1))
        return h


class Decoder(nn.Module):
    """The first linear layer, then the way back to the input's shape."""

    def __init__(self, input: Linear, features: nn.Module) -> None:
        super().__init__()
        self.input = input
        self.features = features

    def forward(self, z: Tensor) -> Tensor:
        """Map z, float32 (n, latent_dim), to float (n, c, h, w) or (n, d)."""
        x: Tensor = self.features(self.input(z))
        return x


# Limits that are not known yet; finite, as all weights are.
LARGEST = torch.finfo(torch.float32).max


class Limits(nn.Module):
    """Clamp each entry to the range that it has for training items, once that range is known.

    A correction beside a linear path is learned within that range; outside it, one of ReLUs grows with the distance.
    Items of scikit-learn's digits that are moved by 20 deviations have 1.15 of PCA's error without limits, and 1.01
    with them and PCA beyond; unmoved ones have 0.45 and 0.49, since entries of some lie slightly outside.
    """

    low: Tensor
    high: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("low", torch.full(shape, -LARGEST))
        self.register_buffer("high", torch.full(shape, LARGEST))
        self.observing = False
        self.known = False

    def forward(self, x: Tensor) -> Tensor:
        """Clamp x, float (n, ...); while `observing`, extend the range to it instead."""
        if self.observing:
            self.low.copy_(torch.minimum(self.low, x.amin(0)))
            self.high.copy_(torch.maximum(self.high, x.amax(0)))
            return x
        if not self.known:
            return x
        return torch.minimum(torch.maximum(x, self.low), self.high)

    def forget(self) -> None:
        """Clamp nothing, as before the range was known."""
        self.low.fill_(-LARGEST)
        self.high.fill_(LARGEST)
        self.known = False

    @contextlib.contextmanager
    def renewed(self) -> Iterator[None]:
        """Take as the range that of all x in the block."""
        self.low.fill_(LARGEST)
        self.high.fill_(-LARGEST)
        self.observing = self.known = True
        try:
            yield
        finally:
            self.observing = False

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        for name, value in self.named_buffers():  # weights of earlier versions have no limits
            state_dict.setdefault(prefix + name, value)
        super()._load_from_state_dict(state_dict, prefix, *others)
        self.known = not self.low.is_meta and bool((self.low > -LARGEST).any() or (self.high < LARGEST).any())


class ConcatInput(nn.Module):
    """A network's input concatenated to its features, so that the next linear layer has a linear path."""

    def __init__(self, network: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.limits = Limits(shape)
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Map x, float (n, d) or (n, c, h, w), to (n, inputs + features)."""
        return torch.cat([x.flatten(1), self.network(self.limits(x)).flatten(1)], dim=1)


class LinearSkip(nn.Module):
    """A network on the first `width` entries of each row, plus the others as they are."""

    def __init__(self, network: nn.Module, width: int) -> None:
        super().__init__()
        self.limits = Limits((width,))
        self.network = network
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        """Map x, float (n, width + d), to (n, d), or to (n, c, h, w) for a network of images."""
        result: Tensor = self.network(self.limits(x[:, : self.width]))
        return result + x[:, self.width :].view(result.shape)


class ToImage(nn.Module):
    """Rows (n, h w c) to images (n, c, h, w), read as h x w x c like the paper: that is channels last, at no cost."""

    def __init__(self, sides: tuple[int, int, int]) -> None:
        super().__init__()
        self.sides = sides

    def forward(self, x: Tensor) -> Tensor:
        """Map x, float (n, h * w * c), to (n, c, h, w)."""
        return x.view(-1, *self.sides).permute(0, 3, 1, 2)


class ConvolutionalPair(NamedTuple):
    """Channel counts of a pair of networks, and whether a ReLU follows the decoder's first layer."""

    encoder: tuple[int, ...]  # each halves the sides
    decoder: tuple[int, ...]  # the first comes from a linear layer, the others double the sides each
    relu_first: bool


CONVOLUTIONAL_PAIRS = {
    # The paper's table prints FC 8096 and three strided layers for MNIST, which does not give 32 x 32 x 1;
    # its authors' code has 8 * 8 * 128 = 8192, two strided layers and a 1 x 1 convolution.
    "mnist": ConvolutionalPair(encoder=(32, 64, 128, 256), decoder=(128, 64, 32), relu_first=True),
    "celeba": ConvolutionalPair(encoder=(128, 256, 512, 1024), decoder=(1024, 512, 256, 128), relu_first=False),
}

# Two hidden layers of 256: enough for curved manifolds in some tens of dimensions, seconds to train on a CPU.
MLP_WIDTHS = (256, 256)


class MissingEncoder(nn.Module):
    """Placeholder for the encoder of a generator; raises LoraeError when called."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: ARG002
        """Raise LoraeError."""
        raise LoraeError("encoder: this method only generates; it can sample, but neither encode nor reconstruct")


def apply_spectral_norm(network: nn.Module) -> None:
    """Divide every weight by its spectral norm, estimated by one power iteration a pass (arXiv:1802.05957)."""
    for layer in list(network.modules()):
        if isinstance(layer, (nn.Linear, nn.ConvTranspose2d)):
            spectral_norm(layer)


def build_networks(
    network: str,
    shape: tuple[int, ...],
    latent_dim: int,
    width: float = 1.0,
    *,
    encoder_outputs: int | None = None,
    output: str = "tanh",
    pca_beyond: bool = False,
    depth: int = 1,
) -> tuple[Encoder, Decoder]:
    """Return an encoder and a decoder for items of one shape; LoraeError for sides that do not fit the network.

    network: `mnist` or `celeba` for images with sides in multiples of 8, `resnet` for any images, `mlp` for vectors,
    `residual` (a linear path beside the networks of `mnist` or `mlp`) for both, and `linear` for all items. `width` is
    a factor on all channel counts, `depth` the number of residual blocks at each resolution of `resnet`, `output` the
    last activation of the decoder of images, unless there is a linear path; `encoder_outputs` is given where it is not
    `latent_dim`; `pca_beyond` is for a residual pair with a second linear path, see `models.linear_path`.
    """
    outputs = encoder_outputs or latent_dim
    if network == "linear":
        encoder = Encoder(nn.Identity(), Linear(prod(shape), outputs))
        return encoder, Decoder(Linear(latent_dim, prod(shape)), nn.Unflatten(1, shape))
    if network == "resnet":
        features, last, first, others = resnet_layers(shape, latent_dim, outputs, width, depth, output)
        return Encoder(features, last), Decoder(first, others)
    if network == "residual":
        plain = "mlp" if len(shape) == 1 else "mnist"
        pair = build_networks(plain, shape, latent_dim, width, encoder_outputs=outputs, output="identity")
        _start_at_zero(pair[1])
        paths = 2 if pca_beyond else 1
        for _ in range(paths):
            pair = _with_linear_path(*pair, shape)
        return pair
    if network == "mlp":
        return _mlp_pair(prod(shape), [_scaled(hidden, width) for hidden in MLP_WIDTHS], latent_dim, outputs)
    return _convolutional_pair(CONVOLUTIONAL_PAIRS[network], shape, latent_dim, width, outputs, output)


def _convolutional_pair(
    pair: ConvolutionalPair, shape: tuple[int, ...], latent_dim: int, width: float, outputs: int, output: str
) -> tuple[Encoder, Decoder]:
    channels, height, side = shape
    if height % 8 or side % 8:
        raise LoraeError(f"size: images of {height}x{side}, expected sides that are multiples of 8")
    encoder = [_scaled(count, width) for count in pair.encoder]
    decoder = [_scaled(count, width) for count in pair.decoder]
    return (
        _convolutional_encoder(channels, height, side, encoder, outputs),
        _convolutional_decoder(channels, height, side, decoder, latent_dim, pair.relu_first, output),
    )


def _scaled(count: int, width: float) -> int:
    return max(1, round(count * width))


def _convolutional_encoder(channels: int, height: int, side: int, counts: list[int], latent_dim: int) -> Encoder:
    layers: list[nn.Module] = []
    for count in counts:
        if min(height, side) < 2:  # images of 8 x 8 have one pixel left after three layers
            break
        layers += [StridedConv2d(channels, count), nn.ReLU()]
        channels, height, side = count, height // 2, side // 2
    return Encoder(nn.Sequential(*layers), Linear(channels * height * side, latent_dim))


def _convolutional_decoder(
    channels: int, height: int, side: int, counts: list[int], latent_dim: int, relu_first: bool, output: str
) -> Decoder:
    factor = 2 ** (len(counts) - 1)
    start = (height // factor, side // factor, counts[0])
    layers: list[nn.Module] = [nn.ReLU()] if relu_first else []
    layers.append(ToImage(start))
    for before, after in pairwise(counts):
        layers += [StridedConvTranspose2d(before, after), nn.ReLU()]
    # Transposed, though 1 x 1, as the paper writes: torch starts its weights in [-1, 1], those of a plain one in
    # [-0.18, 0.18], and that start decides how fast the first epochs are.
    layers.append(PixelwiseLinear(counts[-1], channels))
    # Tanh on images in [0, 1], as in the authors' code: negative outputs are clipped when images are written.
    if output != "identity":
        layers.append(Sigmoid() if output == "sigmoid" else Tanh())
    return Decoder(Linear(latent_dim, prod(start)), nn.Sequential(*layers))


def _mlp_pair(inputs: int, widths: list[int], latent_dim: int, outputs: int) -> tuple[Encoder, Decoder]:
    forward, backward = [inputs, *widths], [*reversed(widths), inputs]
    encoder = [layer for sizes in pairwise(forward) for layer in (Linear(*sizes), nn.ReLU())]
    last = Linear(widths[-1], outputs)
    decoder = [layer for sizes in pairwise(backward) for layer in (nn.ReLU(), Linear(*sizes))]
    first = Linear(latent_dim, widths[-1])
    return Encoder(nn.Sequential(*encoder), last), Decoder(first, nn.Sequential(*decoder))


def last_layer(network: nn.Module) -> nn.Module:
    """Return the last layer of a decoder's network beside a linear path, whose outputs are the corrections."""
    assert isinstance(network, nn.Sequential)
    last = network[-1]
    assert isinstance(last, nn.Linear | PixelwiseLinear)
    return last


def _start_at_zero(decoder: Decoder) -> None:
    """Set the last layer to zero: a correction that is added to a linear path starts without effect."""
    for parameter in last_layer(decoder.features).parameters():
        nn.init.zeros_(parameter)


def _with_linear_path(encoder: Encoder, decoder: Decoder, shape: tuple[int, ...]) -> tuple[Encoder, Decoder]:
    """Return a pair with a linear path beside each network."""
    inputs, (features, outputs), (latent_dim, first) = prod(shape), _sizes(encoder.output), _sizes(decoder.input)
    return (
        Encoder(ConcatInput(encoder.features, shape), Linear(inputs + features, outputs)),
        Decoder(Linear(latent_dim, first + inputs), LinearSkip(decoder.features, first)),
    )


def _sizes(layer: nn.Linear) -> tuple[int, int]:
    return layer.in_features, layer.out_features
