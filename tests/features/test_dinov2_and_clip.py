"""The extractors `dinov2` and `clip` around small networks with the interfaces of timm and transformers."""

import pickle
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

import lorae
from lorae.errors import LoraeError, NotApplicableError
from lorae.extras import install_command
from lorae.features import build_extractor, clip, dinov2
from lorae.features.base import weights_hash

NAMES = ("dinov2", "clip")
PACKAGES = {"dinov2": "timm", "clip": "transformers"}
MODULES = {"dinov2": dinov2, "clip": clip}
POSITIONS = 37 * 37 + 1  # of the published file, at 518 pixels


class SmallTransformer(nn.Module):
    """One block of attention between 14 x 14 patches and a class token, which it returns."""

    def __init__(self, side, width, dim):
        super().__init__()
        self.patch_embed = nn.Conv2d(3, width, 14, stride=14)
        self.cls_token = nn.Parameter(torch.randn(1, 1, width))
        self.pos_embed = nn.Parameter(torch.randn(1, (side // 14) ** 2 + 1, width))
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.head = nn.Linear(width, dim)

    def forward(self, x):
        patches = self.patch_embed(x).flatten(2).mT
        tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), patches], 1) + self.pos_embed
        return self.head(self.attention(tokens, tokens, tokens)[0][:, 0])


def create_model(name, pretrained, num_classes, img_size):
    assert (name, pretrained, num_classes) == ("vit_large_patch14_dinov2", False, 0)
    return SmallTransformer(img_size, 8, 1024)


class CLIPVisionModelWithProjection(nn.Module):
    def __init__(self, config):
        super().__init__()
        assert (config.patch_size, config.num_hidden_layers, config.hidden_act) == (14, 24, "quick_gelu")
        self.vision_model = SmallTransformer(config.image_size, 8, config.projection_dim)

    @classmethod
    def from_pretrained(cls, name, use_safetensors):
        assert use_safetensors
        raise OSError(f"no route to {name}\nand a traceback of many lines")

    def forward(self, pixel_values):
        return SimpleNamespace(image_embeds=self.vision_model(pixel_values))


def config(**values):
    return SimpleNamespace(**values)


@pytest.fixture
def packages(monkeypatch):
    """Stand-ins for the two packages, and a hub that cannot be reached."""

    def refuse(*_):
        raise OSError("no route to host\nand a traceback of many lines")

    parts = {"CLIPVisionModelWithProjection": CLIPVisionModelWithProjection, "CLIPVisionConfig": config}
    found: dict[str, dict[str, Any]] = {
        "timm": {"create_model": create_model},
        "transformers": parts,
        "huggingface_hub": {"hf_hub_download": refuse},
    }
    for name, contents in found.items():
        module = ModuleType(name)
        for key, value in contents.items():
            setattr(module, key, value)
        monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture(scope="module")
def tensors():
    """Contents of the two weights files; that of DINOv2 is for larger images, that of CLIP has a text model as well."""
    torch.manual_seed(0)
    larger = SmallTransformer(518, 8, 1024).state_dict()
    assert larger["pos_embed"].shape[1] == POSITIONS
    images = CLIPVisionModelWithProjection(config(**clip.CONFIG)).state_dict()
    return {"dinov2": larger, "clip": images | {"text_model.weight": torch.ones(3)}}


@pytest.fixture
def files(tensors, tmp_path):
    paths = {name: tmp_path / f"{name}.safetensors" for name in NAMES}
    for name, path in paths.items():
        save_file(tensors[name], path)
    return paths


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 256, (3, 1, 40, 24), np.uint8)


@pytest.mark.parametrize("name", NAMES)
def test_features_of_a_weights_file(name, packages, files, tensors, pictures):
    extractor = build_extractor(name, str(files[name]))
    features = extractor(pictures)
    assert features.shape == (3, extractor.dim) == (3, {"dinov2": 1024, "clip": 768}[name])
    assert np.abs(features[0] - features[1]).max() > 1e-3
    np.testing.assert_array_equal(extractor(np.repeat(pictures, 3, axis=1)), features)
    used = {key: value for key, value in tensors[name].items() if key != "text_model.weight"}
    assert extractor.describe()["weights"] == f"sha256:{weights_hash(used)}"
    assert {"network", "resize", "quantisation", "input"} <= set(extractor.describe())


def by_pillow(name, picture):
    """The network's input for one gray picture, by Pillow and numpy alone."""
    image = Image.fromarray(picture[0]).convert("RGB")
    if name == "clip":
        image = image.crop((0, 8, 24, 32))
    side = {"dinov2": 224, "clip": 336}[name]
    pixels = np.asarray(image.resize((side, side), Image.Resampling.BICUBIC)) / 255
    mean, deviation = (np.array(values) for values in (MODULES[name].MEAN, MODULES[name].DEVIATION))
    return ((pixels - mean) / deviation).transpose(2, 0, 1)


@pytest.mark.parametrize("name", NAMES)
def test_preparation_is_that_of_pillow(name, pictures):
    prepared = MODULES[name].prepare(pictures)
    assert prepared.dtype == torch.float32
    for picture, found in zip(pictures, prepared, strict=True):
        np.testing.assert_allclose(found.numpy(), by_pillow(name, picture), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_vectors_are_refused(name):
    with pytest.raises(NotApplicableError, match="expected images"):
        MODULES[name].prepare(np.zeros((3, 5), np.float32))


def cubic(distance):
    """Keys' kernel with the parameter -3/4 of torch and OpenCV."""
    near, a = np.abs(distance), -0.75
    inner, outer = (a + 2) * near**3 - (a + 3) * near**2 + 1, a * (near**3 - 5 * near**2 + 8 * near - 4)
    return np.where(near <= 1, inner, np.where(near < 2, outer, 0))


def test_positions_are_interpolated_as_by_the_authors():
    """By the kernel's formula at (i + 1/2) 37 / 16.1 - 1/2, with the border repeated; the class token stays."""
    embedding = torch.randn(1, POSITIONS, 2, generator=torch.Generator().manual_seed(0))
    grid = embedding[0, 1:].reshape(37, 37, 2).double().numpy()
    weights = np.zeros((16, 37))
    for row, place in enumerate((np.arange(16) + 0.5) * 37 / 16.1 - 0.5):
        for source in range(int(np.floor(place)) - 1, int(np.floor(place)) + 3):
            weights[row, np.clip(source, 0, 36)] += cubic(place - source)
    expected = np.einsum("ai,bj,ijd->abd", weights, weights, grid).reshape(256, 2)
    found = dinov2.positions(embedding, 16)
    assert torch.equal(found[:, 0], embedding[:, 0])
    np.testing.assert_allclose(found[0, 1:].numpy(), expected, atol=1e-5)
    assert torch.equal(dinov2.positions(embedding, 37), embedding)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_package_is_one_line_with_its_command(name, monkeypatch):
    monkeypatch.setitem(sys.modules, PACKAGES[name], None)
    with pytest.raises(LoraeError) as caught:
        build_extractor(name)
    assert str(caught.value) == f"{name}: cannot import {PACKAGES[name]}; run: {install_command(name)}"


@pytest.mark.parametrize("name", NAMES)
def test_weights_that_cannot_be_downloaded_are_one_line_with_the_command_that_fetches_them(name, packages):
    with pytest.raises(
        NotApplicableError, match=r"cannot download its weights \(no route to [^\n]*features_weights=PATH"
    ) as caught:
        build_extractor(name)
    assert MODULES[name].FETCH in str(caught.value)
    assert "\n" not in str(caught.value)


class Harm:
    def __reduce__(self):
        return (exec, ("raise SystemExit('executed')",))


def content(kind, good):
    broken = {
        "pickle": lambda: pickle.dumps(Harm()),
        "truncated": lambda: good.read_bytes()[:-100],
        "empty": lambda: b"",
        "text": lambda: b"<html>not found</html>",
    }
    return broken[kind]()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["pickle", "truncated", "empty", "text"])
def test_a_file_of_another_format_is_refused_and_not_executed(name, kind, packages, files, tmp_path):
    path = tmp_path / "weights.bin"
    path.write_bytes(content(kind, files[name]))
    with pytest.raises(LoraeError) as caught:
        build_extractor(name, str(path))
    message = str(caught.value)
    assert f"{path} is no complete safetensors file" in message
    assert message.endswith("(from argument features_weights)")
    assert "\n" not in message


@pytest.mark.parametrize("name", NAMES)
def test_other_weights_are_refused(name, packages, files, tensors, tmp_path):
    with pytest.raises(LoraeError, match=rf"{name}: cannot read .*gone \(No such file"):
        build_extractor(name, str(tmp_path / "gone"))
    key = next(key for key in tensors[name] if key.endswith("head.weight"))
    for change, found in ((None, "nothing"), (torch.ones(2, 3), r"\(2, 3\)")):
        changed = {other: value for other, value in tensors[name].items() if other != key}
        save_file(changed | ({} if change is None else {key: change}), tmp_path / "other")
        with pytest.raises(LoraeError, match=rf"{name}: the weights have {found} for '{key}' of shape"):
            build_extractor(name, str(tmp_path / "other"))


@pytest.mark.parametrize("name", NAMES)
def test_fid_and_cmmd_with_these_features_have_their_protocol(name, packages, files, images, run_cli, tmp_path):
    np.save(tmp_path / "a.npy", images[:4])
    np.save(tmp_path / "b.npy", images[4:8])
    with pytest.warns(lorae.LoraeWarning, match="singular covariance"):
        found = lorae.fid(
            tmp_path / "a.npy", tmp_path / "b.npy", features=name, features_weights=str(files[name]), quiet=True
        )
    assert found["fid"] > 0
    assert found["cmmd"]["biased"] > found["cmmd"]["value"]
    assert found["protocol"]["features"] == name
    assert {"kernel", "estimator", "resize"} <= set(found["protocol"])
