import json
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import lorae
from lorae import LoraeWarning
from lorae.config.evaluation_settings import SAMPLER_NAMES
from lorae.evaluation import EvaluationSettings
from lorae.evaluation.classification import classify
from lorae.evaluation.measures import MEASURES
from lorae.metrics.intrinsic_dimension import levina_bickel
from lorae.samplers import SAMPLERS

pytestmark = pytest.mark.usefixtures("blank_figures")

MODULE = """
import torch

class Corners(torch.nn.Module):
    def forward(self, x):
        h, w = x.shape[2] // 2, x.shape[3] // 2
        return torch.stack([x[..., :h, :w].mean((1, 2, 3)), x[..., h:, w:].mean((1, 2, 3)), x.amax((1, 2, 3))], 1)
"""
FEW: dict[str, Any] = {
    "n": 60,
    "draws": 2,
    "bootstrap": 20,
    "labels": "4,all",
    "seeds": 2,
    "max_steps": 20,
    "components": 2,
}


@pytest.fixture(scope="module")
def corners(tmp_path_factory):
    """The address of a network of the user's: three features of an image."""
    path = tmp_path_factory.mktemp("features") / "corners.py"
    path.write_text(MODULE)
    return f"{path}:Corners"


@pytest.fixture(scope="module")
def labelled(images, small, tmp_path_factory):
    """A finished run on squares whose size is their label."""
    folder = tmp_path_factory.mktemp("labelled")
    sizes = (images.reshape(len(images), -1).astype(bool).sum(1) > 20).astype(np.int64)
    splits = {"train": images[:64], "test": images[64:], "train_labels": sizes[:64], "test_labels": sizes[64:]}
    np.savez(folder / "squares.npz", **splits)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LORAE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        return lorae.train(folder / "squares.npz", out=folder / "run", method="lorae", **small)


@pytest.fixture(scope="module")
def evaluated(labelled, corners, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LORAE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        return lorae.evaluate(labelled, features=corners, quiet=True, **FEW)


def test_samplers_of_the_settings_are_those_of_the_table():
    assert set(SAMPLER_NAMES) == set(SAMPLERS)


def test_everything_but_the_slow_is_measured_and_every_number_has_its_protocol(evaluated):
    assert set(evaluated) == {name for name, measure in MEASURES.items() if not measure.slow}
    assert json.loads(json.dumps(evaluated)) == evaluated
    for part in ("gaussian", "mixture", "reconstructions", "floor"):
        assert evaluated["fid"][part]["value"] >= 0
        protocol = evaluated["fid"][part]["protocol"]
        assert {"features", "weights", "reference", "reference n", "quantisation", "seed", "data"} <= set(protocol)
    fitted = evaluated["fid"]["mixture"]["protocol"]
    assert fitted["components"] == 2
    assert fitted["generated"] == FEW["n"]
    assert fitted["density fitted on"] == "train"
    assert "variance dropped" in fitted
    for measure in ("reconstruction", "rank", "dimension", "interpolation", "probe", "classification"):
        assert evaluated[measure]["protocol"], measure


def test_draws_have_a_mean_and_a_spread(evaluated):
    for sampler in ("gaussian", "mixture"):
        result = evaluated["fid"][sampler]
        assert len(result["values"]) == FEW["draws"]
        assert result["value"] == pytest.approx(np.mean(result["values"]))
        assert result["sd"] == pytest.approx(np.std(result["values"], ddof=1))


def test_midpoints_lie_where_they_should(labelled, corners, evaluated):
    """Against the formula, by eigenvalues, on the features that the network of the fixture has by definition."""
    model, test = lorae.load(labelled), lorae.load_data(labelled.settings.data).test.inputs
    latents = model.encode(test)
    first, second = np.random.default_rng(0).integers(len(latents), size=(2, FEW["n"]))

    def features(items):
        x = items[:, 0]
        return np.stack([x[:, :8, :8].mean((1, 2)), x[:, 8:, 8:].mean((1, 2)), x.max((1, 2))], 1)

    decoded = model.decode((latents[first] + latents[second]) / 2).clip(0, 1)
    ours, theirs = features(np.round(decoded * 255) / 255), features(test / 255)
    (mean, other_mean), (covariance, other) = (
        [statistic(found) for found in (ours, theirs)] for statistic in (lambda f: f.mean(0), lambda f: np.cov(f.T))
    )
    cross = np.sqrt(np.linalg.eigvals(covariance @ other).real.clip(0)).sum()
    expected = np.square(mean - other_mean).sum() + np.trace(covariance) + np.trace(other) - 2 * cross
    assert evaluated["interpolation"]["value"] == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_results_are_the_same_again(labelled, corners, evaluated):
    again = lorae.evaluate(labelled, only="fid,kid,cmmd,rank", features=corners, quiet=True, **FEW)
    for measure in ("fid", "kid", "cmmd", "rank"):
        assert again[measure] == evaluated[measure]


def test_reconstruction_and_rank_agree_with_the_end_of_training(labelled, evaluated):
    summary = labelled.summary()
    assert evaluated["rank"]["rank"] == summary["rank"]
    assert evaluated["reconstruction"]["mse"] == pytest.approx(summary["test_mse"])
    low, high = evaluated["rank"]["interval"]["rank"]
    assert low <= evaluated["rank"]["rank"] <= high


def test_figures_and_page_are_there(labelled, evaluated):
    for name in ("samples-gaussian", "samples-mixture", "interpolation-linear", "interpolation-spherical"):
        assert labelled.figure_path(name).is_file()
    page = (labelled.path / "report.html").read_text()
    assert "Samples from a mixture" in page
    assert "FID, Gaussian" in page
    assert "How the other numbers were measured" in page


def test_a_fitted_density_is_kept_without_pickles_and_used_again(labelled, monkeypatch):
    first = lorae.sample(labelled, 5, sampler="mixture", components=2)
    monkeypatch.setattr("lorae.evaluation.context.fit_density", lambda *_, **__: pytest.fail("fitted again"))
    assert np.array_equal(first, lorae.sample(labelled, 5, sampler="mixture", components=2))
    for path in (labelled.path / "samplers").glob("*.npz"):
        with np.load(path, allow_pickle=False) as arrays:
            assert all(arrays[name].dtype != object for name in arrays.files)


@pytest.mark.parametrize("sampler", list(SAMPLERS))
def test_samples_are_images_and_follow_the_seed(labelled, sampler):
    items = lorae.sample(labelled, 7, sampler=sampler, components=2, seed=1)
    assert items.shape == (7, 1, 16, 16)
    assert items.dtype == np.uint8
    assert np.array_equal(items, lorae.sample(labelled, 7, sampler=sampler, components=2, seed=1))
    # Many items: those of a network of a few steps vary by less than a level of gray on some processors.
    one, other = (lorae.sample(labelled, 500, sampler=sampler, components=2, seed=seed) for seed in (1, 2))
    assert not np.array_equal(one, other)
    assert labelled.figure_path(f"samples-{sampler}").is_file()


@pytest.mark.parametrize("suffix", [".npy", ".npz", ""])
def test_samples_go_where_they_are_sent(labelled, tmp_path, run_cli, suffix):
    out = tmp_path / f"items{suffix}"
    code, printed, _ = run_cli("sample", labelled.path, "-n", 3, "--out", out, "--json")
    assert code == 0
    assert json.loads(printed)["n"] == 3
    expected = lorae.sample(labelled, 3)
    if suffix == ".npy":
        found = np.load(out)
    elif suffix == ".npz":
        found = np.load(out)["images"]
    else:
        found = np.stack([np.asarray(Image.open(path)) for path in sorted(out.iterdir())])[:, None]
    assert np.array_equal(found, expected)
    assert lorae.fid(out, expected, features=_Means())["fid"] < 1e-9
    assert run_cli("sample", labelled.path, "--out", out)[0] == 2


class _Means(torch.nn.Module):
    """Two features of an image."""

    def forward(self, x):
        return torch.stack([x.mean((1, 2, 3)), x.square().mean((1, 2, 3))], 1)


def test_vectors_are_sampled_and_measured(vectors, small, tmp_path):
    run = lorae.train(vectors, out=tmp_path / "run", **small | {"latent_dim": 4})
    assert lorae.sample(run, 9, data=vectors).shape == (9, 6)
    result = lorae.evaluate(run, data=vectors, only="fid,dimension,prdc", quiet=True, n=200, components=2)
    assert result["fid"]["floor"]["protocol"]["features"] == "raw"
    assert (run.path / "figures" / "samples-gaussian.png").is_file()
    test = lorae.load_data(vectors).test.inputs
    assert result["dimension"]["mle"]["items"] == levina_bickel(test)
    assert result["dimension"]["mle"]["latents"] == levina_bickel(lorae.load(run).encode(test))
    assert "20 neighbours" in result["dimension"]["protocol"]["mle"]
    with pytest.raises(lorae.LoraeError, match="vectors"):
        lorae.interpolate(run, data=vectors)


def test_interpolations_start_and_end_at_the_reconstructions(labelled):
    paths = lorae.interpolate(labelled, pairs=[(0, 1), (2, 3)], steps=4)
    test = lorae.load_data(labelled.settings.data).test.inputs
    ends = lorae.load(labelled).reconstruct(test[:4])
    expected = np.rint(np.clip(ends, 0, 1) * 255)
    for name in ("linear", "spherical"):
        assert paths[name].shape == (2, 4, 1, 16, 16)
        for pair in (0, 1):
            assert np.abs(paths[name][pair, 0] - expected[2 * pair]).max() <= 1
            assert np.abs(paths[name][pair, -1] - expected[2 * pair + 1]).max() <= 1


def test_compare_prints_a_table_and_writes_a_page(labelled, trained, evaluated, tmp_path, run_cli):
    page = tmp_path / "page.html"
    code, printed, _ = run_cli("compare", labelled.path, trained.path, "--out", page)
    assert code == 0
    assert "FID, Gaussian" in printed
    assert "Samples from a Gaussian" in page.read_text()
    code, printed, _ = run_cli("compare", labelled.path, trained.path, "--out", page, "--json")
    rows = json.loads(printed)["runs"]
    assert [row["run"] for row in rows] == [str(labelled.path), str(trained.path)]
    assert rows[0]["fid_gaussian"] == evaluated["fid"]["gaussian"]["value"]
    assert run_cli("compare", labelled.path)[0] == 2


def test_evaluate_prints_what_it_measured(labelled, run_cli, evaluated):
    words = ("evaluate", labelled.path, "--only", "rank,reconstruction", "--bootstrap", 5)
    code, printed, errors = run_cli(*words)
    assert (code, errors) == (0, "")
    assert "test MSE" in printed
    code, printed, _ = run_cli(*words, "--json")
    assert json.loads(printed)["rank"]["rank"] == evaluated["rank"]["rank"]


def test_fid_of_two_folders(images, tmp_path, corners, run_cli):
    for name, part in (("a", images[:40]), ("b", images[40:])):
        (tmp_path / name).mkdir()
        for index, image in enumerate(part):
            Image.fromarray(image[0]).save(tmp_path / name / f"{index}.png")
    code, printed, _ = run_cli("fid", tmp_path / "a", tmp_path / "b", "--features", corners, "--json")
    assert code == 0
    result = json.loads(printed)
    assert result["n"] == [40, 56]
    assert result["fid"] > 0
    code, printed, _ = run_cli("fid", tmp_path / "a", tmp_path / "a", "--features", corners)
    assert code == 0
    assert "FID         0.0000" in printed
    assert float(printed.split("CMMD")[1].split()[0]) <= 0  # unbiased: below zero for equal sets


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "fud"], "only: got 'fud', expected some of reconstruction"),
        (["--samplers", "gausian"], "samplers: got 'gausian'"),
        (["--labels", "ten"], "labels: got 'ten'"),
        (["--n", "1"], "n: got '1'"),
        (["--features", "incepton"], "features: got 'incepton'"),
        (["--features", "nowhere.py:Net"], "cannot import 'nowhere.py:Net'"),
        (["--only", "fid", "--features", "inception", "--features-weights", "nothing.pth"], "nothing.pth"),
        (["--only", "fid", "--features", "raw", "--features-weights", "x"], "features_weights: got 'x'"),
        (["--only", "fid", "--features", "raw", "--features-weights", "x"], "for inception, dinov2, clip only"),
    ],
)
def test_bad_input_gets_one_line(labelled, run_cli, words, message):
    before = labelled.evaluation()
    code, printed, errors = run_cli("evaluate", labelled.path, *words)
    assert code == 2
    assert printed == ""
    assert message in errors
    assert len(errors.strip().splitlines()) == 1
    assert labelled.evaluation() == before


def test_measures_that_need_labels(trained, run_cli):
    code, _, errors = run_cli("evaluate", trained.path, "--only", "probe")
    assert code == 2
    assert "have no labels" in errors


def test_more_components_than_latents_is_an_error(labelled, run_cli, corners):
    words = ("--only", "fid", "--features", corners, "--components", 65, "--n", 50)
    code, _, errors = run_cli("evaluate", labelled.path, *words)
    assert code == 2
    assert "components: got 65, expected at most the 64 latents" in errors


def test_too_few_items_for_the_features_are_a_warning_with_numbers(images, run_cli, tmp_path):
    np.save(tmp_path / "a.npy", images[:20])
    np.save(tmp_path / "b.npy", images[20:40])
    code, _, errors = run_cli("fid", tmp_path / "a.npy", tmp_path / "b.npy", "--features", "raw")
    assert code == 0
    assert "lorae: warning: frechet distance: 20 items" in errors
    assert "256 features" in errors


def test_too_few_midpoints_are_a_warning_as_well(labelled, corners):
    with pytest.warns(LoraeWarning, match="3 midpoints"):
        lorae.evaluate(labelled, only="interpolation", features=corners, quiet=True, **FEW | {"n": 3})


@pytest.mark.parametrize("name", ["features", "samplers", "n", "reference", "labels", "protocol"])
def test_every_setting_has_a_meaning(name):
    field = EvaluationSettings.__dataclass_fields__[name]
    assert len(field.metadata["meaning"]) > 10


@pytest.mark.parametrize("method", ["lorae", "vae"])
def test_the_authors_code_classifies_what_comes_before_the_matrix_or_the_latents_where_there_is_none(
    method, labelled, small, tmp_path
):
    data = labelled.settings.data
    run = (
        labelled
        if method == "lorae"
        else lorae.train(data, out=tmp_path / "run", **small | {"method": "vae", "penalty": 1.0})
    )
    options = {"protocol": "authors_code", "labels": ("10",), "seeds": 2, "max_steps": 20}
    found = lorae.evaluate(run, only="classification", quiet=True, **options)["classification"]
    model, dataset = lorae.load(run), lorae.load_data(data)
    take = model.encoder_outputs if method == "lorae" else model.encode
    train, test = dataset.train, dataset.test
    expected = classify(
        take(train.inputs),
        train.labels,
        take(test.inputs),
        test.labels,
        counts=[10],
        seeds=range(2),
        max_steps=20,
        protocol="authors_code",
    )
    assert found["10"] == expected["10"]
    assert found["protocol"]["features"] == ("before M" if method == "lorae" else "the latents")
