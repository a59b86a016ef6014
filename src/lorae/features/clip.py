"""The image tower of CLIP, whose embeddings are compared by CMMD, the measure `cmmd`."""

from typing import Any

from numpy.typing import NDArray
from torch import Tensor, nn

from lorae.extras import import_extra
from lorae.features.base import FeatureExtractor, weights_hash
from lorae.features.resize import as_color, middle_square, resize_rounded, standardized
from lorae.features.tensor_files import fill, not_downloaded, read_tensors

REPOSITORY = "openai/clip-vit-large-patch14-336"
EXPECTED = f"a safetensors file of {REPOSITORY} as transformers writes it"
FETCH = (
    'python -c "from transformers import CLIPVisionModelWithProjection as C; '
    f"C.from_pretrained('{REPOSITORY}').save_pretrained('clip')\""
)

DIM = 768
SIDE = 336
# Of the pictures that CLIP was trained on.
MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
# ViT-L/14@336; what is not named here has its default in transformers, which is that of CLIP.
CONFIG = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": SIDE,
    "patch_size": 14,
    "projection_dim": DIM,
    "hidden_act": "quick_gelu",
}

PROTOCOL = {
    "network": "CLIP ViT-L/14@336, projected image embedding; its `cmmd` is CMMD",
    "crop": "largest square in the middle",
    "resize": f"Pillow bicubic with antialiasing on uint8 to {SIDE}x{SIDE}",
    "quantisation": "uint8 before and after the resize",
    "input": f"(x / 255 - {MEAN}) / {DEVIATION}, grey as three equal channels",
}


class ImageEmbedding(nn.Module):
    """The projected embeddings, of all that a vision model of transformers returns."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """Map x, float (n, 3, 336, 336), to (n, 768)."""
        embedding: Tensor = self.model(pixel_values=x).image_embeds
        return embedding


def build_clip(weights: str | None = None) -> FeatureExtractor:
    """Build the extractor `clip`: uint8 images (n, 1 or 3, h, w) to float32 (n, 768).

    Weights of None are those of the Hugging Face hub or of its cache. Source: Radford et al., ICML 2021
    (arXiv:2103.00020); as an image metric Jayasumana et al., CVPR 2024 (arXiv:2401.09603).
    """
    transformers = import_extra("transformers", "clip")
    vision_model = transformers.CLIPVisionModelWithProjection
    if weights is None:
        model = _downloaded(vision_model)
    else:
        tensors = read_tensors(weights, "clip", EXPECTED)
        model = vision_model(transformers.CLIPVisionConfig(**CONFIG))
        fill(model, tensors, "clip", EXPECTED)
    return FeatureExtractor(
        "clip", weights_hash(model.state_dict()), DIM, ImageEmbedding(model), prepare, dict(PROTOCOL)
    )


def _downloaded(vision_model: Any) -> nn.Module:
    try:
        model: nn.Module = vision_model.from_pretrained(REPOSITORY, use_safetensors=True)  # never a pickle
    except Exception as error:  # of the connection, the hub or the disk, from several packages
        raise not_downloaded("clip", error, FETCH) from None
    return model.float()


def prepare(images: NDArray[Any]) -> Tensor:
    """Return the network's input, float32 (n, 3, 336, 336), for uint8 images (n, 1 or 3, h, w)."""
    return standardized(resize_rounded(middle_square(as_color(images)), SIDE), MEAN, DEVIATION)
