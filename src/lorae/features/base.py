"""Feature extractors: a fixed network with a name, the hash of its weights, and a preparation of its input."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lorae.errors import LoraeError
from lorae.isolation import isolated
from lorae.system.faults import is_out_of_memory, reason_of

# Images in a batch on a CPU: few enough for its caches (100 at 224 x 224 take three times as
# long for each as 25). A GPU wants more.
BATCH = 25
GPU_FACTOR = 8


@dataclass(frozen=True)
class FeatureExtractor:
    """A fixed map from items to features, recorded with every number that depends on it.

    sha256: hash of the weights; empty for none
    dim: width of the features; 0 if it depends on the items
    prepare: maps raw items, uint8 images (n, c, h, w) or float vectors (n, d), to the network's input
    """

    name: str
    sha256: str
    dim: int
    network: nn.Module
    prepare: Callable[[NDArray[Any]], Tensor]
    protocol: dict[str, Any] = field(default_factory=dict)
    batch: int = BATCH
    own: bool = False  # code of the user, which may raise anything

    def __call__(
        self, items: NDArray[Any], device: str = "cpu", advance: Callable[[int], Any] | None = None
    ) -> NDArray[np.float32]:
        """Return the features of raw items, float32 (n, dim); `advance` is called with the size of each batch."""
        network = self.network.to(device).eval()
        parts = []
        batch = self.batch * (GPU_FACTOR if device == "cuda" else 1)
        with isolated(), torch.inference_mode():
            for start in range(0, len(items), batch):
                part = items[start : start + batch]
                result = self._of_batch(network, self.prepare(part).to(device)).float().cpu().numpy()
                if result.ndim != 2 or len(result) != len(part) or self.dim not in (0, result.shape[1]):
                    raise LoraeError(
                        f"features: {self.name!r} gave shape {result.shape} for {len(part)} items, "
                        f"expected ({len(part)}, {self.dim or 'd'})"
                    )
                parts.append(result)
                if advance is not None:
                    advance(len(part))
        features: NDArray[np.float32] = np.concatenate(parts) if parts else np.zeros((0, self.dim), np.float32)
        if not np.isfinite(features).all():
            raise LoraeError(f"features: {self.name!r} gave values that are not finite, expected finite ones")
        return features

    def _of_batch(self, network: nn.Module, x: Tensor) -> Tensor:
        try:
            result: Tensor = network(x)
        except Exception as error:
            if not self.own or isinstance(error, LoraeError) or is_out_of_memory(error):
                raise
            raise LoraeError(
                f"features: {self.name!r} failed on {x.dtype} of shape {tuple(x.shape)}: {type(error).__name__}: "
                f"{reason_of(error)}; expected features (n, d)"
            ) from error
        return result

    def describe(self) -> dict[str, Any]:
        """Return name, weights and protocol, to record with numbers, as plain JSON values."""
        return {"features": self.name, "weights": f"sha256:{self.sha256}" if self.sha256 else "none", **self.protocol}


def weights_hash(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of names, shapes, dtypes and bytes of weights and buffers; empty without any."""
    if not state:
        return ""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype};".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
