"""Networks of the user: given as modules, or made by a function of a file; and how a run rebuilds them.

M and a truncation are folded into the last linear layer of the encoder and the first one of the decoder. An encoder
that is an `nn.Sequential` ending with an `nn.Linear`, and a decoder that is one beginning with it, have these layers;
to any other, a linear layer of its own is added: the identity, which is not trained, so that the network computes the
same until something is folded in.
"""

import copy
import hashlib
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from lorae.errors import LoraeError
from lorae.models.layers import Linear
from lorae.models.networks import Decoder, Encoder
from lorae.system.files import LARGEST_RECORD, home_expanded, read_file

Build = Callable[[tuple[int, ...], int], tuple[nn.Module, nn.Module]]


@dataclass(frozen=True)
class NetworkSource:
    """Record of where networks come from, in `config.json` and `model.json`."""

    name: str  # FILE.py:NAME of the function that makes them, or the classes of modules
    latent_dim: int  # width of the latent that they were made for; a truncated model has fewer coordinates
    files: dict[str, str] = field(default_factory=dict)  # copies in `network/` of the run folder, to their SHA-256
    built_by: str | None = None  # the function in the file; None for modules, which only their owner can make again


@dataclass(frozen=True)
class OwnNetworks:
    """A function from the shape of an item and the width of the latent to encoder and decoder, with its source."""

    name: str
    build: Build
    contents: dict[str, bytes] = field(default_factory=dict)  # files of their code, to be kept with a run
    built_by: str | None = None

    def __deepcopy__(self, _: dict[int, Any]) -> "OwnNetworks":
        return self

    @classmethod
    def from_modules(cls, encoder: Any, decoder: Any) -> "OwnNetworks":
        """Return networks that are copies of two modules, with the files that define their classes."""
        for name, module in (("encoder", encoder), ("decoder", decoder)):
            if not isinstance(module, nn.Module):
                got = "nothing" if module is None else type(module).__name__
                raise LoraeError(f"{name}: got {got}, expected a torch module; pass both encoder= and decoder=")
        classes = [f"{type(module).__module__}:{type(module).__qualname__}" for module in (encoder, decoder)]
        contents = {path.name: path.read_bytes() for path in _defining_files(encoder, decoder)}
        return cls(", ".join(classes), lambda *_: (copy.deepcopy(encoder), copy.deepcopy(decoder)), contents)

    @classmethod
    def from_file(cls, address: str) -> "OwnNetworks":
        """Import a file by FILE.py:NAME and return the networks of its function NAME(shape, latent_dim)."""
        place, _, name = address.rpartition(":")
        try:
            content = read_file(home_expanded(place), LARGEST_RECORD)
        except OSError as error:
            raise LoraeError(f"network: cannot read {place!r}: {error.strerror}") from None
        return cls.from_content(Path(place).name, content, name)

    @classmethod
    def from_content(cls, file: str, content: bytes, name: str) -> "OwnNetworks":
        """Execute the content of a file, which the caller trusts, and return the networks of its function."""
        address, digest = f"{file}:{name}", hashlib.sha256(content).hexdigest()
        # Its own name among the modules, which dataclasses and pickles look up.
        module = ModuleType(f"lorae_network_{digest[:16]}")
        module.__file__ = file
        sys.modules[module.__name__] = module
        try:
            exec(compile(content, file, "exec"), module.__dict__)
            build = getattr(module, name)
        except Exception as error:  # whatever the user's code raises
            raise LoraeError(f"network: cannot import {address!r}: {_in_one_line(error)}") from None
        if not callable(build):
            raise LoraeError(f"network: {address!r} is {type(build).__name__}, expected a function (shape, latent_dim)")
        return cls(address, build, {file: content}, name)

    def source(self, latent_dim: int) -> NetworkSource:
        """Return the record of these networks, made for a latent of a width."""
        files = {file: hashlib.sha256(content).hexdigest() for file, content in self.contents.items()}
        return NetworkSource(self.name, latent_dim, files, self.built_by)

    def pair(
        self, shape: tuple[int, ...], made_for: int, latent_dim: int, outputs: int, *, in_unit_range: bool = False
    ) -> tuple[Encoder, Decoder]:
        """Return encoder and decoder with the linear layers that M and a truncation are folded into.

        made_for: width of the latent that the networks are made for
        latent_dim, outputs: widths of the decoder's input and the encoder's output, which are others after a truncation
            and for bottlenecks that take more than a latent; a layer of another width starts anew
        in_unit_range: whether the decoder must give values from 0 to 1
        """
        try:
            encoder, decoder = self.build(shape, made_for)
        except Exception as error:  # whatever the user's code raises
            raise LoraeError(f"network: {self.name!r} cannot make its networks: {_in_one_line(error)}") from None
        for title, module in (("encoder", encoder), ("decoder", decoder)):
            if not isinstance(module, nn.Module):
                raise LoraeError(f"network: {self.name!r} gives {type(module).__name__} as {title}, expected a module")
        _check_shapes(encoder, decoder, shape, made_for, in_unit_range=in_unit_range)
        features, last = _split_last(encoder, shape, made_for)
        first, others = _split_first(decoder, made_for)
        if last.out_features != outputs:
            last = Linear(last.in_features, outputs)
        if first.in_features != latent_dim:
            first = Linear(latent_dim, first.out_features)
        return Encoder(features, last), Decoder(first, others)


def _check_shapes(
    encoder: nn.Module, decoder: nn.Module, shape: tuple[int, ...], latent_dim: int, *, in_unit_range: bool
) -> None:
    """Raise LoraeError unless the modules map two items to latents, and two latents to items."""
    h = _tried("encoder", encoder, torch.zeros(2, *shape), f"items of shape {shape}")
    if h.numel() != 2 * latent_dim:
        width = h.numel() // 2
        raise LoraeError(
            f"encoder: gives {width} values an item, expected {latent_dim}, the width of the latent; "
            f"pass latent_dim={width}, or change the encoder",
            settings={"latent_dim": width},
        )
    latents = torch.linspace(-3, 3, 2 * latent_dim).view(2, latent_dim)
    x = _tried("decoder", decoder, latents, f"latents of {latent_dim} values")
    if tuple(x.shape) != (2, *shape):
        raise LoraeError(f"decoder: gives items of shape {tuple(x.shape[1:])}, expected {shape}, that of the data")
    if in_unit_range and not (x.min() >= 0 and x.max() <= 1):
        raise LoraeError(
            "decoder: gives values outside of [0, 1], which likelihood=bernoulli needs; let it end with nn.Sigmoid, or "
            "pass likelihood=gaussian",
            settings={"likelihood": "gaussian"},
        )


def _tried(title: str, module: nn.Module, x: Tensor, given: str) -> Tensor:
    """Return what a module makes of two rows in evaluation mode; a lazy module gets its parameters here."""
    training = module.training
    try:
        with torch.no_grad():
            result: Tensor = module.eval()(x)
    except Exception as error:  # whatever the user's code raises
        raise LoraeError(f"{title}: fails on {given}: {_in_one_line(error)}") from None
    module.train(training)
    if not isinstance(result, Tensor) or not result.is_floating_point() or len(result) != 2:
        got = f"shape {tuple(result.shape)}" if isinstance(result, Tensor) else type(result).__name__
        raise LoraeError(f"{title}: gives {got} for two {given}, expected a tensor of two rows of floats")
    return result


def _split_last(encoder: nn.Module, shape: tuple[int, ...], width: int) -> tuple[nn.Module, Linear]:
    *others, last = _layers(encoder)
    if _is_linear(last) and others:
        features = nn.Sequential(*others)
        if _tried("encoder", features, torch.zeros(2, *shape), f"items of shape {shape}").ndim == 2:
            return features, _as_linear(last)
    return encoder, _identity(width)


def _split_first(decoder: nn.Module, width: int) -> tuple[Linear, nn.Module]:
    first, *others = _layers(decoder)
    if _is_linear(first):
        return _as_linear(first), nn.Sequential(*others)
    return _identity(width), decoder


def _layers(module: nn.Module) -> list[nn.Module]:
    """Return the layers of nested `nn.Sequential` in order; a module of another type is one layer."""
    if type(module) is not nn.Sequential or not len(module):
        return [module]
    return [layer for child in module for layer in _layers(child)]


def _is_linear(layer: nn.Module) -> bool:
    # A parametrized layer has a type of its own: its weight cannot be replaced.
    return type(layer) in (nn.Linear, Linear) and layer.bias is not None


def _as_linear(layer: nn.Module) -> Linear:
    assert isinstance(layer, nn.Linear)
    copied = Linear(layer.in_features, layer.out_features)
    copied.load_state_dict(layer.state_dict())
    return copied


def _identity(width: int) -> Linear:
    layer = Linear(width, width)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(width))
        layer.bias.zero_()
    return layer.requires_grad_(False)


def _defining_files(*modules: nn.Module) -> Iterator[Path]:
    """Yield the files of the classes in modules, except for those of torch; a notebook has none."""
    found = set()
    for kind in {type(part) for module in modules for part in module.modules()}:
        if kind.__module__.split(".")[0] == "torch":
            continue
        try:
            found.add(Path(inspect.getfile(kind)))
        except (TypeError, OSError):
            continue
    yield from sorted(path for path in found if path.is_file())


def _in_one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
