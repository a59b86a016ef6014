"""Networks of the user: the layers that M is folded into, and refusals."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lorae import Autoencoder
from lorae.errors import LoraeError
from lorae.models.networks import Decoder, Encoder
from lorae.models.own_networks import OwnNetworks

SHAPE, WIDTH = (2, 12), 5


class Opaque(nn.Module):
    """A module whose layers are not in a sequence."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.inner = nn.ModuleList(layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.inner:
            x = layer(x)
        return x


ENCODERS: dict[str, Any] = {
    "trailing linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(24, 9), nn.SiLU(), nn.Linear(9, WIDTH)),
    "nested": lambda: nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(24, 9), nn.SiLU()), nn.Linear(9, WIDTH)),
    "no bias": lambda: nn.Sequential(nn.Flatten(), nn.Linear(24, WIDTH, bias=False)),
    "opaque": lambda: Opaque(nn.Flatten(), nn.Linear(24, WIDTH)),
    "convolution last": lambda: nn.Sequential(nn.Conv1d(2, WIDTH, kernel_size=12)),
    "linear on an axis": lambda: nn.Sequential(nn.Conv1d(2, 1, 1), nn.Linear(12, WIDTH)),
    "lazy": lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(WIDTH)),
}
DECODERS: dict[str, Any] = {
    "leading linear": lambda: nn.Sequential(nn.Linear(WIDTH, 24), nn.Unflatten(1, SHAPE)),
    "activation first": lambda: nn.Sequential(nn.Tanh(), nn.Linear(WIDTH, 24), nn.Unflatten(1, SHAPE)),
    "opaque": lambda: Opaque(nn.Linear(WIDTH, 24), nn.Unflatten(1, SHAPE)),
}
FOLDED = {"trailing linear", "nested", "lazy", "leading linear"}


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("decoder", DECODERS)
def test_truncation_and_collapse_keep_the_function_of_any_pair(encoder, decoder):
    torch.manual_seed(0)
    modules = ENCODERS[encoder](), DECODERS[decoder]()
    model = Autoencoder.from_modules(*modules, shape=SHAPE, latent_dim=WIDTH).eval()
    with torch.no_grad():
        model.bottleneck.single_matrix().copy_(torch.diag(torch.tensor([2.0, 1.0, 0.5, 0.0, 0.0])))
    items = np.random.default_rng(0).normal(size=(40, *SHAPE)).astype(np.float32)
    expected = model.reconstruct(items)
    np.testing.assert_allclose(model.collapse().reconstruct(items), expected, atol=1e-5)
    small = model.truncate(items)
    assert small.encode(items).shape == (40, 3)
    np.testing.assert_allclose(small.reconstruct(items), expected, atol=1e-5)


@pytest.mark.parametrize("kind", ENCODERS)
def test_an_encoder_computes_the_same_and_trains_no_added_layer(kind):
    torch.manual_seed(0)
    given = ENCODERS[kind]()
    x = torch.randn(3, *SHAPE)
    expected = given(x).flatten(1).detach()
    encoder, _ = OwnNetworks.from_modules(given, DECODERS["leading linear"]()).pair(SHAPE, WIDTH, WIDTH, WIDTH)
    assert isinstance(encoder, Encoder)
    torch.testing.assert_close(encoder(x), expected)
    assert encoder.output.weight.requires_grad == (kind in FOLDED)
    trained = sum(part.numel() for part in encoder.parameters() if part.requires_grad)
    assert trained == sum(part.numel() for part in given.parameters())


@pytest.mark.parametrize("kind", DECODERS)
def test_a_decoder_computes_the_same_and_trains_no_added_layer(kind):
    torch.manual_seed(0)
    given = DECODERS[kind]()
    z = torch.randn(3, WIDTH)
    _, decoder = OwnNetworks.from_modules(ENCODERS["opaque"](), given).pair(SHAPE, WIDTH, WIDTH, WIDTH)
    assert isinstance(decoder, Decoder)
    torch.testing.assert_close(decoder(z), given(z))
    assert decoder.input.weight.requires_grad == (kind in FOLDED)


def test_the_given_modules_stay_as_they_are():
    encoder, decoder = ENCODERS["trailing linear"](), DECODERS["leading linear"]()
    model = Autoencoder.from_modules(encoder, decoder, shape=SHAPE, latent_dim=WIDTH)
    before = encoder[-1].weight.clone()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert torch.equal(encoder[-1].weight, before)


def test_a_bottleneck_that_takes_more_values_gets_a_wider_last_layer():
    modules = ENCODERS["trailing linear"](), DECODERS["leading linear"]()
    model = Autoencoder.from_modules(*modules, shape=SHAPE, latent_dim=WIDTH, bottleneck="gaussian")
    assert isinstance(model.encoder, Encoder)
    assert model.encoder.output.out_features == 2 * WIDTH
    assert model.encode(np.zeros((4, *SHAPE), np.float32)).shape == (4, WIDTH)


REFUSED = {
    "width": (nn.Sequential(nn.Flatten(), nn.Linear(24, 7)), None, r"encoder: gives 7 values an item, expected 5"),
    "shape": (None, nn.Linear(WIDTH, 24), r"decoder: gives items of shape \(24,\), expected \(2, 12\)"),
    "failure": (nn.Linear(3, WIDTH), None, r"encoder: fails on items of shape \(2, 12\): RuntimeError"),
    "no module": (None, np.sin, r"decoder: got ufunc, expected a torch module"),
    "tuple": (None, nn.LSTM(WIDTH, 24), r"decoder: gives tuple for two latents"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_modules_that_do_not_fit_are_refused_in_one_line(case):
    encoder, decoder, message = REFUSED[case]
    modules = encoder or ENCODERS["opaque"](), decoder or DECODERS["opaque"]()
    with pytest.raises(LoraeError, match=message) as caught:
        Autoencoder.from_modules(*modules, shape=SHAPE, latent_dim=WIDTH)
    assert "\n" not in str(caught.value)


FILES = {
    "syntax": ("def build(", "build", "SyntaxError"),
    "missing name": ("x = 1", "build", "AttributeError"),
    "no function": ("build = 1", "build", "expected a function"),
    "one module": ("def build(shape, latent_dim): return 3", "build", "cannot make its networks: TypeError"),
}


@pytest.mark.parametrize("case", FILES)
def test_files_that_do_not_fit_are_refused_in_one_line(case, tmp_path):
    text, name, message = FILES[case]
    path = tmp_path / "nets.py"
    path.write_text(text)
    with pytest.raises(LoraeError, match=message) as caught:
        OwnNetworks.from_file(f"{path}:{name}").pair(SHAPE, WIDTH, WIDTH, WIDTH)
    assert "\n" not in str(caught.value)
