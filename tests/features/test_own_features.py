"""Features by networks and functions of the user."""

import hashlib
import inspect
import json
from typing import Any

import numpy as np
import pytest
import torch

import lorae
from lorae.errors import LoraeError
from lorae.features import build_extractor

FILE = """
import torch

def spread(x):
    return torch.stack([x.mean((1, 2, 3)), x.std((1, 2, 3))], 1)

def builder(width=1):
    return spread

class Callable:
    def __call__(self, x):
        return spread(x)

instance = Callable()
text = "no function"

class Network(torch.nn.Module):
    def forward(self, x):
        return spread(x)
"""


def spread(x):
    return torch.stack([x.mean((1, 2, 3)), x.std((1, 2, 3))], 1)


def as_array(x):
    return np.stack([x.mean((1, 2, 3)), x.std((1, 2, 3))], 1)


@pytest.fixture(scope="module")
def expected(images):
    scaled = images / 255
    return np.stack([scaled.mean((1, 2, 3)), scaled.std((1, 2, 3), ddof=1)], 1)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    return path


@pytest.mark.parametrize("function", [spread, as_array, lambda x: spread(x)], ids=["tensor", "array", "lambda"])
def test_a_function_gives_features_of_images_in_the_unit_range(function, images, expected):
    extractor = build_extractor(function)
    np.testing.assert_allclose(extractor(images), expected, atol=1e-5)
    assert extractor(images).dtype == np.float32
    description = extractor.describe()
    assert (description["features"], description["weights"]) == (function.__name__, "none")
    assert description["code"] == f"sha256:{hashlib.sha256(inspect.getsource(function).encode()).hexdigest()}"


@pytest.mark.parametrize("name", ["spread", "builder", "Callable", "instance", "Network"])
def test_a_name_in_a_file_is_a_function_a_module_or_what_gives_one(name, file, images, expected):
    np.testing.assert_allclose(build_extractor(f"{file}:{name}")(images), expected, atol=1e-5)


def test_code_that_is_not_in_a_file_is_said_to_be_unknown():
    scope: dict[str, Any] = {"torch": torch}
    exec("def own(x):\n    return x.flatten(1)", scope)
    assert build_extractor(scope["own"]).describe()["code"] == "not known"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: None, "a function returned NoneType, expected a tensor or array"),
        (lambda x: x, r"'<lambda>' gave shape \(25, 1, 16, 16\) for 25 items, expected \(25, d\)"),
        (lambda x: x.flatten(1).log(), "gave values that are not finite"),
    ],
)
def test_a_function_that_returns_something_else_is_named(function, message, images):
    with pytest.raises(LoraeError, match=message):
        build_extractor(function)(images)


def test_something_else_in_a_file_is_refused(file):
    with pytest.raises(LoraeError, match=r"mine\.py:text' is str, expected a torch module or a function"):
        build_extractor(f"{file}:text")


def test_fid_and_evaluate_take_a_function(trained, images, tmp_path):
    found = lorae.fid(images[:40], images[40:], features=spread, quiet=True)
    assert found["fid"] > 0
    assert found["protocol"]["features"] == "spread"
    assert "Gaussian of sigma 10" in found["protocol"]["kernel"]
    options = {"samplers": "gaussian", "n": 40, "draws": 1, "quiet": True}
    measured = lorae.evaluate(trained, only="fid,cmmd", features=spread, **options)
    for part in ("gaussian", "reconstructions", "floor"):
        assert measured["cmmd"][part]["biased"] > measured["cmmd"][part]["value"]
        assert measured["cmmd"][part]["protocol"]["features"] == "spread"
    with pytest.raises(
        LoraeError, match=r"features: got 3, expected a name, FILE\.py:NAME, a torch module or a function"
    ):
        lorae.evaluate(trained, only="cmmd", features=3, **options)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x: x.nothing, "AttributeError: 'Tensor' object has no attribute 'nothing'"),
        (lambda x: x @ torch.zeros(5, 2), r"RuntimeError: .*"),
        (json.dumps, "TypeError: Object of type Tensor is not JSON serializable"),
        (spread, "IndexError: Dimension out of range"),
    ],
)
def test_a_function_that_raises_is_said_in_one_line_with_what_it_got(function, said):
    extractor = build_extractor(function)
    pattern = rf"^features: .* failed on torch.float32 of shape \(4, 6\): {said}.*; expected features \(n, d\)$"
    with pytest.raises(LoraeError, match=pattern) as caught:
        extractor(np.ones((4, 6), np.float32))
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is not None  # the user's own traceback


def test_a_lack_of_memory_in_a_function_stays_one():
    def greedy(x):
        raise MemoryError("too much")

    with pytest.raises(MemoryError, match="too much"):
        build_extractor(greedy)(np.ones((4, 6), np.float32))
