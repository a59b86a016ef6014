"""Encoder and decoder of a trained model as ONNX graphs, the same bytes each time."""

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lorae.errors import LoraeError
from lorae.models.autoencoder import Autoencoder

OPSET = 20


def require_onnx(asked: str) -> None:
    """Raise LoraeError, with what was `asked` for in front, if the packages of ONNX are missing."""
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        reason = f"cannot import {error.name}, expected the packages of ONNX"
        raise LoraeError(f'{asked}, but {reason}: pip install "lorae[onnx]"') from None


class _Encoding(nn.Module):
    def __init__(self, model: Autoencoder) -> None:
        super().__init__()
        self.scaling, self.encoder, self.bottleneck = model.scaling, model.encoder, model.bottleneck

    def forward(self, items: Tensor) -> Tensor:
        codes: Tensor = self.bottleneck(self.encoder(self.scaling(items))).z
        return codes


class _Decoding(nn.Module):
    def __init__(self, model: Autoencoder) -> None:
        super().__init__()
        self.scaling, self.decoder = model.scaling, model.decoder

    def forward(self, codes: Tensor) -> Tensor:
        return self.scaling.inverse(self.decoder(codes))


def encoder_graph(model: Autoencoder, metadata: Mapping[str, str]) -> bytes:
    """Return the graph from `items`, images (n, c, h, w) in [0, 1] or vectors (n, d), to `codes` (n, latent_dim)."""
    dtype = torch.float64 if model.scaling.far else model.scaling.unit.dtype
    return _graph(_Encoding(model), torch.zeros(2, *model.spec.shape, dtype=dtype), ("items", "codes"), metadata)


def decoder_graph(model: Autoencoder, metadata: Mapping[str, str]) -> bytes:
    """Return the graph from `codes` to `items`, as in `encoder_graph`; pixels are not clipped."""
    return _graph(
        _Decoding(model),
        torch.zeros(2, model.spec.latent_dim, dtype=model.scaling.unit.dtype),
        ("codes", "items"),
        metadata,
    )


def _graph(network: nn.Module, example: Tensor, names: tuple[str, str], metadata: Mapping[str, str]) -> bytes:
    """Return the serialized graph of a network on any number of rows like the two given; one could fix the number."""
    rows = ({0: torch.export.Dim("n")},)
    with _quiet_exporter():
        # Traced here and strictly: by default the exporter fixes n at 2 if a bottleneck reads len(z).
        traced = torch.export.export(network.eval(), (example,), dynamic_shapes=rows, strict=True)
        program = torch.onnx.export(
            traced,
            dynamo=True,
            opset_version=OPSET,
            input_names=names[:1],
            output_names=names[1:],
            dynamic_shapes=rows,
            verbose=False,
        )
    assert program is not None
    graph: Any = program.model_proto
    _forget_origins(graph)
    for key, value in metadata.items():
        graph.metadata_props.add(key=key, value=value)
    content: bytes = graph.SerializeToString(deterministic=True)
    return content


def _forget_origins(graph: Any) -> None:
    """Drop the exporter's notes on each node's Python code: paths of this machine, which triple the size."""
    parts = graph.graph
    for part in (graph, parts, *parts.node, *parts.input, *parts.output, *parts.value_info, *parts.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Silence the exporter's message on torchvision, which is not used, and its own deprecation warnings."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated", category=FutureWarning)
            yield
    finally:
        logger.setLevel(level)
