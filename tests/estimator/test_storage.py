"""Files of an estimator: safetensors without pickle, and ONNX."""

import json
import pickle

import numpy as np
import pandas
import pytest
from safetensors.numpy import load, save

import lorae.estimator
from lorae import LoRAE

MODELS = ["curved", "linear", "images"]


@pytest.fixture(scope="module")
def models(fitted, plane, images):
    """Fitted estimators with items: a network beyond whose range is PCA, a PCA, and one of images."""
    assert fitted.model_.spec.pca_beyond
    linear = LoRAE(rank=2, epochs=1, random_state=0).fit(plane[:19])
    pictures = LoRAE(rank=2, latent_dim=8, batch_size=16, epochs=2, random_state=0).fit(images)
    return {"curved": (fitted, plane), "linear": (linear, plane), "images": (pictures, images)}


@pytest.mark.parametrize("kind", MODELS)
def test_a_loaded_estimator_is_the_saved_one(models, kind, tmp_path):
    model, items = models[kind]
    again = LoRAE.load(model.save(tmp_path / "model.safetensors"))
    assert again.get_params() == model.get_params()
    codes = model.transform(items)
    np.testing.assert_array_equal(again.transform(items), codes)
    np.testing.assert_array_equal(again.inverse_transform(codes), model.inverse_transform(codes))
    np.testing.assert_array_equal(again.sample(3, random_state=0), model.sample(3, random_state=0))
    np.testing.assert_array_equal(again.predict(items), model.predict(items))
    assert again.score(items) == model.score(items)
    assert set(vars(again)) == set(vars(model))
    for name in ("explained_variance_ratio_", "history_", "search_", "curved_", "n_features_in_"):
        np.testing.assert_array_equal(getattr(again, name), getattr(model, name))
    first = (tmp_path / "model.safetensors").read_bytes()
    assert again.save(tmp_path / "again.safetensors").read_bytes() == first


def test_names_of_columns_are_kept_and_a_search_too(plane, tmp_path):
    frame = pandas.DataFrame(plane, columns=[f"c{number}" for number in range(12)])
    model = LoRAE(epochs=2, random_state=0).fit(frame)
    again = LoRAE.load(model.save(tmp_path / "model"))
    assert list(again.feature_names_in_) == list(frame.columns)
    assert again.search_ == model.search_
    with pytest.raises(ValueError, match="feature names"):
        again.transform(frame[frame.columns[::-1]])


class Harmful:
    def __reduce__(self):
        return pytest.fail, ("a file was executed",)


def changed(content, **values):
    """A file whose metadata have other values."""
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    about = json.loads(header["__metadata__"]["lorae"]) | values
    return save(load(content), metadata={"lorae": json.dumps(about)})


def larger(content, **sizes):
    """The spec of a file with sizes that its weights do not have, and that no memory holds."""
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return json.loads(header["__metadata__"]["lorae"])["spec"] | sizes


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda saved: pickle.dumps(Harmful()), "not a file that LoRAE.save wrote"),
        (lambda saved: saved[: len(saved) // 2], "not a file that LoRAE.save wrote"),
        (lambda saved: b"", "not a file that LoRAE.save wrote"),
        (lambda saved: save({"a": np.zeros(2)}), "not a file that LoRAE.save wrote"),
        (lambda saved: changed(saved, kind="PCA"), "not a file that LoRAE.save wrote"),
        (lambda saved: changed(saved, schema=99), "schema 99, of a later version of lorae"),
        (lambda saved: changed(saved, parameters={"ranks": 2}), "unexpected keyword argument 'ranks'"),
        (lambda saved: changed(saved, fitted={}), "not a file that LoRAE.save wrote"),
        (lambda saved: changed(saved, spec=larger(saved, latent_dim=10**12)), "latent_dim has 1000000000000"),
        (lambda saved: changed(saved, spec=larger(saved, shape=[10**12])), "shape has 1000000000000"),
    ],
)
def test_other_files_are_refused_in_one_line_and_not_executed(fitted, tmp_path, content, reason):
    path = fitted.save(tmp_path / "model.safetensors")
    path.write_bytes(content(path.read_bytes()))
    with pytest.raises(ValueError, match=reason) as caught:
        LoRAE.load(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_missing_files_and_parameters_without_json_are_told(plane, tmp_path):
    with pytest.raises(ValueError, match="No such file"):
        LoRAE.load(tmp_path / "none")
    model = LoRAE(rank=1, epochs=1, random_state=np.random.RandomState(0)).fit(plane[:19])
    with pytest.raises(ValueError, match=r"random_state: got RandomState.*, expected a number") as caught:
        model.save(tmp_path / "model")
    assert "\n" not in str(caught.value)
    model.set_params(random_state=0).save(tmp_path / "model")


def test_pickles_of_earlier_versions_are_read(fitted, plane):
    # Their class was lorae.estimator.LoRAE, and they lack the parameters and attributes that came later.
    assert lorae.estimator.LoRAE is LoRAE
    later = ("n_components", "contamination", "validation_fraction", "early_stopping", "threshold_")
    earlier = LoRAE.__new__(LoRAE)
    earlier.__setstate__({name: value for name, value in fitted.__getstate__().items() if name not in later})
    np.testing.assert_array_equal(earlier.transform(plane), fitted.transform(plane))
    assert earlier.get_params() == fitted.get_params()


@pytest.mark.parametrize("kind", MODELS)
def test_onnx_graphs_compute_what_the_estimator_does(models, kind, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    model, items = models[kind]
    folder = model.to_onnx(tmp_path / "graphs")
    given = items.astype(np.float32) / 255 if kind == "images" else items + 9 * items.std(0)  # beyond the range too
    encoder, decoder = (runtime.InferenceSession(folder / f"{name}.onnx") for name in ("encoder", "decoder"))
    for rows in (given[:1], given):
        (codes,) = encoder.run(None, {"items": rows})
        np.testing.assert_allclose(codes, model.transform(rows), atol=1e-5 * codes.std())
        (decoded,) = decoder.run(None, {"codes": codes})
        decoded = decoded.clip(0, 1) if kind == "images" else decoded
        np.testing.assert_allclose(decoded, model.inverse_transform(codes), atol=1e-5 * items.std())
    if kind != "images":  # a graph fills no missing entry in
        rows = given[:3].copy()
        rows[1, 0] = np.nan
        (codes,) = encoder.run(None, {"items": rows})
        np.testing.assert_array_equal(np.isnan(codes).all(axis=1), [False, True, False])
