import copy
import json
import re
import shutil

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

import lorae
from lorae import cli, inspection
from lorae.bottlenecks import LinearBottleneck, TruncatedBottleneck
from lorae.errors import LoraeError
from lorae.methods import METHODS
from lorae.model import Autoencoder, ModelSpec
from lorae.runs import Run
from lorae.smaller_runs import describe_truncation
from lorae.truncation import find_cut, methods_with_matrix

LATENT, RANK = 12, 5
METHODS_TO_CUT = ("lorae", "lorae+", "irmae", "irmae-wd", "diabolo", "rrae")
SHAPES = {"images": ("mnist", (1, 16, 16)), "vectors": ("mlp", (6,))}


def build(method, kind="images", rank=RANK, seed=0):
    """A model of a method in evaluation mode whose bottleneck has a rank, and a normalisation that does something."""
    torch.manual_seed(seed)
    row = METHODS[method]
    options = dict(row.bottleneck_options) | ({"rank": rank} if "rank" in row.bottleneck_options else {})
    model = Autoencoder(ModelSpec(*SHAPES[kind], LATENT, 0.125, row.bottleneck, options)).eval()
    bottleneck = model.bottleneck
    with torch.no_grad():
        if isinstance(bottleneck, TruncatedBottleneck):
            batch = torch.randn(50, LATENT)
            bottleneck.second_moment.copy_(batch.T @ batch)
        else:
            for layer in bottleneck.layers:
                torch.nn.init.orthogonal_(layer.weight)
            # Singular values 3, 2.5, 2, ...; those of a narrow layer's first matrix are its rank.
            first = bottleneck.layers[0].weight
            values = torch.arange(len(first), 0, -1) / 2 + 0.5
            values[rank:] = 0
            first.mul_(values[:, None])
        if method == "lorae+":
            bottleneck.normaliser.mean.normal_()
            bottleneck.normaliser.variance.uniform_(0.1, 2)
    return model


@pytest.fixture
def items(images, vectors):
    return {"images": images[:60], "vectors": vectors[:60]}


def close(before, after):
    return np.abs(before - after).max() <= 1e-5 * max(1, np.abs(before).max())


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("method", METHODS_TO_CUT)
def test_the_default_keeps_reconstructions_and_drops_what_is_not_used(method, kind, items):
    model = build(method, kind)
    # Also of items that the axes are not those of.
    small = model.truncate(items[kind][:40])
    assert close(model.reconstruct(items[kind]), small.reconstruct(items[kind]))
    assert small.spec.latent_dim == RANK == model.matrix_rank(1e-6)
    assert small.encode(items[kind]).shape == (60, RANK)
    before, after = model.parameter_counts(), small.parameter_counts()
    dropped = LATENT - RANK
    assert after["bottleneck"] == 0
    assert before["encoder"] - after["encoder"] == dropped * (model.encoder.output.in_features + 1)
    assert before["decoder"] - after["decoder"] == dropped * model.decoder.input.out_features


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("method", METHODS_TO_CUT)
def test_the_spec_rebuilds_the_small_model(method, kind, items):
    small = build(method, kind).truncate(items[kind])
    spec = ModelSpec.from_json(json.loads(json.dumps(vars(small.spec))))
    again = Autoencoder(spec)
    again.load_state_dict(small.state_dict())
    np.testing.assert_array_equal(again.reconstruct(items[kind]), small.reconstruct(items[kind]))


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("method", METHODS_TO_CUT)
@pytest.mark.parametrize("rank", [2, None])
def test_codes_are_centred_uncorrelated_and_ordered_as_the_spectrum_of_the_latents(method, kind, rank, items):
    model = build(method, kind)
    codes = model.truncate(items[kind], rank).encode(items[kind]).astype(np.float64)
    covariance = np.cov(codes, rowvar=False)
    scale = covariance.max()
    np.testing.assert_allclose(codes.mean(axis=0), 0, atol=1e-5 * np.sqrt(scale))
    np.testing.assert_allclose(covariance, np.diag(covariance.diagonal()), atol=1e-5 * scale)
    assert (np.diff(covariance.diagonal()) <= 0).all()
    eigenvalues = model.spectrum(items[kind]).eigenvalues[: len(covariance)]
    np.testing.assert_allclose(covariance.diagonal(), eigenvalues, rtol=1e-4, atol=1e-9 * scale)


@pytest.mark.parametrize("method", METHODS_TO_CUT)
@pytest.mark.parametrize("rank", [1, 3])
def test_it_is_the_pca_of_the_latents_with_signs_of_its_own(method, rank, items):
    model = build(method)
    latents, codes = (each.encode(items["images"]) for each in (model, model.truncate(items["images"], rank)))
    pca = PCA(rank).fit(latents.astype(np.float64))
    signs = np.sign(pca.components_[np.arange(rank), np.abs(pca.components_).argmax(1)])
    np.testing.assert_allclose(codes, pca.transform(latents) * signs, atol=1e-5)
    cut = find_cut(model, items["images"], rank)
    np.testing.assert_allclose(cut.axes, pca.components_.T * signs, atol=1e-4)
    np.testing.assert_allclose(cut.deviations[:rank], np.sqrt(pca.explained_variance_), rtol=1e-4)
    assert cut.dropped_variance == pytest.approx(1 - pca.explained_variance_ratio_.sum(), abs=1e-5)
    # A dropped direction keeps its mean.
    means = model.decode(pca.inverse_transform(pca.transform(latents)).astype(np.float32))
    assert close(means, model.truncate(items["images"], rank).reconstruct(items["images"]))


def test_a_strong_direction_that_nothing_comes_in_along_goes_first():
    model = build("lorae", "vectors", rank=2)
    with torch.no_grad():
        model.bottleneck.layers[0].weight.copy_(torch.diag(torch.tensor([100.0, 1.0] + [0.0] * (LATENT - 2))))
        model.encoder.output.weight[0] = 0
    items = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    assert close(model.reconstruct(items), model.truncate(items, 1).reconstruct(items))
    assert find_cut(model, items, 1).dropped_variance == 0
    # Nobody asked for a rank: it stays, for items that are not like these.
    whole = model.truncate(items)
    assert whole.spec.latent_dim == 2
    assert np.abs(whole.encode(items)[:, 1]).max() < 1e-5
    with torch.no_grad():
        for each in (model, whole):
            each.scaling.shift[:] = 30
    assert close(model.reconstruct(items), whole.reconstruct(items))


def test_an_offset_outside_the_range_of_the_matrix_goes_to_the_decoder(items):
    class Shifted(LinearBottleneck):
        def forward(self, h):
            latent = super().forward(h)
            return type(latent)(latent.z + torch.arange(LATENT))

        def affine(self):
            return super().affine()[0], torch.arange(LATENT).double()

    model = build("irmae")
    shifted = Shifted(LATENT, 8)
    shifted.load_state_dict(model.bottleneck.state_dict())
    model.bottleneck = shifted
    assert close(model.reconstruct(items["images"]), model.truncate(items["images"]).reconstruct(items["images"]))


def test_directions_beyond_the_rank_have_codes_of_zero(items):
    model = build("lorae")
    wide = model.truncate(items["images"], LATENT)
    assert np.abs(wide.encode(items["images"])[:, RANK:]).max() < 1e-5
    assert close(model.reconstruct(items["images"]), wide.reconstruct(items["images"]))


def test_a_smaller_rank_is_the_first_coordinates_of_a_larger(items):
    model = build("lorae+")
    codes = model.truncate(items["images"]).encode(items["images"])
    np.testing.assert_allclose(model.truncate(items["images"], 2).encode(items["images"]), codes[:, :2], atol=1e-6)


@pytest.mark.parametrize("method", METHODS_TO_CUT)
def test_twice_is_the_same_and_touches_neither_the_model_nor_the_random_numbers(method, items):
    model = build(method)
    before = copy.deepcopy(model.state_dict())
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    first, second = (model.truncate(items["images"]) for _ in range(2))
    assert torch.equal(torch.rand(3), expected)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_axes_of_a_projection_depend_on_nothing_but_the_projection_and_the_items(items):
    first, second = (build("rrae") for _ in range(2))
    _, vectors = torch.linalg.eigh(first.bottleneck.second_moment.double())
    # Other weights of the same leading directions: the same projection from other vectors.
    weights = torch.tensor([0.0] * (LATENT - RANK) + [3.0, 9.0, 2.0, 7.0, 5.0])
    second.bottleneck.second_moment.copy_(vectors * weights @ vectors.T)
    cuts = [find_cut(model, items["images"]) for model in (first, second)]
    np.testing.assert_allclose(cuts[0].axes, cuts[1].axes, atol=1e-4)


def test_tensors_are_items_too(items):
    model = build("lorae")
    first, second = (model.truncate(each) for each in (items["images"], torch.as_tensor(items["images"])))
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())


def test_dtype_mode_and_gradients_are_those_of_the_model(items):
    model = build("lorae").double()
    assert not model.truncate(items["images"]).training
    model.train()
    small = model.truncate(items["images"])
    assert small.training
    assert {parameter.dtype for parameter in small.parameters()} == {torch.float64}
    assert all(parameter.requires_grad for parameter in small.parameters())


def test_collapsing_a_truncated_model_changes_nothing(items):
    small = build("lorae+").truncate(items["images"])
    again = small.collapse()
    assert again.spec == small.spec
    np.testing.assert_array_equal(again.reconstruct(items["images"]), small.reconstruct(items["images"]))
    with pytest.raises(LoraeError, match="IdentityBottleneck has no matrix M to cut"):
        small.truncate(items["images"])


@pytest.mark.parametrize("rank", [0, -1, LATENT + 1, 2.5, "many", True])
def test_a_rank_that_does_not_fit_is_refused(rank, items):
    with pytest.raises(LoraeError, match=rf"rank: got {rank!r}, expected a whole number of at least 1 and at most 12"):
        build("lorae").truncate(items["images"], rank)


@pytest.mark.parametrize("method", sorted(set(METHODS) - set(methods_with_matrix())))
def test_methods_without_a_matrix_are_refused_by_one_line_that_names_the_others(method):
    row = METHODS[method]
    options = dict(row.bottleneck_options) | ({"groups": 4} if "groups" in row.bottleneck_options else {})
    model = Autoencoder(ModelSpec("mlp", (6,), LATENT, 1.0, row.bottleneck, options, encodes=row.encodes))
    with pytest.raises(LoraeError, match=r"has no matrix M to cut.*irmae, lorae, lorae\+") as error:
        model.truncate(np.zeros((3, 6), np.float32))
    assert "\n" not in str(error.value)


def test_spectral_norms_are_refused():
    model = Autoencoder(ModelSpec("mlp", (6,), 4, bottleneck="linear", spectral_norm=True))
    with pytest.raises(LoraeError, match="divides its weights by spectral norms"):
        model.truncate(np.zeros((3, 6), np.float32))


@pytest.mark.parametrize(("value", "expected"), [(0.0, "the model has collapsed"), (np.nan, "has diverged")])
def test_a_matrix_that_is_none_is_refused(value, expected, items):
    model = build("lorae")
    model.bottleneck.layers[0].weight.data.fill_(value)
    with pytest.raises(LoraeError, match=expected):
        model.truncate(items["images"])


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_items_are_refused(n, items):
    with pytest.raises(LoraeError, match=rf"items: got {n}, expected at least 2 for a covariance"):
        build("lorae").truncate(items["images"][:n])


def test_an_encoder_that_has_diverged_is_refused(items):
    model = build("lorae")
    model.encoder.output.bias.data[0] = np.inf
    with pytest.raises(LoraeError, match="the encoder gives values that are not finite; the model has diverged"):
        model.truncate(items["images"])


def test_latents_that_do_not_vary_are_decoded_all_the_same(items):
    model = build("lorae")
    model.encoder.output.weight.data.zero_()
    assert find_cut(model, items["images"], 1).dropped_variance == 0
    assert close(model.reconstruct(items["images"]), model.truncate(items["images"], 1).reconstruct(items["images"]))


# Runs


class Corners(torch.nn.Module):
    """Three features of an image: few enough for the covariance of few items."""

    def forward(self, x):
        return torch.stack([x[..., :8, :8].mean((1, 2, 3)), x[..., 8:, 8:].mean((1, 2, 3)), x.amax((1, 2, 3))], 1)


FEW = {"n": 60, "draws": 1, "bootstrap": 5, "labels": "4,all", "seeds": 2, "max_steps": 5, "components": 2}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LORAE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        yield


@pytest.fixture(scope="module")
def labelled(images, small, cache, tmp_path_factory):
    """A finished LoRAE+ run on squares whose size is their label."""
    folder = tmp_path_factory.mktemp("labelled")
    sizes = (images.reshape(len(images), -1).astype(bool).sum(1) > 20).astype(np.int64)
    splits = {"train": images[:64], "test": images[64:], "train_labels": sizes[:64], "test_labels": sizes[64:]}
    np.savez(folder / "squares.npz", **splits)
    return lorae.train(folder / "squares.npz", out=folder / "run", method="lorae+", **small)


@pytest.fixture(scope="module")
def cut_runs(labelled):
    """Truncated runs of rank 1 and 3."""
    return {rank: lorae.truncate(labelled, rank) for rank in (1, 3)}


def training_items(run):
    return lorae.load_data(run.settings.data).train.inputs


def run_cli(capsys, *words):
    code = cli.main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_truncated_run_is_a_finished_run_beside_its_source(labelled, cut_runs):
    run = cut_runs[3]
    assert isinstance(run, Run)
    assert run.path == labelled.path.with_name("run-rank3")
    assert run.finished
    assert lorae.resume(run) is run
    assert lorae.load(run).spec.latent_dim == 3
    assert list(run.stats()) == list(labelled.stats())
    changed = {name for name in run.config if run.config[name] != labelled.config.get(name)}
    assert changed == {"command", "parameters", "truncated"}
    assert run.config["parameters"] == lorae.load(run).parameter_counts()
    truncated, model = run.config["truncated"], lorae.load(labelled)
    assert (truncated["from"], truncated["rank"], truncated["latent_dim"]) == (str(labelled.path), 3, 8)
    found = truncated["standard_deviations"]
    variances = model.spectrum(training_items(labelled)).eigenvalues
    np.testing.assert_allclose(np.square(found["kept"] + found["dropped"]), variances, rtol=1e-4, atol=1e-9)
    assert len(found["kept"]) == 3
    assert truncated["dropped_variance"] == pytest.approx(1 - variances[:3].sum() / variances.sum(), abs=1e-6)


def test_it_is_measured_anew(labelled, cut_runs):
    run = cut_runs[3]
    evaluation = run.evaluation()
    model = lorae.load(labelled).truncate(training_items(labelled), 3)
    test = lorae.load_data(labelled.settings.data).test.inputs
    assert evaluation["reconstruction"]["mse"] == pytest.approx(model.squared_error(test), rel=1e-5)
    np.testing.assert_allclose(evaluation["rank"]["eigenvalues"], model.spectrum(test).eigenvalues, rtol=1e-4)
    assert evaluation["rank"]["matrix_rank"] is None
    assert run.figure_path("spectrum").is_file()
    assert run.figure_path("reconstructions").is_file()


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_test_items_lose_less_than_along_the_singular_vectors_of_the_matrix(rank, labelled):
    model = lorae.load(labelled)
    test = lorae.load_data(labelled.settings.data).test.inputs
    U, _, _ = np.linalg.svd(model.bottleneck.matrix().detach().double().numpy())
    axes, latents, mean = U[:, :rank], model.encode(test), model.encode(training_items(labelled)).mean(axis=0)
    by_matrix = mean + (latents - mean) @ axes @ axes.T
    cut = find_cut(model, training_items(labelled), rank)
    axes = cut.axes.numpy()
    by_variance = mean + (latents - mean) @ axes @ axes.T
    assert np.square(by_variance - latents).sum() <= np.square(by_matrix - latents).sum()
    pixels = test / 255
    expected = np.square(model.decode(by_matrix.astype(np.float32)) - pixels).mean()
    assert cut.applied_to(model).squared_error(test) <= expected * (1 + 1e-3)


def test_the_axes_are_those_of_training_items_from_all_over(labelled, tmp_path, monkeypatch):
    monkeypatch.setattr("lorae.smaller_runs.ITEMS", 20)
    run = lorae.truncate(labelled, 2, tmp_path / "cut")
    items = training_items(labelled)
    expected = lorae.load(labelled).truncate(items[:: len(items) // 20], 2)
    for name, value in lorae.load(run).state_dict().items():
        assert torch.equal(value, expected.state_dict()[name]), name


def test_the_report_says_what_it_is(labelled, cut_runs):
    page = (cut_runs[3].path / "report.html").read_text()
    text = " ".join(re.sub("<[^>]*>", " ", page).split())
    rank = cut_runs[3].evaluation()["rank"]["rank"]
    assert f"Rank {rank} of 3 The latent" in text
    assert f"from {labelled.path}, 8 to 3 latent coordinates" in text
    assert "lorae truncate" in text


def test_the_default_keeps_the_error(labelled, tmp_path):
    run = lorae.truncate(labelled, out=tmp_path / "small")
    described = describe_truncation(run)
    assert described["after"]["test_mse"] == pytest.approx(described["before"]["test_mse"], rel=1e-5)
    assert described["rank"] == lorae.load(labelled).matrix_rank(1e-6)


def test_two_truncations_are_the_same_to_the_byte(labelled, cut_runs, tmp_path):
    again = lorae.truncate(str(labelled.path), 3, tmp_path / "again")
    for name in ("model.safetensors", "model.json", "stats.jsonl", "evaluation.json"):
        assert (again.path / name).read_bytes() == (cut_runs[3].path / name).read_bytes(), name


@pytest.mark.parametrize("rank", [1, 3])
def test_every_tool_takes_a_truncated_run(rank, labelled, cut_runs, tmp_path):
    run = cut_runs[rank]
    assert len(lorae.spectrum(run).eigenvalues) == rank
    assert lorae.reconstruct(run).is_file()
    for sampler in ("gaussian", "mixture", "prior"):
        assert lorae.sample(run, 5, sampler=sampler, components=2).shape == (5, 1, 16, 16)
    assert lorae.interpolate(run, pairs=2, steps=3)["linear"].shape == (2, 3, 1, 16, 16)
    rows = lorae.compare([labelled, run], tmp_path / "page.html")
    assert [row["run"] for row in rows] == [str(labelled.path), str(run.path)]
    assert lorae.write_report(run).is_file()
    assert (lorae.export_run(run, out=tmp_path / "exported") / "model.safetensors").is_file()


def test_a_truncated_run_can_be_measured_by_every_measure(cut_runs):
    measured = lorae.evaluate(cut_runs[3], features=Corners(), quiet=True, **FEW)
    assert {"reconstruction", "rank", "dimension", "fid", "kid", "prdc", "probe", "classification"} <= set(measured)
    assert len(measured["rank"]["eigenvalues"]) == 3
    assert measured["rank"]["matrix_ranks"] is None
    again = lorae.evaluate(cut_runs[3], only="classification,supervised", quiet=True, protocol="authors_code", **FEW)
    assert again["supervised"]["protocol"]["latent_dim"] == 3


@pytest.mark.parametrize("method", METHODS_TO_CUT)
def test_runs_on_vectors_of_every_method_are_cut(method, vectors, small, tmp_path):
    settings = {name: value for name, value in small.items() if name != "penalty"}
    run = lorae.train(vectors, out=tmp_path / "run", method=method, **settings | {"latent_dim": 4, "epochs": 1})
    with pytest.raises(LoraeError, match="trained on an array in memory; pass it again as data="):
        lorae.truncate(run)
    cut = lorae.truncate(run, data=vectors)
    described = describe_truncation(cut)
    assert described["after"]["test_mse"] == pytest.approx(described["before"]["test_mse"], rel=1e-4)
    assert lorae.sample(cut, 5, data=vectors).shape == (5, 6)
    assert lorae.evaluate(cut, data=vectors, quiet=True, **FEW)["fid"]["gaussian"]["value"] >= 0
    assert "lorae.truncate(" in cut.config["command"]


# The command line


def test_the_command_prints_sizes_before_and_after(labelled, tmp_path, capsys):
    code, printed, errors = run_cli(capsys, "truncate", labelled.path, "--rank", 2, "--out", tmp_path / "a", "--json")
    assert (code, errors) == (0, "")
    result = json.loads(printed)
    assert result["run"] == str(tmp_path / "a")
    assert (result["rank"], result["latent_dim"]) == (2, 8)
    before, after = result["before"], result["after"]
    assert before["parameters"] == lorae.load(labelled).parameter_counts()
    assert after["parameters"] == lorae.load(tmp_path / "a").parameter_counts()
    assert before["bytes"] > after["bytes"] == (tmp_path / "a" / "model.safetensors").stat().st_size
    assert before["test_mse"] == labelled.summary()["test_mse"]
    code, printed, _ = run_cli(capsys, "truncate", labelled.path, "--out", tmp_path / "b")
    assert code == 0
    for words in ("encoder parameters", "bytes", "test error", str(tmp_path / "b")):
        assert words in printed


def test_the_command_in_the_config_makes_the_run_again(labelled, cut_runs):
    trained, cut = cut_runs[3].config["command"].split(" && ")
    assert trained == labelled.config["command"]
    assert cut == f"lorae truncate {labelled.path} --rank 3 --out {cut_runs[3].path}"


BAD_INPUT = {
    "too large": (["--rank", "9"], "rank: got '9', expected a whole number of at least 1 and at most 8 (from --rank)"),
    "too small": (["--rank", "0"], "rank: got '0'"),
    "negative": (["--rank", "-2"], "rank: got '-2'"),
    "no number": (["--rank", "few"], "rank: got 'few'"),
    "unknown option": (["--ranks", "3"], "did you mean --rank"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_line_and_exit_code_2_and_makes_no_run(case, labelled, tmp_path, capsys):
    words, expected = BAD_INPUT[case]
    code, printed, errors = run_cli(capsys, "truncate", labelled.path, "--out", tmp_path / "out", *words)
    assert (code, printed) == (2, "")
    assert errors.startswith("lorae: ")
    assert errors.count("\n") == 1
    assert expected in errors
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten_and_nothing_is_cut_twice(labelled, cut_runs, capsys):
    code, _, errors = run_cli(capsys, "truncate", labelled.path, "--rank", 3)
    assert code == 2
    assert "exists and is never overwritten" in errors
    for words in (("truncate", cut_runs[3].path), ("export", cut_runs[3].path, "--rank", 2)):
        code, _, errors = run_cli(capsys, *words)
        assert code == 2
        assert f"is truncated already, to rank 3; cut the run that it came from anew: {str(labelled.path)!r}" in errors


def test_a_method_without_a_matrix_is_refused(image_file, small, tmp_path, capsys):
    settings = {name: value for name, value in small.items() if name != "penalty"}
    run = lorae.train(image_file, out=tmp_path / "run", method="ae", **settings | {"epochs": 1})
    code, _, errors = run_cli(capsys, "truncate", run.path)
    assert code == 2
    assert "has no matrix M to cut, expected a model of one of the methods irmae, lorae" in errors
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_an_interrupted_truncation_is_not_trained_on(labelled, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("lorae.report.write_report", stop)
    with pytest.raises(KeyboardInterrupt):
        lorae.truncate(labelled, 2, tmp_path / "cut")
    with pytest.raises(LoraeError, match=r"was cut from .* nothing to train; delete it and run `lorae truncate"):
        lorae.resume(tmp_path / "cut")


def test_a_run_called_dot_gets_a_neighbour(labelled, tmp_path, monkeypatch):
    shutil.copytree(labelled.path, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    assert lorae.truncate(".", 2).path == tmp_path / "here-rank2"


def test_the_prior_is_as_wide_as_the_code(cut_runs):
    assert inspection.sample(cut_runs[1], 3, sampler="prior").shape[0] == 3
