"""Arrays for the figures of a report: computed at the end of a training, or from what a run keeps without its data."""

import shutil

import numpy as np
import pytest
import torch

import lorae
from lorae.evaluation.figure_data import AXES, EXTREMES, REACH, STEPS, figure_data
from lorae.runs.run import Run

pytestmark = pytest.mark.usefixtures("blank_figures")


@pytest.fixture(scope="module")
def data(trained):
    return trained.figure_data.read()


def test_errors_are_those_of_the_test_items(trained, data):
    model, test = lorae.load(trained), lorae.load_data(trained.settings.data).test.inputs
    np.testing.assert_allclose(data.errors, model.squared_errors(test), rtol=1e-5)
    assert float(data.errors.mean()) == pytest.approx(trained.evaluation()["reconstruction"]["mse"], rel=1e-5)
    order = np.argsort(data.errors)
    kept = min(EXTREMES, len(order) // 2)
    np.testing.assert_array_equal(data.worst[:, 0], test[order[::-1][:kept]])
    np.testing.assert_array_equal(data.best[:, 0], test[order[:kept]])
    np.testing.assert_allclose(data.worst_errors, np.sort(data.errors)[::-1][:kept])
    assert data.worst_errors.min() >= data.best_errors.max()


def test_traversals_run_along_the_axes_that_a_truncation_keeps(trained, data):
    model, outputs = lorae.load(trained), trained.encoder_outputs()
    truncation = model.truncation_of(outputs, 2)
    codes = truncation.codes(outputs)
    small = model.truncated(truncation)
    for axis in range(min(2, len(data.traversals))):
        step = np.zeros((STEPS, 2), np.float32)
        step[:, axis] = np.linspace(-REACH, REACH, STEPS) * codes[:, axis].std(ddof=1)
        expected = np.clip(small.decode(step), 0, 1) * 255
        # The others stay at their means in both.
        np.testing.assert_allclose(data.traversals[axis].astype(float), expected, atol=1.0)
    assert len(data.traversals) <= AXES
    np.testing.assert_allclose(data.positions[[0, -1]], [-REACH, REACH])
    assert 0 < data.shares.sum() <= 1.0 + 1e-6


def test_codes_are_those_of_test_items_with_their_labels(images, small, tmp_path):
    labels = np.arange(len(images)) % 3
    np.savez(tmp_path / "images.npz", images=images, labels=labels)
    run = lorae.train(str(tmp_path / "images.npz"), out=tmp_path / "run", **small)
    found = run.figure_data.read()
    test = lorae.load_data(str(tmp_path / "images.npz")).test
    np.testing.assert_array_equal(found.labels, test.labels)
    assert found.codes.shape == (len(test), 2)
    assert found.codes_of_test.tolist() == [1]


def test_vectors_are_in_standardized_units(vectors, small, tmp_path):
    run = lorae.train(vectors * 1000, out=tmp_path / "run", **small | {"latent_dim": 4})
    found, model = run.figure_data.read(), lorae.load(run)
    test = lorae.load_data(vectors * 1000).test.inputs
    expected = (test[:32] - model.scaling.shift.numpy()) / model.scaling.scale.numpy()
    np.testing.assert_allclose(found.originals, expected, atol=1e-4)
    assert np.abs(found.traversals).max() < 20


def test_large_images_are_kept_small():
    model = lorae.Autoencoder(lorae.models.autoencoder.ModelSpec("mnist", (3, 128, 64), 4, width=0.125)).eval()
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 128, 64), dtype=np.uint8)
    found = figure_data(model, images, None)
    assert found.originals.shape == found.reconstructions.shape == (5, 3, 64, 32)
    np.testing.assert_allclose(found.originals.mean(), images.mean(), atol=1)


def test_without_the_data_they_are_of_what_a_run_keeps(trained):
    data = figure_data(trained.load_model(), trained.reference_items(), trained.encoder_outputs())
    assert data.codes_of_test.tolist() == [0]
    assert data.labels is None
    assert len(data.errors) == len(data.originals) == len(trained.reference_items())
    np.testing.assert_array_equal(data.traversals, trained.figure_data.read().traversals)


@pytest.mark.filterwarnings("ignore::lorae.LoraeWarning")
def test_the_report_of_a_run_from_before_is_completed_from_what_it_keeps(trained, tmp_path):
    folder = shutil.copytree(trained.path, tmp_path / "old")
    (folder / "figure_data.safetensors").unlink()
    lorae.write_report(folder)
    found = Run(folder).figure_data.read()
    np.testing.assert_array_equal(found.originals, trained.figure_data.read().originals)
    np.testing.assert_array_equal(found.traversals, trained.figure_data.read().traversals)
    assert found.codes_of_test.tolist() == [0]
    # With the data at hand, all test items take the place of those that the run keeps.
    lorae.evaluate(folder, only="explained", quiet=True)
    found = Run(folder).figure_data.read()
    np.testing.assert_array_equal(found.errors, trained.figure_data.read().errors)
    assert found.codes_of_test.tolist() == [1]


def test_damaged_arrays_are_replaced_by_an_evaluation_and_those_of_test_items_stay(trained, tmp_path):
    folder = shutil.copytree(trained.path, tmp_path / "run")
    path = folder / "figure_data.safetensors"
    content, time = path.read_bytes(), path.stat().st_mtime_ns
    lorae.evaluate(folder, only="explained", quiet=True)
    assert path.stat().st_mtime_ns == time
    path.write_bytes(content[:100])
    lorae.evaluate(folder, only="explained", quiet=True)
    assert Run(folder).figure_data.read().codes_of_test.tolist() == [1]


@pytest.mark.parametrize("broken", ["encoder.output.weight", "decoder.input.weight"])
def test_a_diverged_model_has_no_figure_and_no_error(broken, images):
    model = lorae.Autoencoder(lorae.models.autoencoder.ModelSpec("mnist", (1, 16, 16), 4, width=0.125)).eval()
    with torch.no_grad():
        dict(model.named_parameters())[broken].fill_(torch.nan)
    found = figure_data(model, images, None)
    assert found.originals is found.errors is found.worst is found.traversals is None
