"""Layers that compute what torch's do, faster where oneDNN is slow on a CPU, and linear ones in full precision."""

import copy
from typing import Any, TypeVar

import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch users know
from torch import Tensor, nn
from torch.nn.grad import conv2d_weight

AffineLayer = TypeVar("AffineLayer", bound=nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d)

# Up to this many output pixels a strided convolution is faster as one matrix product on a CPU: oneDNN's own backward
# pass is bound by reordering the weights there. Measured on the MNIST network at batch 32.
PATCH_PIXELS = 16


class Linear(nn.Linear):
    """A linear layer that stays in float32 under autocast, so that latents and M are never rounded to bfloat16.

    It costs nothing: casting the decoder's large first weight takes as long as its product saves.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Map input (n, in_features), of any floating dtype, to float32 (n, out_features)."""
        if not torch.is_autocast_enabled(input.device.type):  # a context costs as much as a small product
            return super().forward(input.to(self.weight.dtype))
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.to(self.weight.dtype))


class Sigmoid(nn.Sigmoid):
    """A sigmoid that is computed in float32 under autocast.

    In bfloat16 it is 1 from 6.3 on: there its derivative is 0, and a white pixel that should be black has no gradient.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Map input, of any floating dtype and shape, to (0, 1)."""
        return super().forward(_at_least_float32(input))


class Tanh(nn.Tanh):
    """A hyperbolic tangent that is computed in float32 under autocast: in bfloat16 it is 1 from 3.2 on."""

    def forward(self, input: Tensor) -> Tensor:
        """Map input, of any floating dtype and shape, to (-1, 1)."""
        return super().forward(_at_least_float32(input))


def _at_least_float32(input: Tensor) -> Tensor:
    return input.float() if input.dtype == torch.bfloat16 else input


class StridedConv2d(nn.Conv2d):
    """A convolution of kernel 4, stride 2, padding 1 (it halves both sides), by patches where that is faster."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=4, stride=2, padding=1)

    def forward(self, input: Tensor) -> Tensor:
        """Map input (n, c, h, w) to (n, out_channels, h // 2, w // 2)."""
        h, w = input.shape[2:]
        small = (h // 2) * (w // 2) <= PATCH_PIXELS and h % 2 == 0 and w % 2 == 0
        if not (small and _trains_on_cpu(self, input)):
            return super().forward(input)
        x, weight, bias = _in_one_precision(self, input)
        patches: Tensor = _Patches.apply(x)  # type: ignore[no-untyped-call]
        return F.linear(patches, weight.permute(0, 2, 3, 1).flatten(1), bias).permute(0, 3, 1, 2)


class StridedConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution of kernel 4, stride 2, padding 1 (it doubles both sides), with a faster backward pass.

    Its gradients are those of the plain convolution that it is the adjoint of, which oneDNN computes faster.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=4, stride=2, padding=1)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Map input (n, c, h, w) to (n, out_channels, 2 h, 2 w)."""
        if output_size is not None or not _trains_on_cpu(self, input):
            return super().forward(input, output_size)
        result: Tensor = _TransposedConvolution.apply(*_in_one_precision(self, input))  # type: ignore[no-untyped-call]
        return result


class PixelwiseLinear(nn.ConvTranspose2d):
    """A 1 x 1 transposed convolution, with its weights and their start, computed as the plain one that it equals."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=1)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Map input (n, c, h, w) to (n, out_channels, h, w)."""
        if output_size is not None:
            return super().forward(input, output_size)
        return F.conv2d(input, self.weight.transpose(0, 1), self.bias)


def _trains_on_cpu(layer: nn.Module, input: Tensor) -> bool:
    return layer.training and input.device.type == "cpu"


def _in_one_precision(layer: nn.Conv2d | nn.ConvTranspose2d, input: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cast input, weight and bias to the precision of autocast, which does not act within custom functions."""
    wanted = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else layer.weight.dtype
    assert layer.bias is not None
    return input.to(wanted), layer.weight.to(wanted), layer.bias.to(wanted)


class _TransposedConvolution(torch.autograd.Function):
    """Kernel 4, stride 2, padding 1; backward by the plain convolution from outputs to inputs with the same weight."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.conv_transpose2d(x, weight, bias, stride=2, padding=1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        (gradient,) = gradients
        d_x = F.conv2d(gradient, weight, stride=2, padding=1) if ctx.needs_input_grad[0] else None
        # In that plain convolution `gradient` is the input and `x` the gradient of the output.
        d_weight: Tensor = conv2d_weight(  # type: ignore[no-untyped-call]
            gradient, list(weight.shape), x, stride=2, padding=1
        )
        return d_x, d_weight, gradient.sum((0, 2, 3))


# Each of the next two is linear and the other's adjoint, so each is the other's backward pass, to any order.
class _Patches(torch.autograd.Function):
    """(n, c, h, w) -> (n, h/2, w/2, 16 c): the kernel's input at each position, kernel pixels before channels."""

    @staticmethod
    def forward(ctx: Any, images: Tensor) -> Tensor:
        n, c, h, w = images.shape
        padded = F.pad(images.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1)).contiguous()
        image, row, column = padded.stride()[:3]
        windows = padded.as_strided((n, h // 2, w // 2, 4, 4, c), (image, 2 * row, 2 * column, row, column, 1))
        return windows.reshape(n, h // 2, w // 2, 16 * c)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        images: Tensor = _AddPatches.apply(gradients[0])  # type: ignore[no-untyped-call]
        return images


class _AddPatches(torch.autograd.Function):
    """(n, h, w, 16 c) -> (n, c, 2 h, 2 w): patches put back in their places, overlaps added up."""

    @staticmethod
    def forward(ctx: Any, patches: Tensor) -> Tensor:
        n, h, w, width = patches.shape
        c = width // 16
        # A kernel of 4 and a stride of 2: each patch is 2 x 2 blocks of 2 x 2 pixels, and blocks overlap whole.
        blocks = patches.reshape(n, h, w, 2, 2, 2, 2, c)
        padded = blocks.new_zeros(n, h + 1, 2, w + 1, 2, c)
        for i in (0, 1):
            for j in (0, 1):
                padded[:, i : i + h, :, j : j + w].add_(blocks[:, :, :, i, :, j].permute(0, 1, 3, 2, 4, 5))
        return padded.view(n, 2 * h + 2, 2 * w + 2, c)[:, 1:-1, 1:-1].permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        patches: Tensor = _Patches.apply(gradients[0])  # type: ignore[no-untyped-call]
        return patches


def affine_after(layer: AffineLayer, matrix: Tensor, offset: Tensor | None = None) -> AffineLayer:
    """Return one layer for a linear layer or convolution, followed by y -> matrix y + offset of features or channels.

    matrix: float64 (m, outputs); offset: float64 (m,).
    """
    weight = layer.weight.detach().double().cpu()
    bias = None if layer.bias is None else matrix @ layer.bias.detach().double().cpu()
    if offset is not None:
        bias = offset if bias is None else bias + offset
    return layer_like(layer, (matrix @ weight.flatten(1)).reshape(-1, *weight.shape[1:]), bias)


def affine_before(layer: AffineLayer, matrix: Tensor, offset: Tensor) -> AffineLayer:
    """Return one layer for c -> matrix c + offset of features or channels, followed by a linear layer or convolution.

    matrix: float64 (inputs, m); offset: float64 (inputs,). A convolution must not pad, as padding has no offset.
    """
    weight = layer.weight.detach().double().cpu()
    bias = (weight if weight.ndim == 2 else weight.flatten(2).sum(2)) @ offset
    if layer.bias is not None:
        bias += layer.bias.detach().double().cpu()
    return layer_like(layer, (weight.movedim(1, -1) @ matrix).movedim(-1, 1), bias)


def layer_like(layer: AffineLayer, weight: Tensor, bias: Tensor | None) -> AffineLayer:
    """Return a copy of a layer with this weight and bias, with its dtype and device; no random numbers are drawn."""
    new, like = copy.deepcopy(layer), layer.weight
    for name, value in (("weight", weight), ("bias", bias)):
        parameter = value if value is None else nn.Parameter(value.to(like, copy=True).contiguous(), like.requires_grad)
        new.register_parameter(name, parameter)
    outputs, inputs = weight.shape[:2]
    if isinstance(new, nn.Linear):
        new.in_features, new.out_features = inputs, outputs
    else:
        new.in_channels, new.out_channels = inputs, outputs
    return new
