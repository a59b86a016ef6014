"""DINOv2, whose features replace Inception's in FD-DINOv2: a Frechet distance closer to the judgment of people."""

import math
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lorae.extras import import_extra
from lorae.features.base import FeatureExtractor, weights_hash
from lorae.features.resize import as_color, resize_rounded, standardized
from lorae.features.tensor_files import fill, not_downloaded, read_tensors

ARCHITECTURE = "vit_large_patch14_dinov2"
REPOSITORY, FILE_NAME = f"timm/{ARCHITECTURE}.lvd142m", "model.safetensors"
EXPECTED = f"{FILE_NAME} of {REPOSITORY}"
FETCH = f"hf download {REPOSITORY} {FILE_NAME}"

DIM = 1024
SIDE, PATCH = 224, 14
# Of ImageNet, as in the training of the network.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

PROTOCOL = {
    "network": "DINOv2 ViT-L/14, class token after the last norm; its Frechet distance is FD-DINOv2",
    "resize": f"Pillow bicubic with antialiasing on uint8 to {SIDE}x{SIDE}, not cropped",
    "quantisation": "uint8 before and after the resize",
    "input": f"(x / 255 - {MEAN}) / {DEVIATION}, grey as three equal channels",
    "positions": "embeddings of 37x37 patches to 16x16, bicubic without antialiasing, as the authors of DINOv2",
}


def build_dinov2(weights: str | None = None) -> FeatureExtractor:
    """Build the extractor `dinov2`: uint8 images (n, 1 or 3, h, w) to float32 (n, 1024).

    Weights of None are those of the Hugging Face hub or of its cache. Source: Oquab et al., TMLR 2024
    (arXiv:2304.07193); as an image metric Stein et al., NeurIPS 2023 (arXiv:2306.04675).
    """
    timm = import_extra("timm", "dinov2")
    network: nn.Module = timm.create_model(ARCHITECTURE, pretrained=False, num_classes=0, img_size=SIDE)
    tensors = read_tensors(_downloaded() if weights is None else weights, "dinov2", EXPECTED)
    digest = weights_hash(tensors)
    if "pos_embed" in tensors:
        tensors["pos_embed"] = positions(tensors["pos_embed"], SIDE // PATCH)
    fill(network, tensors, "dinov2", EXPECTED)
    return FeatureExtractor("dinov2", digest, DIM, network, prepare, dict(PROTOCOL))


def _downloaded() -> str:
    """Return the path of the weights in the cache of the hub, downloaded if they are not there."""
    from huggingface_hub import hf_hub_download  # timm requires it

    try:
        return str(hf_hub_download(REPOSITORY, FILE_NAME))
    except Exception as error:  # of the connection, the hub or the disk, from several packages
        raise not_downloaded("dinov2", error, FETCH) from None


def positions(embedding: Tensor, side: int) -> Tensor:
    """Return embeddings of the class token and of side x side patches, from (1, 1 + patches, d).

    The published numbers were computed with this interpolation, whose grid is 0.1 patches larger; timm's differs.
    """
    token, patches = embedding[:, :1], embedding[:, 1:]
    before = math.isqrt(patches.shape[1])
    if side == before or before**2 != patches.shape[1]:  # another shape is refused when the network is filled
        return embedding
    grid = patches.reshape(1, before, before, -1).permute(0, 3, 1, 2)
    resized = nn.functional.interpolate(grid, scale_factor=(side + 0.1) / before, mode="bicubic")
    return torch.cat([token, resized.flatten(2).mT], dim=1)


def prepare(images: NDArray[Any]) -> Tensor:
    """Return the network's input, float32 (n, 3, 224, 224), for uint8 images (n, 1 or 3, h, w)."""
    return standardized(resize_rounded(as_color(images), SIDE), MEAN, DEVIATION)
