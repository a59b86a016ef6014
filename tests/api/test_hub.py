"""Models go to a hub and come back the same; what a stranger put there is refused in one line and never executed."""

import importlib
import json
import pickle
import re
import shutil
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import lorae
from lorae.config.methods import METHODS
from lorae.errors import LoraeError
from lorae.extras import install_command
from lorae.models.autoencoder import Autoencoder, ModelSpec
from lorae.runs.model_files import write_spec, write_weights
from tests.api.hub_server import Hub

hub_package = pytest.importorskip("huggingface_hub")
constants = pytest.importorskip("huggingface_hub.constants")


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub of this machine, in the place of the real one."""
    hub = Hub()
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, hub.address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", hub.address)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setenv("HF_TOKEN", "a-token")
    importlib.import_module("huggingface_hub.utils").disable_progress_bars()
    yield hub
    hub.close()


def test_a_model_that_is_pushed_comes_back_the_same(hub, trained, images):
    address = lorae.push_to_hub(trained, "me/squares", private=True)
    assert address.startswith(f"{hub.address}/me/squares/commit/")
    assert hub.private["me/squares"] is True
    assert set(hub.files["me/squares"]["main"]) == {"README.md", "model.json", "model.safetensors"}
    model = lorae.from_pretrained("me/squares")
    np.testing.assert_allclose(model.reconstruct(images), lorae.load(trained).reconstruct(images), atol=1e-5)
    downloaded = {path.split("/")[-1] for verb, path in hub.requests if verb == "GET" and "/resolve/" in path}
    assert downloaded == {"model.json", "model.safetensors"}


def test_a_revision_is_a_branch_and_a_hash_names_it_for_ever(hub, trained, images):
    lorae.push_to_hub(trained, "me/squares")
    address = lorae.push_to_hub(trained, "me/squares", rank=2, revision="small")
    codes = lorae.from_pretrained("me/squares", revision="small").encode(images)
    assert codes.shape == (96, 2)
    assert lorae.from_pretrained("me/squares").spec.latent_dim > 2
    by_hash = lorae.from_pretrained("me/squares", revision=address.split("/")[-1])
    np.testing.assert_array_equal(by_hash.encode(images), codes)


def test_nothing_of_the_data_or_of_this_machine_is_pushed(hub, trained, image_file, tmp_path):
    lorae.push_to_hub(trained, "me/squares")
    content = b"".join(hub.files["me/squares"]["main"].values())
    for private in (str(trained.path), str(image_file.parent), str(tmp_path)):
        assert private.encode() not in content


MISSING = {
    "repository": ("me/nothing", None, "cannot download 'me/nothing'"),
    "revision": ("me/empty", "v9", "cannot download 'me/empty' at 'v9'"),
    "model": ("me/empty", None, "'me/empty' has no model.json, expected the files model.json and model.safetensors"),
    "folder": ("./nothing", None, "expected a folder with model.json and model.safetensors, or OWNER/NAME"),
    "path": ("a/b/c", None, "expected a folder with model.json and model.safetensors, or OWNER/NAME"),
}


@pytest.mark.parametrize("case", MISSING)
def test_what_is_not_there_is_one_line(case, hub):
    hub.put("me/empty", {"other.txt": b"text"})
    name, revision, expected = MISSING[case]
    with pytest.raises(LoraeError, match=re.escape(expected)) as error:
        lorae.from_pretrained(name, revision=revision)
    assert "\n" not in str(error.value)


def test_without_a_connection_it_is_one_line(hub, trained, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 1)
    for call in (lambda: lorae.from_pretrained("me/squares"), lambda: lorae.push_to_hub(trained, "me/squares")):
        with pytest.raises(LoraeError, match=r"cannot (up|down)load") as error:
            call()
        assert "\n" not in str(error.value)


def test_a_missing_package_is_named_with_the_command_that_installs_it(trained, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for call in (lambda: lorae.from_pretrained("me/squares"), lambda: lorae.push_to_hub(trained, "me/squares")):
        with pytest.raises(LoraeError) as error:
            call()
        assert str(error.value) == f"hub: cannot import huggingface_hub; run: {install_command('hub')}"


def test_folders_need_no_package(trained, images, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    exported = lorae.from_pretrained(lorae.export_run(trained, out=tmp_path / "out"))
    of_run = lorae.from_pretrained(trained.path)
    np.testing.assert_array_equal(of_run.encode(images), lorae.load(trained).encode(images))
    np.testing.assert_allclose(exported.reconstruct(images), of_run.reconstruct(images), atol=1e-5)
    with pytest.raises(LoraeError, match="is a folder, which has no revisions"):
        lorae.from_pretrained(trained.path, revision="main")


# Files of strangers


class Trap:
    def __reduce__(self):
        return pytest.fail, ("a pickle was executed",)


def changed_spec(folder, **values):
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def changed_options(folder, **values):
    options = json.loads((folder / "model.json").read_text())["bottleneck_options"]
    changed_spec(folder, bottleneck_options=options | values)


def without_tensor(folder):
    weights = load_file(folder / "model.safetensors")
    weights.popitem()
    save_file(weights, folder / "model.safetensors")


def cut_in_half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


HUGE = 10**12
HOSTILE = {
    "a pickle": lambda folder: (folder / "model.safetensors").write_bytes(pickle.dumps(Trap())),
    "a pickle of torch": lambda folder: torch.save({"trap": Trap()}, folder / "model.safetensors"),
    "a pickle as spec": lambda folder: (folder / "model.json").write_bytes(pickle.dumps(Trap())),
    "half of the weights": lambda folder: cut_in_half(folder / "model.safetensors"),
    "half of the spec": lambda folder: cut_in_half(folder / "model.json"),
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "empty weights": lambda folder: (folder / "model.safetensors").write_bytes(b""),
    "a header of any size": lambda folder: (folder / "model.safetensors").write_bytes(b"\xff" * 8 + b"{}"),
    "a missing tensor": without_tensor,
    "a deep spec": lambda folder: (folder / "model.json").write_text("[" * 100_000),
    "a list as spec": lambda folder: (folder / "model.json").write_text("[]"),
    "a later schema": lambda folder: changed_spec(folder, schema=99),
    "a huge latent": lambda folder: changed_spec(folder, latent_dim=HUGE),
    "a latent of the size of the file": lambda folder: changed_spec(folder, latent_dim=20_000),
    "a negative latent": lambda folder: changed_spec(folder, latent_dim=-8),
    "a latent in words": lambda folder: changed_spec(folder, latent_dim="8"),
    "huge items": lambda folder: changed_spec(folder, shape=[1, 8 * HUGE, 8 * HUGE]),
    "items in words": lambda folder: changed_spec(folder, shape="16"),
    "no items": lambda folder: changed_spec(folder, shape=None),
    "a huge width": lambda folder: changed_spec(folder, width=1e300),
    "an infinite width": lambda folder: changed_spec(folder, width=float("inf")),
    "no width": lambda folder: changed_spec(folder, width=float("nan")),
    "many layers": lambda folder: changed_options(folder, layers=HUGE),
    "an unknown network": lambda folder: changed_spec(folder, network="os.system"),
    "an unknown bottleneck": lambda folder: changed_spec(folder, bottleneck="os.system"),
    "an unknown key": lambda folder: changed_spec(folder, code="import os"),
    "options in words": lambda folder: changed_spec(folder, bottleneck_options="none"),
    "an unknown option": lambda folder: changed_options(folder, code="import os"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_files_of_strangers_are_refused_in_one_line(case, trained, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("model.json", "model.safetensors"):
        shutil.copy(trained.path / name, folder)
    HOSTILE[case](folder)
    with pytest.raises(LoraeError) as error:
        lorae.from_pretrained(folder)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


def test_other_files_of_a_repository_are_left_there(hub, trained):
    lorae.push_to_hub(trained, "me/squares")
    hub.put("me/squares", {"pytorch_model.bin": pickle.dumps(Trap()), "network.py": b"raise SystemExit"})
    assert lorae.from_pretrained("me/squares").spec.latent_dim > 0
    assert not [path for _, path in hub.requests if path.endswith(("network.py", "pytorch_model.bin"))]


SPECS = {
    (method.bottleneck, method.spectral_norm, method.encodes): dict(method.bottleneck_options)
    for method in METHODS.values()
}


@pytest.mark.parametrize("kind", SPECS, ids=str)
def test_every_kind_of_model_passes_the_check_of_sizes(kind, tmp_path):
    bottleneck, spectral_norm, encodes = kind
    options = {name: value for name, value in SPECS[kind].items() if name not in ("rank", "groups")}
    spec = ModelSpec("mlp", (6,), 16, 0.1, bottleneck, options, spectral_norm=spectral_norm, encodes=encodes)
    model = Autoencoder.initialized(spec).eval()
    write_weights(model, tmp_path)
    write_spec(model, tmp_path)
    codes = np.ones((3, 16), np.float32)
    np.testing.assert_array_equal(lorae.from_pretrained(tmp_path).decode(codes), model.decode(codes))


# The model card


def test_the_card_has_data_method_rank_and_numbers_with_their_protocols(trained, tmp_path):
    text = (lorae.export_run(trained, out=tmp_path / "out") / "README.md").read_text()
    card, evaluation = hub_package.ModelCard(text), trained.evaluation()
    assert card.data.library_name == "lorae"
    assert "lorae" in card.data.tags
    values = {result.metric_name: result.metric_value for result in card.data.eval_results}
    assert values["test MSE"] == evaluation["reconstruction"]["mse"]
    assert values["rank"] == evaluation["rank"]["rank"]
    for part in ("split: test", "mean over: pixels in [0, 1]", "nuclear 0.001", "squares", "1 x 16 x 16", "train 86"):
        assert part in text, part
    assert trained.config["data"]["fingerprint"] in text
    assert "before its latent was cut" not in text


def test_a_card_of_a_cut_model_says_that_its_numbers_are_those_before(trained, tmp_path):
    text = (lorae.export_run(trained, out=tmp_path / "out", rank=2) / "README.md").read_text()
    assert "those of the model before its latent was cut to 2 directions" in text
    assert "2 coordinates; 8 in training" in text


def test_the_code_of_the_card_runs(trained, images, tmp_path, monkeypatch):
    folder = lorae.export_run(trained, out=tmp_path / "this-folder")
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.S)
    monkeypatch.chdir(tmp_path)
    names = {"items": images}
    exec(code, names)
    assert names["items"].shape == images.shape
