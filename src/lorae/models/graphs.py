"""Encoder and decoder of a trained model as graphs of ONNX or of torch, the same bytes each time."""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from lorae.extras import import_extra
from lorae.models.autoencoder import Autoencoder

OPSET = 20

# The one key of the metadata in every exported file.
KEY = "lorae"

# Notes on a node's Python code, with paths of this machine.
ORIGINS = ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node")


def require_onnx(asked: str) -> None:
    """Raise LoraeError, with what was `asked` for in front, if the packages of ONNX are missing."""
    import_extra("onnx", asked)
    import_extra("onnxscript", asked)


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


def model_graphs(model: Autoencoder, write: Callable[..., bytes], about: str) -> dict[str, bytes]:
    """Return the serialized graphs of a model: `decoder`, and `encoder` unless it is a generator.

    The encoder maps `items`, images (n, c, h, w) in [0, 1] or vectors (n, d), to `codes` (n, latent_dim), the decoder
    codes to items; pixels are not clipped. `write` is `as_onnx` or `as_torch`, `about` the text stored with a graph.
    """
    dtype = model.scaling.unit.dtype
    codes = torch.zeros(2, model.spec.latent_dim, dtype=dtype)
    graphs = {"decoder": write(_traced(_Decoding(model), codes), "codes", "items", about)}
    if model.spec.encodes:
        items = torch.zeros(2, *model.spec.shape, dtype=torch.float64 if model.scaling.far else dtype)
        graphs["encoder"] = write(_traced(_Encoding(model), items), "items", "codes", about)
    return graphs


def as_onnx(traced: torch.export.ExportedProgram, input: str, output: str, about: str) -> bytes:
    """Return a traced network as an ONNX graph."""
    with _quiet_exporter():
        program = torch.onnx.export(
            traced,
            dynamo=True,
            opset_version=OPSET,
            input_names=[input],
            output_names=[output],
            dynamic_shapes=_rows(),
            verbose=False,
        )
    assert program is not None
    graph: Any = program.model_proto
    parts = graph.graph
    for part in (graph, parts, *parts.node, *parts.input, *parts.output, *parts.value_info, *parts.initializer):
        part.ClearField("metadata_props")  # notes on the Python code triple the size
        part.ClearField("doc_string")
    graph.metadata_props.add(key=KEY, value=about)
    content: bytes = graph.SerializeToString(deterministic=True)
    return content


def as_torch(traced: torch.export.ExportedProgram, input: str, output: str, about: str) -> bytes:  # noqa: ARG001
    """Return a traced network as a file for `torch.export.load`; its input and output have no names there."""
    content = io.BytesIO()
    with _quiet_exporter():
        # Without regions of autocast, which a file cannot hold.
        program = traced.run_decompositions({})
        for node in program.graph.nodes:
            for note in ORIGINS:
                node.meta.pop(note, None)
        torch.export.save(program, content, extra_files={KEY: about})
    return content.getvalue()


def _traced(network: nn.Module, example: Tensor) -> torch.export.ExportedProgram:
    """Return the trace of a network on any number of rows like the two given; one could fix the number."""
    with _quiet_exporter():
        # Strictly: by default the exporter fixes n at 2 if a bottleneck reads len(z).
        return torch.export.export(network.eval(), (example,), dynamic_shapes=_rows(), strict=True)


def _rows() -> tuple[dict[int, Any]]:
    return ({0: torch.export.Dim("n")},)


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
