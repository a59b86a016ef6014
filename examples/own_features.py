"""Distances between two sets of pictures in features of your own: FID and CMMD from a function of six lines."""

import numpy as np
import torch

import lorae


def layout(x: torch.Tensor) -> torch.Tensor:
    """Mean and deviation of sixteen parts of each picture, (n, 32), for x in [0, 1], (n, c, h, w)."""
    cells = torch.nn.functional.unfold(x, kernel_size=x.shape[-1] // 4, stride=x.shape[-1] // 4)
    return torch.cat([cells.mean(1), cells.std(1)], dim=1)


def squares(n: int, side: int, seed: int) -> np.ndarray:
    """Pictures of one bright square each, uint8 (n, 1, 32, 32)."""
    rng = np.random.default_rng(seed)
    pictures = np.zeros((n, 1, 32, 32), np.uint8)
    for picture, (top, left) in zip(pictures, rng.integers(0, 32 - side, (n, 2)), strict=True):
        picture[0, top : top + side, left : left + side] = 200
    return pictures


real = squares(600, side=8, seed=0)
similar = lorae.fid(real, squares(600, side=8, seed=1), features=layout, quiet=True)
larger = lorae.fid(real, squares(600, side=12, seed=1), features=layout, quiet=True)
for name, found in {"similar": similar, "larger": larger}.items():
    print(f"{name:8} FID {found['fid']:.4f}  CMMD {found['cmmd']['value']:.4f}")

assert similar["protocol"]["features"] == "layout"
assert similar["fid"] < 0.1 * larger["fid"]
assert abs(similar["cmmd"]["value"]) < 0.1 * larger["cmmd"]["value"]  # unbiased: near zero, and may be below it
# For published numbers: features="dinov2" makes the first FD-DINOv2, features="clip" makes the second CMMD.
