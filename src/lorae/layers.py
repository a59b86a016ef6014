"""The two layers that differ from torch's: linear ones in full precision, and a convolution fast on small maps."""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch users know
from torch import Tensor, nn

# Up to this many output pixels a strided convolution is faster as one matrix product on a CPU: oneDNN's own backward
# pass is bound by reordering the weights there. Measured by benchmarks/throughput.py (about 10% of an MNIST step).
PATCH_PIXELS = 16


class Linear(nn.Linear):
    """A linear layer that stays in float32 under autocast, so that latents and M are never rounded to bfloat16.

    It costs nothing: casting the decoder's large first weight takes as long as its product saves.
    """

    def forward(self, input: Tensor) -> Tensor:
        """input: (n, in_features), any floating dtype; result float32 (n, out_features)."""
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.to(self.weight.dtype))


class StridedConv2d(nn.Conv2d):
    """A convolution of kernel 4, stride 2, padding 1 (it halves both sides), by patches where that is faster."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=4, stride=2, padding=1)

    def forward(self, input: Tensor) -> Tensor:
        """input: (n, c, h, w) with even h, w or any that nn.Conv2d takes; result (n, out_channels, h // 2, w // 2)."""
        h, w = input.shape[2:]
        small = (h // 2) * (w // 2) <= PATCH_PIXELS and h % 2 == 0 and w % 2 == 0
        if not (small and self.training and input.device.type == "cpu"):
            return super().forward(input)
        patches = _Patches.apply(input.permute(0, 2, 3, 1))  # type: ignore[no-untyped-call]
        weight = self.weight.permute(0, 2, 3, 1).flatten(1)
        return F.linear(patches, weight, self.bias).permute(0, 3, 1, 2)


class _Patches(torch.autograd.Function):
    """(n, h, w, c) -> (n, h/2, w/2, 16 c): what each kernel position sees; backward adds the overlaps up."""

    @staticmethod
    def forward(ctx: Any, images: Tensor) -> Tensor:
        n, h, w, c = images.shape
        padded = F.pad(images, (0, 0, 1, 1, 1, 1)).contiguous()
        row, column = padded.stride(1), padded.stride(2)
        windows = padded.as_strided(
            (n, h // 2, w // 2, 4, 4, c), (padded.stride(0), 2 * row, 2 * column, row, column, 1)
        )
        return windows.reshape(n, h // 2, w // 2, 16 * c)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        n, h, w, width = gradients[0].shape
        c = width // 16
        # A kernel of 4 and a stride of 2: each patch is 2 x 2 blocks of 2 x 2 pixels, and blocks overlap whole.
        blocks = gradients[0].reshape(n, h, w, 2, 2, 2, 2, c)
        padded = blocks.new_zeros(n, h + 1, 2, w + 1, 2, c)
        for i in (0, 1):
            for j in (0, 1):
                padded[:, i : i + h, :, j : j + w].add_(blocks[:, :, :, i, :, j].permute(0, 1, 3, 2, 4, 5))
        return padded.reshape(n, 2 * h + 2, 2 * w + 2, c)[:, 1:-1, 1:-1]
