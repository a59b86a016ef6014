"""Vectors far from zero: a constant that is added to the columns changes no code and no error."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import lorae
from lorae.data import DataSettings, load_data
from lorae.models.autoencoder import Autoencoder, ModelSpec
from lorae.models.scaling import Scaling

# Multiples of 1/64 in 256 rows: with the constants below, sums and means in float64 are exact.
NEAR = np.round(64 * np.random.default_rng(0).normal(size=(256, 4)) @ np.diag([1, 2, 3, 30.0])) / 64
CONSTANTS = np.array([2.0**30, -(2.0**30), 0.0, 2.0**31])  # as many seconds as in 34 and 68 years
FAR = NEAR + CONSTANTS


def train(data, out, **settings):
    # A network that starts as PCA has gradients of zero but for rounding, which Adam enlarges.
    small = {
        "network": "mlp",
        "method": "lorae",
        "latent_dim": 3,
        "epochs": 2,
        "batch_size": 64,
        "device": "cpu",
        "quiet": True,
    }
    return lorae.train(data, out=out, **small | settings)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return train(NEAR, folder / "near"), train(FAR, folder / "far")


def relative(found, expected):
    return np.abs(np.asarray(found) - expected).max() / np.abs(np.asarray(expected)).max()


def test_distinct_values_stay_distinct():
    """Seconds of one day: float32 keeps a handful of them."""
    seconds = 1.7e9 + np.arange(0, 27000, 100.0)[:, None] + np.zeros(2)
    assert len(np.unique(seconds.astype(np.float32))) < 270
    dataset = load_data(DataSettings(data="array"), seconds)
    values = np.concatenate([dataset.train.inputs, dataset.test.inputs])[:, 0]
    np.testing.assert_array_equal(np.sort(values), seconds[:, 0])


@pytest.mark.parametrize("kind", ["array", "npy", "npz", "npz with a split"])
def test_every_entrance_keeps_them(tmp_path, monkeypatch, kind):
    monkeypatch.setenv("LORAE_CACHE", str(tmp_path / "cache"))
    path = tmp_path / f"vectors.{kind[:3]}"
    if kind == "npy":
        np.save(path, FAR)
    elif kind == "npz":
        np.savez(path, FAR)
    else:
        np.savez(path, train=FAR[:200], test=FAR[200:])
    for _ in range(2):  # prepared, and from the cache
        given = (DataSettings(data="array"), FAR) if kind == "array" else (DataSettings(data=str(path)),)
        dataset = load_data(*given)
        found = np.concatenate([dataset.train.inputs, dataset.test.inputs])
        assert found.dtype == np.float64
        np.testing.assert_array_equal(found[np.lexsort(found.T)], FAR[np.lexsort(FAR.T)])


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (NEAR, np.float32),
        (NEAR + 10, np.float32),
        (NEAR.astype(np.float32) + 1000, np.float32),  # whatever was lost is lost
        (np.rint(NEAR).astype(np.int64), np.float32),
        (np.rint(FAR).astype(np.int64), np.float64),
        (np.column_stack([NEAR, np.full(256, 1e9)]), np.float32),  # a constant has no digits to lose
        (np.vstack([np.zeros((1, 4)), FAR[1:]]), np.float32),  # with one missing value as zero
    ],
)
def test_float64_is_kept_where_float32_would_round_by_much(array, dtype):
    dataset = load_data(DataSettings(data="array"), array)
    assert dataset.train.inputs.dtype == dtype
    lost = np.abs(array.astype(np.float32).astype(np.float64) - array).max(axis=0)
    if array.dtype == np.float64:
        assert (dtype == np.float64) == bool((lost > 1e-6 * array.std(axis=0))[array.std(axis=0) > 0].any())


def test_training_is_the_same(runs):
    near, far = runs
    assert far.summary()["test_mse"] == pytest.approx(near.summary()["test_mse"], rel=1e-5)
    losses = [[row["loss"] for row in run.stats() if "loss" in row] for run in runs]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)


def test_training_from_pca_is_nearly_the_same(tmp_path):
    near, far = train(NEAR, tmp_path / "near", network="residual"), train(FAR, tmp_path / "far", network="residual")
    assert far.summary()["test_mse"] == pytest.approx(near.summary()["test_mse"], rel=1e-2)


def test_codes_and_reconstructions_are_the_same(runs):
    near, far = (lorae.load(run) for run in runs)
    codes = near.encode(NEAR)
    assert relative(far.encode(FAR), codes) < 1e-5
    assert relative(far.encode(torch.from_numpy(FAR)), codes) < 1e-5
    for found in (far.decode(codes), far.reconstruct(FAR)):
        assert found.dtype == np.float64
        assert relative(found - CONSTANTS, near.decode(codes)) < 1e-5
    assert far.squared_error(FAR) == pytest.approx(near.squared_error(NEAR), rel=1e-5)
    assert near.decode(codes).dtype == np.float32


def test_truncated_models_are_the_same(runs):
    near, far = (lorae.load(run) for run in runs)
    first, second = near.truncate(NEAR, 2), far.truncate(FAR, 2)
    assert relative(second.encode(FAR), first.encode(NEAR)) < 1e-4  # axes of small eigenvalue gaps
    assert relative(second.reconstruct(FAR) - CONSTANTS, first.reconstruct(NEAR)) < 1e-5


def test_evaluation_is_the_same(runs):
    only = {"only": "fid,reconstruction", "n": 100, "draws": 1, "device": "cpu", "quiet": True}
    near, far = (lorae.evaluate(run, data=array, **only) for run, array in zip(runs, (NEAR, FAR), strict=True))
    for key, value in flat(near).items():
        if isinstance(value, float):
            assert flat(far)[key] == pytest.approx(value, rel=1e-3, abs=1e-4), key


def flat(values, prefix=""):
    """Return nested values by their path."""
    if isinstance(values, (dict, list)):
        items = values.items() if isinstance(values, dict) else enumerate(values)
        return {key: value for name, part in items for key, value in flat(part, f"{prefix}/{name}").items()}
    return {prefix: values}


def test_samples_are_the_same(runs):
    near, far = (lorae.sample(run, 50, data=array, device="cpu") for run, array in zip(runs, (NEAR, FAR), strict=True))
    assert relative(far - CONSTANTS, near) < 1e-4


def test_exported_models_take_and_give_float64(runs, tmp_path):
    near, far = runs
    codes = lorae.load(near).encode(NEAR)
    path = lorae.export_run(far, "safetensors", out=tmp_path / "safetensors", data=FAR)
    tensors = load_file(path / "model.safetensors")
    assert tensors["scaling.shift"].dtype == tensors["scaling.scale"].dtype == torch.float64
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    results = []
    for run, array in zip(runs, (NEAR, FAR), strict=True):
        folder = lorae.export_run(run, "onnx", out=tmp_path / run.path.name, data=array)
        encoder, decoder = (runtime.InferenceSession(folder / f"{name}.onnx") for name in ("encoder", "decoder"))
        given = array.astype(np.float32 if run is near else np.float64)
        (found,) = encoder.run(None, {"items": given})
        (decoded,) = decoder.run(None, {"codes": found})
        assert decoded.dtype == given.dtype
        results.append((found, decoded - (0 if run is near else CONSTANTS)))
    for first, second in zip(*results, strict=True):
        assert relative(second, first) < 1e-4
    assert len(codes) == len(results[0][0])


def test_distances_between_collections_are_the_same():
    near = lorae.fid(NEAR[:128], NEAR[128:], quiet=True)
    far = lorae.fid(FAR[:128], FAR[128:], quiet=True)
    assert far["fid"] == pytest.approx(near["fid"], rel=1e-4)


@pytest.mark.parametrize("by_columns", [True, False])
def test_scaling_and_its_inverse_are_exact_to_float32_of_the_deviation(by_columns):
    scaling, near = Scaling((4,)), Scaling((4,))
    scaling.fit(FAR, by_columns)
    near.fit(NEAR, by_columns)
    scaled = scaling(torch.from_numpy(FAR))
    assert scaled.dtype == torch.float32
    assert torch.equal(scaled, near(torch.from_numpy(NEAR)))
    back = scaling.inverse(scaled).numpy()
    assert (np.abs(back - FAR) <= 1e-6 * NEAR.std(axis=0).max()).all()


def test_scaling_of_earlier_versions_is_loaded():
    """Their files hold float32."""
    model = Autoencoder(ModelSpec("mlp", (3,), latent_dim=2))
    old = {name: value.float() for name, value in model.state_dict().items()}
    old["scaling.shift"] = torch.tensor([0.0, 5.0, 1e9])
    model.load_state_dict(old)
    assert model.scaling.shift.tolist() == [0, 5, 1e9]
    assert model.decode(np.zeros((1, 2), np.float32)).dtype == np.float64
