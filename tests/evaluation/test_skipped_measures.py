"""Every measure on data and models that it does not apply to: it is taken, or skipped with its reason."""

import json
import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import lorae
from lorae.errors import CollapsedError, LoraeError, NotApplicableError
from lorae.evaluation import EvaluationSettings
from lorae.evaluation.evaluator import evaluate
from lorae.evaluation.measures import MEASURES
from lorae.metrics.intrinsic_dimension import affordable_points, levina_bickel, two_nn
from lorae.models import Autoencoder
from lorae.runs.run import Run

pytestmark = pytest.mark.usefixtures("blank_figures")

FEW: dict[str, Any] = {
    "n": 40,
    "draws": 1,
    "bootstrap": 5,
    "labels": ("4", "all"),
    "seeds": 1,
    "max_steps": 3,
    "components": 2,
    "features": "raw",
}
DISTANCES = {"fid", "kid", "cmmd", "prdc", "interpolation"}
LABELED = {"probe", "classification", "supervised"}
LATENT = {"rank", "explained", "dimension", "interpolation", "probe", "classification"}


@pytest.fixture(scope="module")
def runs(images, small, tmp_path_factory):
    """Runs of one epoch on labeled gray and color images and vectors, and of a generator."""
    folder = tmp_path_factory.mktemp("runs")
    labels = (images.reshape(len(images), -1).astype(bool).sum(1) > 20).astype(np.int64)
    rng = np.random.default_rng(3)
    kinds = {
        "gray": images,
        "color": images.repeat(3, 1) // np.array([1, 2, 3], np.uint8)[:, None, None],
        "vectors": rng.normal(size=(96, 5)).astype(np.float32),
        "generator": images,
    }
    made = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LORAE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        for kind, items in kinds.items():
            splits = {"train": items[:64], "test": items[64:], "train_labels": labels[:64], "test_labels": labels[64:]}
            np.savez(folder / f"{kind}.npz", **splits)
            method = "gan" if kind == "generator" else "lorae"
            options = {name: value for name, value in small.items() if name != "penalty" or kind != "generator"}
            made[kind] = lorae.train(
                folder / f"{kind}.npz", out=folder / kind, **options | {"method": method, "epochs": 1}
            )
    return made


def first(train, test):
    return lambda data: replace(data, train=data.train.first(train), test=data.test.first(test))


def no_labels(data):
    return _relabeled(data, lambda _: None)


def one_class(data):
    return _relabeled(data, np.zeros_like)


def _relabeled(data, change):
    return replace(
        data,
        train=replace(data.train, labels=change(data.train.labels)),
        test=replace(data.test, labels=change(data.test.labels)),
    )


def equal_items(data):
    """The first training item, in every place."""
    train, test = (np.repeat(data.train.inputs[:1], len(part), axis=0) for part in (data.train, data.test))
    return replace(data, train=replace(data.train, inputs=train), test=replace(data.test, inputs=test))


def constant_columns(data):
    train, test = (part.inputs.copy() for part in (data.train, data.test))
    train[:, 1:], test[:, 1:] = 7, 7
    return replace(data, train=replace(data.train, inputs=train), test=replace(data.test, inputs=test))


def new_class_in_test(data):
    return replace(data, test=replace(data.test, labels=data.test.labels + 1))


def many_classes(data):
    return _relabeled(data, lambda labels: np.arange(len(labels)) % 16)


def same(data):
    return data


# Kind of run, change of the data, and the measures that then do not apply.
DATA = {
    "nothing special": ("gray", same, set()),
    "color": ("color", same, set()),
    "vectors": ("vectors", same, set()),
    "no labels": ("gray", no_labels, LABELED),
    "one class": ("gray", one_class, LABELED),
    "a class that no training item has": ("gray", new_class_in_test, LABELED),
    "more classes than labels": ("gray", many_classes, LABELED),
    "six test items": ("gray", first(64, 6), {"dimension"}),
    "six test vectors": ("vectors", first(64, 6), {"dimension"}),
    "two test items": ("gray", first(64, 2), {"dimension", "prdc"}),
    "one test item": ("gray", first(64, 1), {"dimension", "prdc", "fid", "kid", "cmmd", "interpolation"}),
    "three training items": ("gray", first(3, 32), {"prdc"}),
    "one training item": ("gray", first(1, 32), {"fid", "kid", "cmmd", "prdc"} | LABELED),
    "equal items": ("gray", equal_items, {"dimension", "explained", "fid", "kid", "cmmd", "prdc"}),
    "constant columns": ("vectors", constant_columns, set()),
    "a generator": ("generator", same, LATENT | {"reconstruction", "supervised"}),
}


def collapsed(model):
    """All items have one latent."""
    with torch.no_grad():
        for parameter in model.encoder.output.parameters():
            parameter.zero_()


def diverged(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(torch.nan)


def diverged_decoder(model):
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.fill_(torch.nan)


def rank_one(model):
    with torch.no_grad():
        matrix = model.bottleneck.single_matrix()
        matrix.copy_(torch.outer(matrix[:, 0], matrix[0]))


MODELS = {
    "collapsed": (collapsed, {"dimension", "fid", "kid", "cmmd", "prdc"}),
    "diverged": (diverged, set(MEASURES) - {"supervised"}),
    "a diverged decoder": (diverged_decoder, {"reconstruction", "explained"} | DISTANCES),
    "rank 1": (rank_one, set()),
}


@pytest.fixture
def measured(runs, tmp_path):
    """A function that takes all measures of a run with other data or weights: the run, the numbers, the reasons."""

    def measured(kind, data=same, model=None, only=MEASURES, **options):
        run = Run(shutil.copytree(runs[kind].path, tmp_path / "run"))
        network = run.load_model()
        if model is not None:
            model(network)
        dataset = data(lorae.load_data(run.settings.data))
        settings = EvaluationSettings(**FEW | options)
        found = evaluate(run, network, dataset, settings, only=only, figures=False, quiet=True)
        return run, {name: found[name] for name in found if name != "skipped"}, found.get("skipped", {})

    return measured


def check(measured, expected):
    run, results, reasons = measured
    assert set(reasons) == expected
    assert set(results) == set(MEASURES) - expected
    for reason in reasons.values():
        assert len(reason) > 15
        assert "\n" not in reason
    stored = json.loads((run.path / "evaluation.json").read_text())
    assert stored.get("skipped", {}) == reasons
    json.dumps(results, allow_nan=False)
    assert {name: stored[name] for name in results} == results


@pytest.mark.filterwarnings("ignore:frechet distance")
@pytest.mark.parametrize("name", DATA)
def test_a_measure_that_the_data_do_not_allow_is_skipped_with_its_reason(name, measured):
    kind, change, expected = DATA[name]
    check(measured(kind, change), expected)


@pytest.mark.filterwarnings("ignore:frechet distance")
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", ["gray", "vectors"])
def test_a_measure_that_the_model_does_not_allow_is_skipped_with_its_reason(name, kind, measured):
    change, expected = MODELS[name]
    check(measured(kind, model=change), expected)


@pytest.mark.parametrize("name", sorted(DISTANCES))
def test_without_the_weights_of_inception_the_other_measures_are_taken(name, measured, monkeypatch, tmp_path):
    asked = []

    def unreachable(url):
        asked.append(url)
        raise LoraeError("no network")

    monkeypatch.setattr("lorae.features.inception.download", unreachable)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("LORAE_INCEPTION", raising=False)
    _, results, reasons = measured("color", only=["rank", *DISTANCES], features=None)
    assert set(results) == {"rank"}
    assert set(reasons) == DISTANCES
    assert "cannot download its weights (no network)" in reasons[name]
    assert "--features lite0" in reasons[name]
    assert len(asked) == 1  # not once a measure, with its minute of waiting


@pytest.mark.parametrize(("features", "kind"), [("digits", "color"), ("digits", "vectors"), ("lite0", "vectors")])
def test_a_network_that_the_items_do_not_fit_stops_the_distances_only(features, kind, measured):
    if features == "lite0":
        pytest.importorskip("efficientnet_lite_pytorch")
    _, results, reasons = measured(kind, only=["reconstruction", *DISTANCES], features=features)
    assert set(results) == {"reconstruction"}
    assert set(reasons) == DISTANCES


def test_features_that_the_user_misspelled_are_an_error_before_anything_is_measured(measured, runs):
    with pytest.raises(LoraeError, match="features: got 'incepton'"):
        measured("gray", features="incepton")


@pytest.mark.parametrize(("name", "change"), [("dimension", first(64, 6)), ("probe", no_labels), ("kid", first(64, 1))])
def test_a_measure_alone_that_does_not_apply_is_the_error_and_recorded(name, change, measured, tmp_path):
    with pytest.raises(NotApplicableError) as caught:
        measured("gray", change, only=[name])
    assert Run(tmp_path / "run").evaluation()["skipped"] == {name: str(caught.value)}


def test_several_measures_that_do_not_apply_are_one_line(measured):
    with pytest.raises(LoraeError) as caught:
        measured("gray", lambda data: no_labels(first(64, 6)(data)), only=["probe", "dimension"])
    assert str(caught.value).startswith("probe: the data")
    assert "; dimension: points: got 6 different ones" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:frechet distance")
def test_a_collapsed_model_alone_is_recorded_by_studies_as_collapsed(measured):
    with pytest.raises(CollapsedError, match="latents: all are the same"):
        measured("gray", model=collapsed, only=["fid"])


@pytest.mark.parametrize("error", [ZeroDivisionError, LoraeError, np.linalg.LinAlgError])
def test_any_other_error_is_no_reason_to_skip(error, measured, monkeypatch):
    def broken(_):
        raise error("broken")

    monkeypatch.setitem(MEASURES, "rank", replace(MEASURES["rank"], take=broken))
    with pytest.raises(error, match="broken"):
        measured("gray", only=["reconstruction", "rank"])


def test_a_reason_goes_once_the_measure_is_taken_and_numbers_stay_where_it_no_longer_applies(runs, tmp_path):
    run = Run(shutil.copytree(runs["gray"].path, tmp_path / "run"))
    data, settings = lorae.load_data(run.settings.data), EvaluationSettings(**FEW)

    def take(data, *only):
        evaluate(run, run.load_model(), data, settings, only=["reconstruction", *only], figures=False, quiet=True)
        return run.evaluation()

    assert set(take(first(64, 6)(data), "dimension")["skipped"]) == {"dimension"}
    assert set(take(no_labels(data), "probe")["skipped"]) == {"dimension", "probe"}
    assert set(take(data, "dimension")["skipped"]) == {"probe"}
    measured = take(data, "probe")
    assert "skipped" not in measured
    again = take(first(64, 6)(data), "dimension")
    assert again["dimension"] == measured["dimension"]
    assert set(again["skipped"]) == {"dimension"}


def test_printout_and_page_name_the_reasons(runs, tmp_path, run_cli):
    run = Run(shutil.copytree(runs["vectors"].path, tmp_path / "run"))
    with np.load(run.settings.data) as splits:
        np.savez(tmp_path / "few.npz", train=splits["train"], test=splits["test"][:6])
    run = lorae.train(tmp_path / "few.npz", out=tmp_path / "few", method="lorae", latent_dim=3, epochs=1, quiet=True)
    code, printed, errors = run_cli("evaluate", run.path, "--only", "rank,dimension,probe")
    assert (code, errors) == (0, "")
    assert "skipped     dimension: points: got 6 different ones, expected at least 10 for a dimension" in printed
    assert "skipped     probe: the data" in printed
    page = (run.path / "report.html").read_text()
    assert "Not measured" in page
    assert "points: got 6 different ones" in page
    code, printed, errors = run_cli("evaluate", run.path, "--only", "dimension,probe")
    assert (code, printed) == (2, "")
    assert len(errors.strip().splitlines()) == 1
    assert "expected at least 10 for a dimension" in errors
    assert run_cli("evaluate", run.path, "--only", "rank,dimension", "--json")[0] == 0


def test_of_many_items_a_sample_is_compared_and_the_protocol_says_so(runs, measured, monkeypatch):
    whole = measured("gray", only=["dimension"])[1]["dimension"]
    assert whole["protocol"]["n"] == 32
    assert whole["protocol"]["sampled"] == "all items"
    monkeypatch.setattr("lorae.metrics.intrinsic_dimension.MOST_ITEMS", 20)
    run = Run(runs["gray"].path)
    data = lorae.load_data(run.settings.data)
    settings = EvaluationSettings(**FEW)
    found, again = (
        evaluate(run, run.load_model(), data, settings, only=["dimension"], figures=False, quiet=True) for _ in range(2)
    )
    assert found == again
    found = found["dimension"]
    assert found["protocol"]["n"] == 20
    assert found["protocol"]["sampled"] == "20 of 32 at random, seed 0"
    rows = np.sort(np.random.default_rng(0).permutation(32)[:20])
    assert found["mle"]["items"] == levina_bickel(data.test.inputs[rows])
    # The evaluation encodes in channels-last order, which rounds differently.
    latents = run.load_model().encode(data.test.inputs)[rows]
    assert found["two_nn"]["latents"] == pytest.approx(two_nn(latents), rel=1e-3)


@pytest.mark.parametrize(("width", "expected"), [(2, 10_000), (784, 10_000), (1024, 10_000), (12_288, 2991)])
def test_all_pairs_of_mnist_are_compared_and_of_larger_images_fewer(width, expected):
    assert affordable_points(10**6, width) == expected
    assert affordable_points(50, width) == 50


@pytest.mark.usefixtures("blank_figures")
def test_a_test_error_that_is_not_finite_is_skipped_at_the_end_of_a_training(image_file, small, tmp_path, monkeypatch):
    """The run is finished and can be read: JSON has no infinity, and readers refuse one."""
    save, errors = Run.save_weights, Autoencoder.squared_errors

    def save_and_diverge(run, model):
        save(run, model)
        monkeypatch.setattr(Autoencoder, "squared_errors", lambda model, items: errors(model, items) * np.inf)

    monkeypatch.setattr(Run, "save_weights", save_and_diverge)
    lorae.train(str(image_file), out=tmp_path / "run", **small)
    run = lorae.resume(tmp_path / "run")
    assert run.finished
    assert run.summary()["test_mse"] is None
    assert "got a reconstruction error of inf; the model has diverged" in run.evaluation()["skipped"]["reconstruction"]
