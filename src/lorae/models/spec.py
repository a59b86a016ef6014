"""The specification of a model, kept as `model.json`, and the networks that it specifies."""

from dataclasses import dataclass, field
from typing import Any

from lorae.errors import LoraeError
from lorae.models.networks import Decoder, Encoder, build_networks
from lorae.models.own_networks import NetworkSource, OwnNetworks


@dataclass(frozen=True)
class ModelSpec:
    """Specification that rebuilds an `Autoencoder` without its weights (`model.json`)."""

    network: str
    shape: tuple[int, ...]
    latent_dim: int
    width: float = 1.0
    bottleneck: str = "identity"
    bottleneck_options: dict[str, Any] = field(default_factory=dict)
    output: str = "tanh"  # last activation for images: as in the paper, or sigmoid for a likelihood of pixels
    spectral_norm: bool = False  # whether the decoder's weights are divided by their spectral norms
    encodes: bool = True  # False for a generator, which has no encoder
    pca_beyond: bool = False  # whether a residual network is PCA beyond the range of its training items
    depth: int = 1  # residual blocks at each resolution of the network `resnet`
    tensors: bool = False  # whether items of three axes are plain numbers and no images
    own: NetworkSource | None = None  # where networks of the user come from

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "ModelSpec":
        """Return the specification of values read from `model.json`."""
        own = values.get("own")
        return cls(**values | {"shape": tuple(values["shape"]), "own": None if own is None else NetworkSource(**own)})

    @property
    def images(self) -> bool:
        """Whether items are images (c, h, w)."""
        return len(self.shape) == 3 and not self.tensors


def build_pair(spec: ModelSpec, outputs: int, networks: OwnNetworks | None) -> tuple[Encoder, Decoder]:
    """Return new networks of a specification; `outputs` is the width of the encoder's output."""
    if spec.own is None:
        return build_networks(
            spec.network,
            spec.shape,
            spec.latent_dim,
            spec.width,
            encoder_outputs=outputs,
            output=spec.output,
            pca_beyond=spec.pca_beyond,
            depth=spec.depth,
        )
    if networks is None:
        raise LoraeError(f"network: a model of {spec.own.name!r} needs these networks, which are not given")
    bounded = spec.output == "sigmoid"
    return networks.pair(spec.shape, spec.own.latent_dim, spec.latent_dim, outputs, in_unit_range=bounded)
