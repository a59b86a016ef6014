import dataclasses
import re

import pytest

from lorae.errors import LoraeError
from lorae.methods import METHODS
from lorae.settings import Settings


def settings(**values):
    return Settings.from_values(values, lambda name: f"--{name}")


@pytest.mark.parametrize(
    ("name", "bad", "expected"),
    [
        ("epochs", -1, "a whole number of at least 1"),
        ("epochs", "2.5", "a whole number of at least 1"),
        ("epochs", True, "a whole number of at least 1"),
        ("batch_size", 0, "a whole number of at least 1"),
        ("lr", 0, "a number above 0"),
        ("lr", "nan", "a number above 0"),
        ("penalty", "-1e-3", "a number of at least 0"),
        ("penalty", "lots", "a number of at least 0"),
        ("method", "lorea", "one of ae, vae, irmae, lorae"),
        ("network", "vgg", "one of mnist, celeba, mlp"),
        ("test_fraction", 1.0, "a number between 0 and 1"),
        ("device", "tpu", "one of auto, cpu, cuda"),
        ("skip_bad", "maybe", "true or false"),
        ("penalties", {"nuclear": -1}, "a number of at least 0"),
        ("seed", 2**40, "at most 2147483647"),
        ("data", "", "a name or a path"),
        ("factors", "x,,y", "names with commas between them"),
        ("channels", 2, "1 or 3"),
        ("width", 1e9, "a number between 0 and 16"),
    ],
)
def test_bad_value_gets_one_line_with_name_value_rule_and_origin(name, bad, expected):
    with pytest.raises(LoraeError) as caught:
        settings(**{name: bad})
    message = str(caught.value)
    assert "\n" not in message
    shown = bad["nuclear"] if isinstance(bad, dict) else bad
    for part in (name, repr(shown), expected, "from"):
        assert part in message


def test_strings_of_a_command_line_are_parsed_like_values_of_python():
    from_strings = settings(epochs="3", lr="1e-4", skip_bad="true", penalties={"nuclear": "0.5"}, factors="x,y")
    assert from_strings == settings(epochs=3, lr=1e-4, skip_bad=True, penalties={"nuclear": 0.5}, factors=["x", "y"])


def test_unknown_names_come_with_a_suggestion():
    with pytest.raises(LoraeError, match=r"latent-dim: unknown setting .* did you mean latent_dim\?"):
        settings(**{"latent-dim": 3})
    with pytest.raises(LoraeError, match="'frobenious'"):
        settings(penalties={"frobenious": 1})


def test_every_default_passes_its_own_rule():
    for field in dataclasses.fields(Settings):
        default = getattr(Settings(), field.name)
        assert field.metadata["rule"].check(field.name, default, "default") == default, field.name


def test_the_papers_settings_by_data_set():
    mnist = settings(data="mnist").resolve("images", (1, 32, 32))
    assert (mnist.epochs, mnist.batch_size, mnist.lr, mnist.latent_dim) == (50, 32, 1e-3, 128)
    assert (mnist.network, mnist.penalties) == ("mnist", {"nuclear": 1e-3})
    celeba = settings(data="celeba").resolve("images", (3, 64, 64))
    assert (celeba.epochs, celeba.network, celeba.penalties) == (100, "celeba", {"nuclear": 1e-5})


@pytest.mark.parametrize("method", METHODS)
def test_resolved_settings_hold_no_open_choice_and_survive_json(method):
    resolved = settings(method=method).resolve("images", (1, 32, 32))
    assert resolved.network
    assert resolved.latent_dim
    assert resolved.epochs
    assert resolved.penalty is None
    assert Settings.from_values(resolved.to_json(), str) == resolved
    assert resolved.resolve("images", (1, 32, 32)) == resolved


def test_penalty_sets_the_methods_own_weight_and_others_are_added():
    assert settings(penalty=0.1).resolve("images", (1, 32, 32)).penalties == {"nuclear": 0.1}
    added = settings(method="irmae", penalties={"nuclear": 0.2}).resolve("images", (1, 32, 32))
    assert added.penalties == {"nuclear": 0.2}
    with pytest.raises(LoraeError, match=re.escape("method 'ae' has no penalty of its own")):
        settings(method="ae", penalty=0.1).resolve("images", (1, 32, 32))
    with pytest.raises(LoraeError, match=r"penalty: got 0\.1 and penalties\.nuclear 0\.2, which are the same"):
        settings(penalty=0.1, penalties={"nuclear": 0.2}).resolve("images", (1, 32, 32))


def test_a_start_of_the_matrix_needs_a_matrix():
    assert settings().resolve("images", (1, 32, 32)).matrix_init == "identity"
    assert settings(method="irmae").resolve("images", (1, 32, 32)).matrix_init == "default"
    assert settings(method="ae").resolve("images", (1, 32, 32)).matrix_init is None
    with pytest.raises(LoraeError, match="method 'ae' has no matrix M"):
        settings(method="ae", matrix_init="identity").resolve("images", (1, 32, 32))


def test_vectors_take_the_mlp_and_a_latent_no_wider_than_they_are():
    resolved = settings(data="points.npy").resolve("vectors", (60,))
    assert (resolved.network, resolved.latent_dim) == ("mlp", 60)
    with pytest.raises(LoraeError, match="network: got 'celeba', expected mlp or residual for vectors"):
        settings(network="celeba").resolve("vectors", (60,))
    with pytest.raises(LoraeError, match="network: got 'mlp', expected mnist or celeba for images"):
        settings(network="mlp").resolve("images", (1, 32, 32))
