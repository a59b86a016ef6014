"""The explained variance of a run beside that of PCA, its warning, and the sentence of the report."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

import lorae
from lorae.errors import LoraeWarning
from lorae.evaluation.evaluator import evaluate_training
from lorae.evaluation.figures import explained_warning, measure_explained
from lorae.models import Autoencoder, ModelSpec
from lorae.models.linear_path import start_as_principal_components

pytestmark = pytest.mark.usefixtures("blank_figures")


@pytest.fixture(scope="module")
def plane():
    """Standardized vectors (200, 5) of two directions with noise."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(200, 2)) @ rng.normal(size=(2, 5)) * [1, 10, 1e3, 1, 1] + 20
    return (points + 0.1 * rng.normal(size=points.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def run(plane, small, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LORAE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        return lorae.train(plane, out=tmp_path_factory.mktemp("plane") / "run", **small | {"latent_dim": 4})


def parts(run, data):
    """Model and data of a run, and both splits in units of its error, float64."""
    model, dataset = lorae.load(run), lorae.load_data(data)
    shift, scale = model.scaling.shift.double().numpy(), model.scaling.scale.double().numpy()
    return model, dataset, *((split.inputs - shift) / scale for split in (dataset.train, dataset.test))


def test_pca_gets_as_many_directions_as_the_codes_have(plane, small, tmp_path):
    """Directions of little variance are decoded too, if M has them exactly."""
    run = lorae.train(plane, out=tmp_path / "run", method="lorae+", rank=3, **small | {"latent_dim": 4})
    model = run.load_model()
    with torch.no_grad():
        matrix = model.bottleneck.single_matrix()
        left, _, right = torch.linalg.svd(matrix)
        matrix.copy_(left @ torch.diag(torch.tensor([1.0, 1.0, 1e-4, 0.0])) @ right)
    run.save_model(model)
    evaluate_training(run, model, lorae.load_data(plane))
    assert run.evaluation()["rank"]["rank"] < 3
    assert run.evaluation()["explained"]["rank"] == 3
    cut = lorae.truncate(run, 2, out=tmp_path / "cut", data=plane)
    assert cut.evaluation()["explained"]["rank"] == 2
    assert lorae.evaluate(run, only="explained", quiet=True, data=plane)["explained"]["rank"] == 3


@pytest.mark.parametrize("rank", [0, 1, 2, 4])
def test_both_shares_are_those_of_the_definition(run, plane, rank):
    model, dataset, train, test = parts(run, plane)
    found = measure_explained(model, dataset, rank)
    variance = np.square(test - train.mean(0)).mean()
    error = np.square(
        (model.reconstruct(dataset.test.inputs) - dataset.test.inputs) / model.scaling.scale.numpy()
    ).mean()
    assert found["model"] == pytest.approx(1 - error / variance, rel=1e-4)
    if rank:
        pca = PCA(rank).fit(train)
        error = np.square(pca.inverse_transform(pca.transform(test)) - test).mean()
        assert found["pca"] == pytest.approx(1 - error / variance, rel=1e-6)
    else:
        assert found["pca"] == 0
    assert (found["rank"], found["latent_dim"]) == (rank, 4)
    assert found["protocol"]["pca fitted on"] == f"{len(train)} of {len(train)}"


def test_images_are_compared_in_units_of_their_error(trained, images):
    model, dataset = lorae.load(trained), lorae.load_data(trained.settings.data)
    found = measure_explained(model, dataset, 3)
    train, test = (split.inputs.reshape(len(split), -1) / 255 for split in (dataset.train, dataset.test))
    assert found["variance"] == pytest.approx(np.square(test - train.mean(0)).mean(), rel=1e-9)
    assert found["mse"] == pytest.approx(trained.evaluation()["reconstruction"]["mse"], rel=1e-9)


def test_many_items_are_sampled_and_the_protocol_says_so(run, plane, monkeypatch):
    monkeypatch.setattr("lorae.evaluation.figures.affordable_rows", lambda n, _: min(n, 30))
    model, dataset, *_ = parts(run, plane)
    found = measure_explained(model, dataset, 2)
    assert found["protocol"]["pca fitted on"] == f"30 of {len(dataset.train)}"
    assert found["protocol"]["n"] == f"{min(30, len(dataset.test))} of {len(dataset.test)}"
    assert measure_explained(model, dataset, 2) == found
    assert measure_explained(model, dataset, 2, seed=1)["pca_mse"] != found["pca_mse"]


def explained(mse, pca_mse):
    """A result of `measure_explained` for 26 directions and a variance of 1."""
    return {"variance": 1.0, "rank": 26, "mse": mse, "pca_mse": pca_mse, "model": 1 - mse, "pca": 1 - pca_mse}


@pytest.mark.parametrize(
    ("mse", "pca_mse", "complaint"),
    [
        (0.03, 0.07, None),
        (0.0714, 0.07, None),
        (
            0.072,
            0.07,
            "keeps 92.8% of the variance of test items, less than PCA: PCA with its 26 directions keeps 93.0%",
        ),
        (0.6, 0.61, "keeps 40.0% of the variance of test items, under half: PCA with its 26 directions keeps 39.0%"),
        (1e-7, 1e-30, None),  # exact PCA, and a model in float32
        (
            1e-4,
            1e-30,
            "keeps 99.99% of",
        ),
        (1e-4, 1e-30, "directions keeps 100.00%; "),
    ],
)
def test_a_model_below_pca_or_half_of_the_variance_is_warned_of(mse, pca_mse, complaint):
    warning = explained_warning(explained(mse, pca_mse), "residual")
    if complaint is None:
        assert warning is None
    else:
        assert complaint in str(warning)


def test_the_advice_fits_the_cause():
    behind, low = explained(0.4, 0.3), explained(0.6, 0.61)
    page = "; see docs/metrics.md#explained-variance"
    assert str(explained_warning(behind, "mlp")).endswith("or start as PCA (network=residual)" + page)
    assert str(explained_warning(behind, "residual")).endswith("or fit lorae.LoRAE, which keeps PCA as a floor" + page)
    assert str(explained_warning(low, "residual")).endswith("lower the penalty, or allow more directions" + page)


def test_evaluate_measures_warns_and_the_report_begins_with_it(image_file, small, tmp_path, run_cli):
    trained = lorae.train(image_file, out=tmp_path / "run", **small | {"network": "mnist"})
    with pytest.warns(LoraeWarning, match="explained variance: the model keeps"):
        found = lorae.evaluate(trained, only="explained", quiet=True)["explained"]
    assert found["rank"] == trained.evaluation()["rank"]["rank"]
    sentence = f"{found['rank']} of 8 directions used; explains {found['model']:.1%} of the variance"
    page = (trained.path / "report.html").read_text()
    assert sentence in page
    assert page.index(sentence) < page.index("Test MSE")
    code, printed, errors = run_cli("evaluate", trained.path, "--only", "explained")
    assert code == 0
    assert f"{found['model']:.1%}" in printed
    assert f"{found['pca']:.1%}" in printed
    assert "lorae: warning: explained variance" in errors
    assert "--epochs N" in errors
    assert len(errors.strip().splitlines()) == 1


def test_training_warns_of_it(images, small, tmp_path, run_cli):
    np.save(tmp_path / "images.npy", images)
    with pytest.warns(LoraeWarning, match=r"the model keeps .* PCA with its .* or start as PCA \(network=residual\)"):
        lorae.train(images, out=tmp_path / "array", **small | {"network": "mnist"})
    words = ("--latent-dim", "8", "--width", "0.125", "--epochs", "1", "--penalty", "1e-3", "--network", "mnist")
    code, _, errors = run_cli("train", tmp_path / "images.npy", "--out", tmp_path / "file", *words)
    assert code == 0
    assert "--network residual" in errors
    assert len(errors.strip().splitlines()) == 1


def test_a_network_that_starts_as_pca_is_the_default_of_user_data_and_keeps_as_much(tmp_path):
    rng = np.random.default_rng(0)
    patterns = np.kron(rng.normal(size=(5, 4 * 4 * 3)).reshape(5, 4, 4, 3), np.ones((1, 4, 4, 1)))
    photographs = np.tensordot(rng.uniform(-1, 1, (240, 5)), patterns, 1) + 0.1 * rng.normal(size=(240, 16, 16, 3))
    photographs = np.clip(128 + 30 * photographs, 0, 255).astype(np.uint8)
    run = lorae.train(photographs, out=tmp_path / "run", latent_dim=16, epochs=10)
    explained = run.evaluation()["explained"]
    assert run.settings.network == "residual"
    assert explained["mse"] <= 1.02 * explained["pca_mse"]
    assert explained["model"] > 0.9


def test_training_records_it(run, trained):
    for finished in (run, trained):
        assert {"model", "pca", "rank"} <= set(finished.evaluation()["explained"])


def test_a_model_that_is_pca_explains_what_pca_does(plane):
    dataset = lorae.load_data(plane)
    model = Autoencoder(ModelSpec("residual", (5,), latent_dim=2))
    model.scaling.fit(dataset.train.inputs)
    start_as_principal_components(model, dataset.train.inputs)
    found = measure_explained(model, dataset, 2)
    assert found["mse"] == pytest.approx(found["pca_mse"], rel=1e-4)
    assert explained_warning(found, "residual") is None
