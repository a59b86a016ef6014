import dataclasses
import json
import subprocess
import sys
import zipfile

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import lorae
from lorae.api.export import FORMATS, SUFFIXES
from lorae.api.truncation import methods_with_matrix
from lorae.config.methods import METHODS
from lorae.errors import LoraeError
from lorae.extras import install_command
from lorae.models.autoencoder import Autoencoder, ModelSpec

pytestmark = pytest.mark.usefixtures("blank_figures")

FILES = {
    "safetensors": {"model.safetensors", "model.json", "README.md"},
    "onnx": {"encoder.onnx", "decoder.onnx"},
    "torch": {"encoder.pt2", "decoder.pt2"},
}


def left(method):
    """What is left of a method in an exported model: its bottleneck unless that is a matrix, its kind of decoder."""
    name = "identity" if method.name in methods_with_matrix() else method.bottleneck
    return name, method.spectral_norm, method.encodes, method.likelihood


# The last method of each kind of exported model: every method of the table has the graph of one of these.
KINDS = {left(method): method.name for method in METHODS.values()}


@pytest.fixture(scope="module")
def on_vectors(vectors, small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("vectors")
    np.save(folder / "plane.npy", vectors)
    return lorae.train(folder / "plane.npy", out=folder / "run", **small | {"latent_dim": 4, "method": "lorae+"})


@pytest.fixture(scope="module")
def runs(trained, on_vectors, images, vectors):
    """A run and raw items in its network's dtype, by kind of data."""
    return {"images": (trained, (images / 255).astype(np.float32)), "vectors": (on_vectors, vectors)}


@pytest.fixture(scope="module")
def graphs(runs, tmp_path_factory):
    """Folders of ONNX graphs by kind of data."""
    folder = tmp_path_factory.mktemp("graphs")
    return {kind: lorae.export_run(run, "onnx", out=folder / kind) for kind, (run, _) in runs.items()}


@pytest.fixture(scope="module")
def again(trained, tmp_path_factory):
    """A second folder of the graphs of images, and what torch draws after it was written, after the seed 4."""
    torch.manual_seed(4)
    folder = lorae.export_run(trained, "onnx", out=tmp_path_factory.mktemp("again") / "out")
    return folder, torch.rand(3)


def cut(run, rank=None):
    """The model that is exported of a run with a matrix."""
    return lorae.load(run).truncate(lorae.load_data(run.settings.data).train.inputs, rank)


def graph_runs(path, **inputs):
    if path.suffix == ".pt2":
        (items,) = inputs.values()
        return torch.export.load(path).module()(torch.from_numpy(items)).detach().numpy()
    (result,) = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, inputs)
    return result


def close(first, second):
    return np.abs(first - second).max() <= 1e-5 * max(1, np.abs(second).max())


def rebuilt(path):
    """The model of an exported file, by what its documentation says."""
    with safe_open(path, "pt") as file:
        about = json.loads(file.metadata()["lorae"])
    model = Autoencoder(ModelSpec.from_json(about["spec"]))
    model.load_state_dict(load_file(path))
    return model.eval(), about


@pytest.mark.parametrize("kind", ["images", "vectors"])
@pytest.mark.parametrize("n", [1, 2, 7])
def test_onnx_graphs_give_what_torch_gives_for_any_number_of_items(kind, n, runs, graphs):
    run, items = runs[kind]
    model, items = cut(run), items[:n]
    codes = graph_runs(graphs[kind] / "encoder.onnx", items=items)
    assert codes.dtype == np.float32
    assert close(codes, model.encode(items))
    assert close(graph_runs(graphs[kind] / "decoder.onnx", codes=codes), lorae.load(run).reconstruct(items))


def train(method, data, small, out):
    settings = {name: value for name, value in small.items() if name != "penalty"}
    return lorae.train(data, out=out, method=method, **settings | {"latent_dim": 4, "epochs": 1})


@pytest.mark.parametrize("method", [name for name, row in METHODS.items() if row.likelihood != "bernoulli"])
def test_every_method_for_vectors_can_be_exported(method, vectors, small, tmp_path):
    run = train(method, vectors, small, tmp_path / "run")
    model, about = rebuilt(lorae.export_run(run, out=tmp_path / "out", data=vectors) / "model.safetensors")
    assert about["method"] == method
    assert model.bottleneck.matrix() is None
    if METHODS[method].encodes:
        assert close(model.reconstruct(vectors[:3]), lorae.load(run).reconstruct(vectors[:3]))
    else:
        latents = np.ones((3, 4), np.float32)
        assert close(model.decode(latents), lorae.load(run).decode(latents))


CASES = [*((method, "onnx") for method in KINDS.values()), ("vae-flow", "torch"), ("ls-gan", "torch")]


@pytest.mark.parametrize(("method", "format"), CASES)
def test_every_method_of_the_table_has_graphs_with_any_number_of_rows(
    method, format, image_file, images, small, tmp_path
):
    run, suffix = train(method, image_file, small, tmp_path / "run"), SUFFIXES[format]
    folder, model = lorae.export_run(run, format, out=tmp_path / "out"), lorae.load(run)
    if not model.spec.encodes:
        assert [path.name for path in folder.iterdir()] == [f"decoder{suffix}"]
        latents = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
        assert close(graph_runs(folder / f"decoder{suffix}", codes=latents), model.decode(latents))
        return
    for n in (1, 5):  # traced with 2
        codes = graph_runs(folder / f"encoder{suffix}", items=(images[:n] / 255).astype(np.float32))
        assert close(graph_runs(folder / f"decoder{suffix}", codes=codes), model.reconstruct(images[:n]))


@pytest.mark.parametrize("network", ["mlp", "residual"])
def test_networks_of_vectors_in_their_own_units_have_graphs(network, vectors, small, tmp_path):
    far = vectors.astype(np.float64) + 1e6  # float32 would lose their digits
    run = lorae.train(far, out=tmp_path / "run", **small | {"network": network, "latent_dim": 4})
    folder = lorae.export_run(run, "torch", out=tmp_path / "out")
    codes = graph_runs(folder / "encoder.pt2", items=far)
    decoded = graph_runs(folder / "decoder.pt2", codes=codes)
    assert decoded.dtype == np.float64
    assert close(decoded - 1e6, lorae.load(run).reconstruct(far) - 1e6)


def test_two_files_of_torch_are_the_same_to_the_byte_and_name_no_file_of_this_machine(trained, tmp_path):
    first, second = (lorae.export_run(trained, "torch", out=tmp_path / name) for name in "ab")
    for name in FILES["torch"]:
        assert (first / name).read_bytes() == (second / name).read_bytes()
        with zipfile.ZipFile(first / name) as archive:
            assert not [entry for entry in archive.namelist() if b".py" in archive.read(entry)]
    extra = {"lorae": ""}
    torch.export.load(first / "encoder.pt2", extra_files=extra)
    assert json.loads(extra["lorae"])["spec"]["network"] == lorae.load(trained).spec.network


def test_two_files_are_the_same_to_the_byte(trained, tmp_path):
    first, second = (lorae.export_run(trained, out=tmp_path / name) / "model.safetensors" for name in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_two_graphs_are_the_same_to_the_byte_in_another_process_too(trained, graphs, again, tmp_path):
    program = "import sys, lorae\nlorae.export_run(sys.argv[1], 'onnx', out=sys.argv[2])"
    command = [sys.executable, "-c", program, str(trained.path), str(tmp_path / "other")]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert (result.stdout, result.stderr) == ("", "")
    for name in ("encoder.onnx", "decoder.onnx"):
        contents = {(folder / name).read_bytes() for folder in (graphs["images"], tmp_path / "other", again[0])}
        assert len(contents) == 1, name


def test_graphs_are_valid_small_and_say_what_they_are(trained, graphs):
    folder, model = graphs["images"], cut(trained)
    for name, inputs, outputs in (("encoder", "items", "codes"), ("decoder", "codes", "items")):
        path = folder / f"{name}.onnx"
        graph = onnx.load(path)
        onnx.checker.check_model(graph, full_check=True)
        assert [(each.domain, each.version) for each in graph.opset_import] == [("", 20)]
        assert [each.name for each in graph.graph.input] == [inputs]
        assert [each.name for each in graph.graph.output] == [outputs]
        assert graph.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "n"
        about = json.loads({entry.key: entry.value for entry in graph.metadata_props}["lorae"])
        assert about["spec"] == json.loads(json.dumps(dataclasses.asdict(model.spec)))
        # No paths of this machine, and little beside the weights.
        assert b".py" not in path.read_bytes()
        parameters = model.parameter_counts()[name]
        assert 4 * parameters < path.stat().st_size < 4 * parameters + 6000


@pytest.mark.parametrize("kind", ["images", "vectors"])
def test_safetensors_hold_the_small_model_and_its_spec(kind, runs, tmp_path):
    run, items = runs[kind]
    folder = lorae.export_run(str(run.path), out=tmp_path / "out", rank=2)
    model, about = rebuilt(folder / "model.safetensors")
    expected = cut(run, 2)
    assert model.spec == expected.spec
    assert about["version"] == lorae.__version__
    np.testing.assert_array_equal(model.reconstruct(items), expected.reconstruct(items))


@pytest.mark.parametrize("kind", ["images", "vectors"])
def test_exported_codes_are_those_of_the_truncated_run_and_keep_the_distances_of_the_run(kind, runs, graphs, tmp_path):
    run, items = runs[kind]
    exported = graph_runs(graphs[kind] / "encoder.onnx", items=items)
    small = lorae.load(lorae.truncate(run, out=tmp_path / "small"))
    assert close(exported, small.encode(items))
    codes = lorae.load(run).encode(items)
    distances = [np.linalg.norm(of[:, None] - of[None], axis=2) for of in (exported, codes)]
    assert np.abs(distances[0] - distances[1]).max() <= 1e-5 * distances[1].max()
    assert close(graph_runs(graphs[kind] / "decoder.onnx", codes=exported), lorae.load(run).reconstruct(items))


def test_a_truncated_run_is_exported_as_its_source_at_that_rank(trained, tmp_path):
    small = lorae.truncate(trained, 3, tmp_path / "cut")
    first = lorae.export_run(trained, out=tmp_path / "a", rank=3)
    second = lorae.export_run(small, out=tmp_path / "b")
    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()


def test_exporting_draws_no_random_numbers(again):
    torch.manual_seed(4)
    assert torch.equal(again[1], torch.rand(3))


# The command line


@pytest.mark.parametrize("format", FORMATS)
def test_the_command_writes_beside_the_run_and_prints_the_files(format, trained, tmp_path, run_cli):
    run = lorae.truncate(trained, 3, tmp_path / "small")
    code, printed, errors = run_cli("export", run.path, "--format", format, "--json")
    assert (code, errors) == (0, "")
    result = json.loads(printed)
    assert (result["run"], result["folder"]) == (str(run.path), str(tmp_path / f"small-{format}"))
    assert set(result["files"]) == FILES[format]
    assert result["width"] == 3  # as the spec in the file says


def test_plain_output_is_a_line_a_file(trained, tmp_path, run_cli):
    code, printed, _ = run_cli("export", trained.path, "--out", tmp_path / "out")
    paths = [tmp_path / "out" / name for name in ("README.md", "model.json", "model.safetensors")]
    width, *files = printed.splitlines()
    assert code == 0
    assert width.startswith("latent width 8 of 8; rank ")
    assert files == [f"{path} ({path.stat().st_size:,} bytes)" for path in paths]


BAD_INPUT = {
    "format": (
        ["--format", "tflite"],
        "format: got 'tflite', expected one of safetensors, onnx, torch (from --format)",
    ),
    "rank": (["--rank", "9"], "rank: got '9', expected a whole number of at least 1 and at most 8 (from --rank)"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_line_and_exit_code_2_and_writes_nothing(case, trained, tmp_path, run_cli):
    words, expected = BAD_INPUT[case]
    code, printed, errors = run_cli("export", trained.path, "--out", tmp_path / "out", *words)
    assert (code, printed) == (2, "")
    assert errors == f"lorae: {expected}\n"
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten(trained, tmp_path, run_cli):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    code, _, errors = run_cli("export", trained.path, "--out", tmp_path / "out")
    assert code == 2
    assert "exists and is never overwritten" in errors
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["notes.txt"]


def test_a_rank_for_a_method_without_a_matrix_is_refused(vectors, small, tmp_path):
    run = train("ae", vectors, small, tmp_path / "run")
    with pytest.raises(LoraeError, match="has no matrix M to cut"):
        lorae.export_run(run, rank=2)


def test_a_matrix_of_an_earlier_version_needs_the_data_and_nothing_else_does(vectors, small, tmp_path):
    run = train("lorae", vectors, small, tmp_path / "lorae")
    assert (lorae.export_run(run, out=tmp_path / "now") / "model.safetensors").is_file()
    (run.path / "encoder_outputs.safetensors").unlink()
    with pytest.raises(LoraeError, match="trained on an array in memory; pass data=ARRAY"):
        lorae.export_run(run)
    assert (lorae.export_run(train("ae", vectors, small, tmp_path / "ae")) / "model.safetensors").is_file()


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_missing_packages_are_one_line_that_says_how_to_get_them(package, trained, tmp_path, run_cli, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    words = ["export", trained.path, "--format", "onnx", "--out", tmp_path / "out"]
    code, _, errors = run_cli(*words)
    assert code == 2
    assert errors.count("\n") == 1
    assert errors.endswith(f": cannot import {package}; run: {install_command('onnx')}\n")
    assert not (tmp_path / "out").exists()
