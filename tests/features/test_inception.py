"""Inception: its architecture against known numbers, and where its weights come from; no test needs the real ones."""

import hashlib
import io
import re
from dataclasses import replace
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torch import nn

from lorae.errors import LoraeError
from lorae.features import inception
from lorae.features.inception import FILE_NAME, build_inception, inception_network


@pytest.fixture(scope="module")
def network():
    """Random weights that keep the scale of activations, so that features are no mere constants."""
    generator = torch.Generator().manual_seed(0)
    result = inception_network().eval()
    with torch.no_grad():
        for module in result.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, generator=generator)
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1, generator=generator)
                module.running_var.uniform_(0.5, 2, generator=generator)
    return result


@pytest.fixture(scope="module")
def content(network):
    """What a weights file holds: those of the network without the counters, and a classifier that is not used."""
    state = {name: value for name, value in network.state_dict().items() if "num_batches" not in name}
    buffer = io.BytesIO()
    torch.save({**state, "fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}, buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 256, (2, 1, 20, 24), np.uint8)


@pytest.fixture
def places(tmp_path, monkeypatch):
    """No weights anywhere and no network: the folder of torch's cache, which is still missing."""
    monkeypatch.delenv("LORAE_INCEPTION", raising=False)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path / "hub"))

    def refuse(*_, **__):
        raise URLError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    return tmp_path / "hub" / "checkpoints"


@pytest.fixture
def accepted(content, monkeypatch):
    """Make the hash of the random weights the expected one; the whole hash."""
    digest = hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(inception, "HASH_PREFIX", digest[:8])
    return digest


def test_parameter_count(network):
    # Inception v3 with 1000 classes has 23,834,568 without its auxiliary head, of which 2,049,000 are the classifier.
    assert sum(parameter.numel() for parameter in network.parameters()) == 23_834_568 - 2_049_000 == 21_785_568
    assert sum(isinstance(module, nn.Conv2d) for module in network.modules()) == 94


def test_names_and_shapes_of_the_weights_file(network):
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert shapes["Conv2d_1a_3x3.conv.weight"] == (32, 3, 3, 3)
    assert shapes["Conv2d_1a_3x3.bn.running_mean"] == (32,)
    assert shapes["Mixed_5b.branch1x1.conv.weight"] == (64, 192, 1, 1)
    assert shapes["Mixed_5c.branch5x5_2.conv.weight"] == (64, 48, 5, 5)
    assert shapes["Mixed_6a.branch3x3.conv.weight"] == (384, 288, 3, 3)
    assert shapes["Mixed_6c.branch7x7dbl_5.conv.weight"] == (192, 160, 1, 7)
    assert shapes["Mixed_7a.branch7x7x3_4.conv.weight"] == (192, 192, 3, 3)
    assert shapes["Mixed_7b.branch3x3_2b.conv.weight"] == (384, 384, 3, 1)
    assert shapes["Mixed_7c.branch3x3dbl_3a.bn.weight"] == (384,)
    assert shapes["Mixed_7c.branch_pool.conv.weight"] == (192, 2048, 1, 1)
    assert {module.eps for module in network.modules() if isinstance(module, nn.BatchNorm2d)} == {0.001}


def test_blocks_have_the_published_shapes(network):
    shapes = {}
    x = torch.zeros(1, 3, 299, 299)
    with torch.inference_mode():
        for name, block in network.named_children():
            x = block(x)
            shapes[name] = tuple(x.shape[1:])
    assert shapes == {
        "Conv2d_1a_3x3": (32, 149, 149),
        "Conv2d_2a_3x3": (32, 147, 147),
        "Conv2d_2b_3x3": (64, 147, 147),
        "maxpool1": (64, 73, 73),
        "Conv2d_3b_1x1": (80, 73, 73),
        "Conv2d_4a_3x3": (192, 71, 71),
        "maxpool2": (192, 35, 35),
        "Mixed_5b": (256, 35, 35),
        "Mixed_5c": (288, 35, 35),
        "Mixed_5d": (288, 35, 35),
        "Mixed_6a": (768, 17, 17),
        "Mixed_6b": (768, 17, 17),
        "Mixed_6c": (768, 17, 17),
        "Mixed_6d": (768, 17, 17),
        "Mixed_6e": (768, 17, 17),
        "Mixed_7a": (1280, 8, 8),
        "Mixed_7b": (2048, 8, 8),
        "Mixed_7c": (2048, 8, 8),
        "avgpool": (2048, 1, 1),
        "flatten": (2048,),
    }


@pytest.mark.parametrize("name", ["5b", "5c", "5d", "6b", "6c", "6d", "6e", "7b"])
def test_average_pools_leave_the_padding_out(network, name):
    pool = network.get_submodule(f"Mixed_{name}").pool
    assert torch.equal(pool(torch.ones(1, 1, 4, 4)), torch.ones(1, 1, 4, 4))
    corner = torch.zeros(1, 1, 3, 3)
    corner[..., 0, 0] = 36.0
    # It is one of four pixels in the corner, of six at the sides, of nine inside.
    assert pool(corner).squeeze().tolist() == [[9, 6, 0], [6, 4, 0], [0, 0, 0]]


def test_last_block_pools_by_the_maximum(network):
    corner = torch.full((1, 1, 3, 3), -2.0)
    corner[..., 0, 0] = -1
    assert network.Mixed_7c.pool(corner).squeeze().tolist() == [[-1, -1, -2], [-1, -1, -2], [-2, -2, -2]]


def test_branches_are_concatenated_in_order(network):
    block = network.Mixed_7b
    x = torch.randn(1, 1280, 3, 3, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        result = block(x)
        middle = block.branch3x3_1(x)
        parts = {
            0: block.branch1x1(x),
            320: block.branch3x3_2a(middle),
            704: block.branch3x3_2b(middle),
            1856: block.branch_pool(block.pool(x)),
        }
    for start, part in parts.items():
        torch.testing.assert_close(result[:, start : start + part.shape[1]], part)


def test_weights_file_round_trip(network, content, accepted, pictures, places, tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    seeds = torch.random.get_rng_state()
    extractor = build_inception(path)
    assert torch.equal(torch.random.get_rng_state(), seeds)
    assert (extractor.name, extractor.dim, extractor.sha256) == ("inception", 2048, accepted)
    for name, value in extractor.network.state_dict().items():
        assert torch.equal(value, network.state_dict()[name]), name
    description = extractor.describe()
    assert description["weights"] == f"sha256:{accepted}"
    assert {"resize", "quantisation", "input"} <= set(description)
    features = extractor(pictures)
    assert features.shape == (2, 2048)
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features, extractor(np.repeat(pictures, 3, axis=1)))
    one_by_one = replace(extractor, batch=1)(pictures)
    np.testing.assert_allclose(one_by_one, features, rtol=1e-4, atol=1e-4 * features.std())
    assert np.abs(features[0] - features[1]).max() > 0.01 * features.std()


def test_input_range(content, accepted, places, tmp_path):
    (tmp_path / "weights.pth").write_bytes(content)
    prepared = build_inception(tmp_path / "weights.pth").prepare(np.array([0, 128, 255], np.uint8).reshape(3, 1, 1, 1))
    assert prepared.shape == (3, 3, 299, 299)
    assert prepared.dtype == torch.float32
    for image, value in zip(prepared, (-1, 0, 127 / 128), strict=True):
        torch.testing.assert_close(image, torch.full_like(image, value), rtol=0, atol=1e-6)


def test_order_of_places(content, accepted, places, tmp_path, monkeypatch):
    places.mkdir(parents=True)
    (places / FILE_NAME).write_bytes(content)
    assert build_inception().sha256 == accepted
    monkeypatch.setenv("LORAE_INCEPTION", str(tmp_path / "variable.pth"))
    with pytest.raises(LoraeError, match=r"cannot read .*variable\.pth .*from LORAE_INCEPTION"):
        build_inception()
    with pytest.raises(LoraeError, match=r"cannot read .*option\.pth .*from argument features_weights"):
        build_inception(str(tmp_path / "option.pth"))


def test_download_is_kept(content, accepted, places, monkeypatch):
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: io.BytesIO(content))
    assert build_inception().sha256 == accepted
    assert [path.name for path in places.iterdir()] == [FILE_NAME]
    assert (places / FILE_NAME).read_bytes() == content


def test_another_file_is_refused(places, tmp_path, monkeypatch):
    path = tmp_path / "other.pth"
    path.write_bytes(b"something else")
    got = hashlib.sha256(b"something else").hexdigest()
    with pytest.raises(LoraeError, match=rf"other\.pth .*SHA-256 {got}, expected one that begins with 6726825d"):
        build_inception(path)
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: io.BytesIO(b"a login page"))
    with pytest.raises(LoraeError, match=r"https://.* has SHA-256 .*expected one that begins with 6726825d"):
        build_inception()
    assert not places.exists()
    places.mkdir(parents=True)
    (places / FILE_NAME).write_bytes(b"half of it")
    with pytest.raises(LoraeError, match=r"torch's cache; delete it.* has SHA-256"):
        build_inception()


def test_no_weights_and_no_network(places):
    message = (
        r"inception: cannot download its weights \(no route to host\); fetch https://\S+ elsewhere and pass "
        rf"features_weights=PATH or put it at {re.escape(str(places / FILE_NAME))}, or use features='lite0'"
        r"; see docs/metrics\.md#feature-networks"
    )
    with pytest.raises(LoraeError) as raised:
        build_inception()
    assert re.fullmatch(message, str(raised.value))
