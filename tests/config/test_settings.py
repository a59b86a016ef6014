import dataclasses
import re

import pytest

from lorae.config.methods import METHODS
from lorae.config.resolution import resolve
from lorae.config.settings import RENAMED, Settings
from lorae.errors import LoraeError, LoraeWarning


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
        (
            "network",
            "vgg",
            "one of mnist, celeba, resnet, mlp, residual, linear, modules, or FILE.py:NAME of a function",
        ),
        ("network", "nets.py:", "FILE.py:NAME"),
        ("test_fraction", 1.0, "a number between 0 and 1"),
        ("device", "tpu", "one of auto, cpu, cuda"),
        ("skip_bad", "maybe", "true or false"),
        ("penalties", {"nuclear": -1}, "a number of at least 0"),
        ("seed", 2**40, "at most 2147483647"),
        ("data", "", "a name or a path"),
        ("factors", "x,,y", "names with commas between them"),
        ("channels", 2, "1 or 3"),
        ("width", 1e9, "a number between 0 and 16"),
        ("rank", "many", "a positive whole number, a share of the variance between 0 and 1, or auto"),
        ("rank", 0, "a positive whole number, a share"),
        ("rank", 2.5, "a positive whole number, a share"),
        ("rank", True, "a positive whole number, a share"),
        ("target_mse", 0, "a number above 0"),
        ("penalty_path", "1:0", "LOW:HIGH or LOW:HIGH:POINTS with 0 < LOW < HIGH"),
        ("penalty_path", "1e-3", "LOW:HIGH"),
        ("penalty_path", "0:1", "0 < LOW"),
        ("penalty_path", "1e-3:1:1", "at least 2 points"),
        ("penalty_path", "1e-3:1:2:3", "LOW:HIGH:POINTS"),
        ("penalty_path", (1e-3, float("nan")), "LOW < HIGH"),
        ("penalty_path", 3, "LOW:HIGH"),
        ("normalize", "batch", "one of none, scale, coordinates"),
        ("matrix_update", "sgd", "one of adam, prox"),
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


def test_a_renamed_setting_is_accepted_with_a_warning():
    assert all(
        old not in Settings.__dataclass_fields__ and new in Settings.__dataclass_fields__
        for old, new in RENAMED.items()
    )
    with pytest.warns(LoraeWarning, match=r"^normalise: renamed to normalize; "):
        assert settings(normalise="scale") == settings(normalize="scale")
    with pytest.raises(LoraeError, match=r"^normalise: given beside normalize"):
        settings(normalise="scale", normalize="none")


def test_every_default_passes_its_own_rule():
    for field in dataclasses.fields(Settings):
        default = getattr(Settings(), field.name)
        assert field.metadata["rule"].check(field.name, default, "default") == default, field.name


def test_the_papers_settings_by_data_set():
    mnist = resolve(settings(data="mnist"), "images", (1, 32, 32))
    assert (mnist.epochs, mnist.batch_size, mnist.lr, mnist.latent_dim) == (50, 32, 1e-3, 128)
    assert (mnist.network, mnist.penalties) == ("mnist", {"nuclear": 1e-3})
    celeba = resolve(settings(data="celeba"), "images", (3, 64, 64))
    assert (celeba.epochs, celeba.network, celeba.penalties) == (100, "celeba", {"nuclear": 1e-5})


@pytest.mark.parametrize("method", METHODS)
def test_resolved_settings_hold_no_open_choice_and_survive_json(method):
    resolved = resolve(settings(method=method), "images", (1, 32, 32))
    assert resolved.network
    assert resolved.latent_dim
    assert resolved.epochs
    assert resolved.penalty is None
    assert Settings.from_values(resolved.to_json(), str) == resolved
    assert resolve(resolved, "images", (1, 32, 32)) == resolved


def test_penalty_sets_the_methods_own_weight_and_others_are_added():
    assert resolve(settings(penalty=0.1), "images", (1, 32, 32)).penalties == {"nuclear": 0.1}
    added = resolve(settings(method="irmae", penalties={"nuclear": 0.2}), "images", (1, 32, 32))
    assert added.penalties == {"nuclear": 0.2}
    with pytest.raises(LoraeError, match=re.escape("method 'ae' has no penalty of its own")):
        resolve(settings(method="ae", penalty=0.1), "images", (1, 32, 32))
    with pytest.raises(LoraeError, match=r"penalty: got 0\.1 and penalties\.nuclear 0\.2, which are the same"):
        resolve(settings(penalty=0.1, penalties={"nuclear": 0.2}), "images", (1, 32, 32))


def test_a_start_of_the_matrix_needs_a_matrix():
    assert resolve(settings(), "images", (1, 32, 32)).matrix_init == "identity"
    assert resolve(settings(method="irmae"), "images", (1, 32, 32)).matrix_init == "default"
    assert resolve(settings(method="ae"), "images", (1, 32, 32)).matrix_init is None
    with pytest.raises(LoraeError, match="method 'ae' has no matrix M"):
        resolve(settings(method="ae", matrix_init="identity"), "images", (1, 32, 32))


@pytest.mark.parametrize(("kind", "shape", "plain"), [("vectors", (60,), "mlp"), ("images", (3, 32, 32), "mnist")])
def test_user_data_take_a_network_that_starts_as_pca_where_the_method_allows_it(kind, shape, plain):
    def network(method, **others):
        return resolve(settings(data="mine.npy", method=method, **others), kind, shape).network

    assert {network(method) for method in ("ae", "lorae", "lorae+", "irmae", "wae")} == {"residual"}
    assert {network(method) for method in ("gan", "rae-sn")} == {plain}
    assert network("vae") == ("residual" if kind == "vectors" else plain)
    assert network("vae", likelihood="gaussian") == "residual"


def test_pixels_as_probabilities_refuse_a_linear_path():
    for network in ("residual", "linear"):
        with pytest.raises(LoraeError, match=f"network: got '{network}' with likelihood bernoulli"):
            resolve(settings(method="vae", network=network), "images", (1, 32, 32))


def test_a_latent_is_no_wider_than_vectors_are():
    assert resolve(settings(data="points.npy"), "vectors", (60,)).latent_dim == 60


def test_networks_fit_the_kind_of_data():
    with pytest.raises(LoraeError, match="network: got 'celeba', expected one of mlp, residual, linear for vectors"):
        resolve(settings(network="celeba"), "vectors", (60,))
    fitting = "mnist, celeba, resnet, residual, linear"
    with pytest.raises(LoraeError, match=f"network: got 'mlp', expected one of {fitting} for images"):
        resolve(settings(network="mlp"), "images", (1, 32, 32))


@pytest.mark.parametrize("network", ["mnist", "celeba", "residual"])
def test_a_network_that_halves_sides_refuses_others_and_names_one_that_does_not(network):
    with pytest.raises(LoraeError, match=r"size: images of 28x30 .*multiples of 8 .*pass size=32, or network=resnet"):
        resolve(settings(network=network), "images", (1, 28, 30))
    assert resolve(settings(network="resnet"), "images", (1, 28, 30)).network == "resnet"


def test_networks_of_the_user_take_every_kind_and_a_likelihood_of_pixels_only_on_request():
    for kind, shape in (("images", (1, 9, 9)), ("vectors", (6,)), ("tensors", (2, 30))):
        resolved = resolve(settings(network="nets.py:build", method="vae"), kind, shape)
        assert (resolved.network, resolved.likelihood) == ("nets.py:build", "gaussian")
    assert resolve(settings(network="modules"), "tensors", (2, 30)).latent_dim == 60
    with pytest.raises(LoraeError, match="none is built in for tensors"):
        resolve(settings(data="points.npy"), "tensors", (2, 30))


def test_depth_is_of_resnet_alone():
    assert resolve(settings(network="resnet", depth=2), "images", (1, 32, 32)).depth == 2
    with pytest.raises(LoraeError, match="depth: got 2, but network 'mnist' has none"):
        resolve(settings(network="mnist", depth=2), "images", (1, 32, 32))


def test_the_ways_to_ask_for_a_rank_are_parsed_alike_from_words_and_values():
    assert [settings(rank=value).rank for value in ("3", 3, "0.9", 0.9, "auto")] == [3, 3, 0.9, 0.9, "auto"]
    assert settings(penalty_path="1e-5:1e-1").penalty_path == (1e-5, 1e-1, 9)
    assert settings(penalty_path="1e-5:1e-1:4") == settings(penalty_path=[1e-5, 1e-1, 4])


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [("noise", 1.5, 1.5), ("noise", 0, 0.0), ("rank", "8", 8), ("layers", 2.0, 2), ("rate", 0.25, 0.25)],
)
def test_options_of_bottlenecks_are_sizes_but_for_noise_and_rate(option, value, expected):
    found = settings(bottleneck={option: value}).bottleneck[option]
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("rank", 0.5, "a whole number of at least 1"),
        ("layers", 1.5, "a whole number of at least 1"),
        ("noise", -0.1, "a number of at least 0"),
        ("rate", 8, "a number from 0 to 1"),
    ],
)
def test_options_of_bottlenecks_that_are_none(option, value, expected):
    with pytest.raises(LoraeError, match=re.escape(f"bottleneck.{option}: got {value}, expected {expected}")):
        settings(bottleneck={option: value})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rank": 3, "target_mse": 0.1}, "target_mse: got 0.1 beside rank, expected one of them"),
        ({"rank": "auto", "penalty_path": "1:2"}, "penalty_path: got (1.0, 2.0, 9) beside rank"),
        ({"target_mse": 0.1, "penalty_path": "1:2"}, "penalty_path: got (1.0, 2.0, 9) beside target_mse"),
        ({"rank": 3, "method": "lorae"}, "rank: got 3, which needs an exact rank; use method='lorae+'"),
        ({"target_mse": 0.1, "method": "vae"}, "target_mse: got 0.1, which needs an exact rank"),
        ({"rank": 3, "matrix_update": "adam"}, "rank: got 3, which needs an exact rank"),
        ({"rank": 129}, "rank: got 129, expected at most 128, the latent's dimension"),
        ({"rank": 9, "latent_dim": 8}, "rank: got 9, expected at most 8, the latent's dimension"),
        ({"penalty_path": "1:2", "penalty": 0.5}, "penalty: got 0.5 beside penalty_path, whose points take its place"),
        ({"penalty_path": "1:2", "penalties": {"nuclear": 0}}, "penalties.nuclear: got 0 beside penalty_path"),
        ({"method": "ae", "matrix_update": "prox"}, "method 'ae' has no nuclear norm to minimize"),
        ({"method": "lorae-mcp", "matrix_update": "prox"}, "method 'lorae-mcp' has no nuclear norm to minimize"),
        ({"method": "ae", "normalize": "scale"}, "method 'ae' has no matrix M"),
        ({"penalty_every": 10}, "penalty_every: got 10, but method 'lorae+' has no penalty whose slope could be held"),
        ({"method": "ae", "penalty_every": 2}, "penalty_every: got 2, but method 'ae' has no penalty whose slope"),
    ],
)
def test_goals_that_do_not_fit_are_one_line(values, message):
    with pytest.raises(LoraeError, match=re.escape(message)) as caught:
        resolve(settings(**{"method": "lorae+"} | values), "images", (1, 32, 32))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [1.0, "1.0"])
def test_a_rank_of_one_point_zero_is_neither_a_share_nor_a_rank(value):
    with pytest.raises(LoraeError, match=r"rank: got .*, expected a positive whole number, a share of the variance"):
        settings(rank=value)
    assert (settings(rank=1).rank, settings(rank="1").rank, settings(rank=16.0).rank) == (1, 1, 16)


def test_an_exact_rank_brings_its_own_defaults():
    ours = resolve(settings(method="lorae+"), "images", (1, 32, 32))
    theirs = resolve(settings(method="lorae"), "images", (1, 32, 32))
    names = ("matrix_init", "normalize", "matrix_update", "schedule", "penalty_warmup", "penalties")
    assert [getattr(ours, name) for name in names] == [
        "identity",
        "none",
        "prox",
        "cosine",
        1.0,
        {"nuclear": 1e-3},
    ]
    assert [getattr(theirs, name) for name in names] == [
        "identity",
        "none",
        "adam",
        "constant",
        0.0,
        {"nuclear": 1e-3},
    ]
    assert resolve(settings(method="lorae", matrix_update="prox", rank=3), "images", (1, 32, 32)).normalize == "none"


def test_a_chain_of_matrices_cannot_start_as_pca_behind_a_normalisation():
    values = {"method": "irmae", "network": "residual", "normalize": "scale"}
    with pytest.raises(
        LoraeError, match=r"normalize: got 'scale' with network residual.* 'irmae' has 8; expected none"
    ):
        resolve(Settings.from_values(values, str), "vectors", (6,))
    for change in ({"normalize": "none"}, {"method": "lorae"}):
        assert resolve(Settings.from_values(values | change, str), "vectors", (6,)).network == "residual"
