import doctest
import importlib
import inspect
import pkgutil
from importlib.util import find_spec

import numpy as np
import pytest

import lorae

# Modules that run something when they are imported, or need Triton, which comes with torch for GPUs only.
LEFT_OUT = {"lorae.__main__"} | ({"lorae.linalg.polar_kernel"} if find_spec("triton") is None else set())


def modules():
    return [
        importlib.import_module(module.name)
        for module in pkgutil.walk_packages(lorae.__path__, "lorae.")
        if module.name not in LEFT_OUT
    ]


def test_the_public_names_stay_functions_and_classes_once_everything_is_imported():
    assert modules()
    for name in lorae.__all__:
        if name not in ("__version__", "LoraeError", "LoraeWarning", "nn"):
            assert inspect.isfunction(getattr(lorae, name)) or inspect.isclass(getattr(lorae, name)), name
    assert inspect.ismodule(lorae.nn)
    assert set(lorae.__all__) <= set(dir(lorae))
    with pytest.raises(AttributeError, match="'nothing'"):
        _ = lorae.nothing


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.__name__)
def test_examples_in_docstrings_run(module):
    # A docstring's example may use what its module imports.
    result = doctest.testmod(module, extraglobs={"np": np, "lorae": lorae})
    assert result.failed == 0


def test_model_of_a_run_encodes_decodes_and_measures(trained, images):
    model = lorae.load(trained)
    codes = model.encode(images)
    assert codes.shape == (96, 8)
    np.testing.assert_allclose(model.decode(codes), model.reconstruct(images), atol=1e-6)
    spectrum = model.spectrum(images)
    assert spectrum.rank == spectrum.to_json()["rank"] <= 8
    assert lorae.load(trained.path).spec == model.spec


def test_evaluation_travels_with_its_protocol(trained):
    evaluation = trained.evaluation()
    for part in ("reconstruction", "rank"):
        assert evaluation[part]["protocol"]
        assert evaluation[part]["n"] == len(lorae.load_data(trained.settings.data).test)
    assert evaluation["rank"]["tolerance"] == 1e-3


def test_spectrum_at_another_tolerance(trained):
    strict, loose = (lorae.spectrum(trained, tolerance=tolerance) for tolerance in (1e-6, 0.5))
    assert strict.rank >= loose.rank
    assert trained.evaluation()["rank"]["tolerance"] == 1e-3  # looking does not change the record
    with pytest.raises(lorae.LoraeError, match="tolerance: got 2, expected a number between 0 and 1"):
        lorae.spectrum(trained, tolerance=2)


@pytest.mark.parametrize("layout", ["nhw", "nchw", "nhwc", "float"])
def test_images_in_every_usual_layout_are_the_same_run(layout, images, small, tmp_path):
    arrays = {
        "nhw": images[:, 0],
        "nchw": images,
        "nhwc": images.transpose(0, 2, 3, 1),
        "float": images.astype(np.float32) / 255,
    }
    run = lorae.train(arrays[layout], out=tmp_path / "run", **small | {"epochs": 1})
    assert run.config["data"]["shape"] == [1, 16, 16]


@pytest.mark.parametrize(
    ("n", "settings", "epochs"),
    [
        (100, {}, 667),  # 80 training items, 3 steps of 32
        (100, {"batch_size": 8}, 200),
        (100, {"epochs": 2}, 2),
        (40_000, {}, 50),  # a thousand steps an epoch: the paper's number
    ],
)
def test_small_data_get_enough_steps_by_default(n, settings, epochs):
    vectors = np.random.default_rng(0).normal(size=(n, 4))
    planned = lorae.plan(vectors, test_fraction=0.2, **settings)
    assert planned["settings"]["epochs"] == epochs


def test_small_networks_train_on_one_thread():
    import torch

    vectors = np.random.default_rng(0).normal(size=(50, 4))
    assert lorae.plan(vectors)["machine"]["threads"] == 1
    pictures = np.random.default_rng(0).integers(0, 256, (50, 16, 16)).astype(np.uint8)
    assert lorae.plan(pictures)["machine"]["threads"] == torch.get_num_threads()
