"""The scikit-learn front: scikit-learn's own checks, and what its documentation promises."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.estimator_checks import parametrize_with_checks

from lorae import LoRAE
from lorae.data import DataSettings, load_data
from lorae.settings import Settings
from lorae.training import build_model

QUICK = {"epochs": 20, "random_state": 0}


@parametrize_with_checks([LoRAE(epochs=30, random_state=0)])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def plane():
    """A curved surface of two dimensions in twelve, in units that differ by a thousand: float64 (400, 12)."""
    rng = np.random.default_rng(0)
    t = rng.uniform(-1, 1, (400, 2))
    points = np.concatenate([t, t[:, :1] * t[:, 1:], t**2], axis=1) @ rng.normal(size=(5, 12))
    return points * np.logspace(-1, 2, 12) + 3


@pytest.fixture(scope="module")
def fitted(plane):
    return LoRAE(rank=3, **QUICK | {"epochs": 60}).fit(plane)


def test_codes_are_centred_uncorrelated_and_ordered(fitted, plane):
    codes = fitted.transform(plane)
    assert codes.shape == (400, 3)
    assert fitted.rank_ == 3
    np.testing.assert_allclose(codes.mean(0), 0, atol=1e-4 * codes.std())
    covariance = np.cov(codes, rowvar=False)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-3 * covariance.max())
    assert list(np.diag(covariance)) == sorted(np.diag(covariance), reverse=True)
    np.testing.assert_allclose(fitted.explained_variance_, np.diag(covariance), rtol=1e-4)
    centred = codes - codes.mean(0)
    np.testing.assert_allclose(fitted.singular_values_, np.linalg.svd(centred, compute_uv=False), rtol=1e-3)


def test_score_is_the_share_of_the_variance_that_is_kept(fitted, plane):
    restored = fitted.inverse_transform(fitted.transform(plane))
    scaled = StandardScaler().fit(plane)
    lost = np.square(scaled.transform(restored) - scaled.transform(plane)).mean()
    assert fitted.score(plane) == pytest.approx(1 - lost, abs=1e-5)
    assert fitted.explained_variance_ratio_.sum() == pytest.approx(fitted.score(plane), abs=1e-9)
    assert fitted.score(plane) > 0.95


def test_more_is_kept_than_by_straight_directions(plane):
    kept = LoRAE(rank=2, **QUICK | {"epochs": 100}).fit(plane[:300]).score(plane[300:])
    scaler = StandardScaler().fit(plane[:300])
    train, test = scaler.transform(plane[:300]), scaler.transform(plane[300:])
    pca = PCA(2).fit(train)
    straight = 1 - np.square(pca.inverse_transform(pca.transform(test)) - test).mean()
    assert kept > straight + 0.3 * (1 - straight)


@pytest.mark.parametrize("standardize", [True, False])
def test_a_residual_network_starts_as_principal_components(plane, standardize):
    scale = "columns" if standardize else "whole"
    asked = Settings(method="lorae+", network="residual", normalise="coordinates", latent_dim=4, vector_scale=scale)
    dataset = load_data(DataSettings(plane, test_fraction=0.25))
    train = dataset.train.inputs.astype(np.float64)
    model = build_model(asked.resolve("vectors", (12,)), dataset)
    deviation = train.std(0) if standardize else np.sqrt(train.var(0).mean())
    scaled = (train - train.mean(0)) / deviation
    pca = PCA(4).fit(scaled)
    expected = pca.inverse_transform(pca.transform(scaled)) * deviation + train.mean(0)
    restored = model.eval().reconstruct(dataset.train.inputs)
    np.testing.assert_allclose((restored - expected) / deviation, 0, atol=1e-4)


@pytest.mark.parametrize("rank", [1, 5])
def test_a_given_rank_is_the_width_of_the_codes(plane, rank):
    assert LoRAE(rank=rank, **QUICK).fit_transform(plane).shape == (400, rank)


def test_a_share_of_the_variance_takes_as_many_directions_as_it_needs(plane):
    few, many = (LoRAE(rank=share, **QUICK | {"epochs": 60}).fit(plane) for share in (0.3, 0.97))
    assert few.rank_ < many.rank_ <= 6
    assert many.search_["reached"]
    assert many.score(plane) >= 0.95  # the share is of items set aside


def test_whole_scale_weighs_columns_by_their_size(plane):
    model = LoRAE(rank=2, standardize=False, **QUICK | {"epochs": 60}).fit(plane)
    error = np.square(model.inverse_transform(model.transform(plane)) - plane).mean(0)
    assert error.sum() < 0.1 * plane.var(0).sum()
    assert model.score(plane) == pytest.approx(1 - error.sum() / plane.var(0).sum(), abs=1e-4)


def test_random_state_decides_everything_and_nothing_global_moves(plane):
    # What scikit-learn takes for random numbers of no seed.
    theirs = check_random_state(None).get_state()[1].copy()
    before = torch.get_rng_state(), torch.get_num_threads()
    first, again, other = (LoRAE(rank=2, epochs=5, random_state=seed).fit(plane) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.transform(plane), again.transform(plane))
    assert not np.array_equal(first.transform(plane), other.transform(plane))
    assert torch.equal(before[0], torch.get_rng_state())
    np.testing.assert_array_equal(theirs, check_random_state(None).get_state()[1])
    assert before[1] == torch.get_num_threads()


def test_pickled_and_cloned(fitted, plane):
    content = pickle.dumps(fitted)
    np.testing.assert_array_equal(pickle.loads(content).transform(plane), fitted.transform(plane))
    weights = sum(parameter.nbytes for parameter in fitted.model_.parameters())
    assert len(content) < 1.2 * weights + 1e5  # no optimizer, no data
    assert clone(fitted).get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        clone(fitted).transform(plane)


def test_samples_are_like_the_data(fitted, plane):
    for sampler in ("gaussian", "mixture"):
        samples = fitted.sample(2000, sampler=sampler, random_state=0)
        assert samples.shape == (2000, 12)
        assert (np.abs(samples.mean(0) - plane.mean(0)) < 0.3 * plane.std(0)).all()
        assert (np.abs(np.log(samples.std(0) / plane.std(0))) < np.log(1.5)).all()
    np.testing.assert_array_equal(fitted.sample(3, random_state=1), fitted.sample(3, random_state=1))


@pytest.mark.parametrize("form", ["rows", "channels", "floats"])
def test_images(images, form):
    given = {"rows": images[:, 0], "channels": images, "floats": images[:, 0].astype(np.float32) / 255}[form]
    model = LoRAE(rank=2, latent_dim=8, batch_size=16, epochs=2, random_state=0).fit(given)
    assert model.transform(given).shape == (96, 2)
    assert model.transform(given).dtype == (np.float32 if form == "floats" else np.float64)
    restored = model.inverse_transform(model.transform(given))
    assert restored.shape == given.shape
    assert restored.min() >= 0
    assert restored.max() <= 1
    assert model.n_features_in_ == 256


def test_pipelines_and_searches():
    X, y = load_digits(return_X_y=True)
    X, y = X[:300], y[:300]
    pipeline = make_pipeline(LoRAE(rank=10, **QUICK), LogisticRegression(max_iter=1000)).fit(X, y)
    assert pipeline.score(X, y) > 0.8
    search = GridSearchCV(LoRAE(epochs=10, random_state=0), {"rank": [1, 8]}, cv=2).fit(X)
    assert search.best_params_ == {"rank": 8}
    names = make_pipeline(LoRAE(rank=2, epochs=1)).fit(X).get_feature_names_out()
    assert list(names) == ["lorae0", "lorae1"]


def test_history(fitted):
    assert [row["epoch"] for row in fitted.history_] == list(range(1, 61))
    assert fitted.history_[-1]["rank"] == 3
    assert fitted.search_ is None


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"rank": 0}, "rank: got 0, expected a positive whole number, a share"),
        ({"rank": "many"}, "rank: got 'many'"),
        ({"rank": 13, "latent_dim": 12}, "rank: got 13, expected at most 12"),
        ({"epochs": -1}, "epochs: got -1"),
        ({"epochs": 0}, "epochs: got 0"),
        ({"lr": 0.0}, r"lr: got 0\.0"),
        ({"batch_size": 0}, "batch_size: got 0"),
        ({"batch_size": "all"}, "batch_size: got 'all'"),
        ({"noise": -1.0}, r"bottleneck.noise: got -1"),
        ({"device": "tpu"}, "device: got 'tpu'"),
    ],
)
def test_parameters_that_do_not_fit_are_value_errors_of_one_line(plane, parameters, message):
    with pytest.raises(ValueError, match=message) as caught:
        LoRAE(**{"epochs": 1} | parameters).fit(plane)
    assert "\n" not in str(caught.value)


def test_data_that_do_not_fit(fitted, plane, images):
    with pytest.raises(ValueError, match="expected 3, the rank of this model"):
        fitted.inverse_transform(np.zeros((2, 4)))
    with pytest.raises(ValueError, match="features"):
        fitted.transform(plane[:, :3])
    with pytest.raises(ValueError, match="minimum of 3"):
        LoRAE().fit(plane[:2])
    with pytest.raises(ValueError, match="sides in steps of 8"):
        LoRAE().fit(images[:, 0, :15, :15])
    with pytest.raises(ValueError, match=r"from 0 to 16, expected uint8, or floats in \[0, 1\]"):
        LoRAE().fit(load_digits().images)
    with pytest.raises(ValueError, match="sampler: got 'nobody'"):
        fitted.sample(2, sampler="nobody")
