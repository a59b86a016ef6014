"""The scikit-learn front: scikit-learn's own checks, and what its documentation promises."""

import pickle

import numpy as np
import pandas
import pytest
import scipy.sparse
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

from lorae import LoRAE, LoraeWarning
from lorae.system.signals import Interrupted
from lorae.training.trainer import Trainer
from tests.estimator.conftest import QUICK


def global_state():
    """NumPy's global state, as a string."""
    return repr(np.random.get_state(legacy=False))  # noqa: NPY002


@parametrize_with_checks([LoRAE(epochs=30, random_state=0)])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_masks_are_refused_and_tensors_are_taken(plane):
    masked = np.ma.array(plane, mask=np.zeros(plane.shape, bool))
    masked[3, 5] = np.ma.masked
    with pytest.raises(ValueError, match=r"X: got a masked array with 1 masked entries, expected none"):
        LoRAE(**QUICK).fit(masked)
    fitted = LoRAE(rank=2, epochs=1, random_state=0).fit(torch.from_numpy(plane).requires_grad_())
    with pytest.raises(ValueError, match="masked array"):
        fitted.transform(masked)
    unmasked = np.ma.array(plane, mask=False)
    np.testing.assert_array_equal(fitted.transform(unmasked), fitted.transform(plane))


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


@pytest.mark.parametrize("rank", [1, 5])
def test_a_given_rank_is_the_width_of_the_codes(plane, rank):
    assert LoRAE(rank=rank, **QUICK).fit_transform(plane).shape == (400, rank)


@pytest.mark.parametrize("components", [2, 0.9])
def test_n_components_is_the_rank(plane, components):
    expected = LoRAE(rank=components, epochs=2, random_state=0).fit(plane)
    for parameters in ({"n_components": components}, {"rank": components, "n_components": components}):
        model = LoRAE(epochs=2, random_state=0, **parameters).fit(plane)
        assert model.n_components_ == model.rank_ == expected.rank_
        np.testing.assert_array_equal(model.transform(plane), expected.transform(plane))


@pytest.mark.parametrize("form", [scipy.sparse.csr_matrix, scipy.sparse.coo_array])
def test_sparse_items_are_refused_with_the_way_out(fitted, plane, form):
    for method in (LoRAE().fit, fitted.transform, fitted.inverse_transform, fitted.score_samples):
        with pytest.raises(ValueError, match=r"got a sparse .*pass its toarray\(\), or .*TruncatedSVD") as caught:
            method(form(plane))
        assert "\n" not in str(caught.value)


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
    assert search.best_estimator_.rank_ == 8
    names = make_pipeline(LoRAE(rank=2, epochs=1)).fit(X).get_feature_names_out()
    assert list(names) == ["lorae0", "lorae1"]


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("factor", [1e-200, 1e-30, 1e30, 1e200])
def test_units_do_not_matter(plane, standardize, factor):
    model = LoRAE(rank=3, epochs=5, standardize=standardize, random_state=0)
    usual, restored = model.fit_transform(plane), model.inverse_transform(model.transform(plane))
    np.testing.assert_allclose(model.fit_transform(plane * factor), usual, atol=1e-3 * usual.std())
    back = model.inverse_transform(model.transform(plane * factor)) / factor
    np.testing.assert_allclose(back, restored, atol=1e-3 * plane.std())
    assert np.abs(model.sample(50, random_state=0) / factor).max() < 10 * np.abs(plane).max()


def test_far_from_zero(plane):
    # Near 1e8, a float32 has no digits left for deviations below one.
    model = LoRAE(rank=3, epochs=20, random_state=0)
    near = model.fit(plane).score(plane)
    assert model.fit(plane + 1e8).score(plane + 1e8) == pytest.approx(near, abs=0.02)
    error = model.inverse_transform(model.transform(plane + 1e8)) - (plane + 1e8)
    assert np.square(error / plane.std(0)).mean() == pytest.approx(1 - near, abs=0.02)


def test_constant_columns_come_back(plane):
    constant = np.full(400, 0.1)
    nearly = 1e6 + 1e-9 * np.random.default_rng(0).normal(size=400)  # rounding of a float64, which is no direction
    model = LoRAE(rank=2, **QUICK).fit(np.c_[plane, constant, nearly])
    np.testing.assert_allclose(
        model.transform(np.c_[plane, constant, nearly + 1e-7]),
        model.transform(np.c_[plane, constant, nearly]),
        atol=1e-6,
    )
    np.testing.assert_allclose(
        model.inverse_transform(model.transform(np.c_[plane, constant, nearly]))[:, 12], 0.1, rtol=1e-3
    )


def test_the_order_of_the_items_does_not_decide():
    # Training takes scales from the first items; here those hardly vary in half of the directions.
    rng = np.random.default_rng(0)
    points = rng.normal(size=(1200, 8))
    points[:800, 4:] *= 0.01
    points[:800] += 3
    points = points @ rng.normal(size=(8, 8))
    model = LoRAE(epochs=3, random_state=0)
    ordered = model.fit(points).score(points)
    assert ordered == pytest.approx(model.fit(rng.permutation(points)).score(points), abs=0.05)


def test_any_numbers_any_layout(plane):
    expected = LoRAE(rank=2, epochs=2, random_state=0).fit_transform(plane)
    frozen = np.asfortranarray(plane)
    frozen.flags.writeable = False
    for given in (frozen, plane.tolist(), np.repeat(plane, 2, axis=0)[::2]):
        np.testing.assert_allclose(LoRAE(rank=2, epochs=2, random_state=0).fit_transform(given), expected, atol=1e-9)
    whole = np.round(plane * 100).astype(np.int16)
    codes = LoRAE(rank=2, epochs=2, random_state=0).fit(whole.astype(np.float64)).transform(whole)
    np.testing.assert_array_equal(LoRAE(rank=2, epochs=2, random_state=0).fit(whole).transform(whole), codes)
    assert codes.dtype == np.float64
    half = (plane / plane.std(0)).astype(np.float16)
    assert LoRAE(rank=2, epochs=2).fit(half).transform(half).dtype == np.float64
    assert LoRAE(epochs=2).fit(plane[:, :1]).rank_ == 1


def test_numbers_of_numpy_and_no_noise(plane):
    found = LoRAE(np.int64(2), batch_size=np.int64(64), epochs=np.int64(2), noise=0, random_state=0).fit(plane)
    usual = LoRAE(2, batch_size=64, epochs=2, noise=0.0, random_state=0).fit(plane)
    np.testing.assert_array_equal(found.transform(plane), usual.transform(plane))
    noisy = LoRAE(2, batch_size=64, epochs=2, noise=0.3, random_state=0).fit(plane)
    assert not np.array_equal(noisy.transform(plane), usual.transform(plane))


def test_without_a_random_state_every_fit_is_another_and_nothing_global_moves(plane):
    before = global_state()
    first, second = (LoRAE(rank=2, epochs=2).fit(plane) for _ in range(2))
    assert not np.array_equal(first.transform(plane), second.transform(plane))
    assert not np.array_equal(first.sample(2), first.sample(2))
    assert before == global_state()


def test_frames_of_pandas(plane):
    frame = pandas.DataFrame(plane, columns=[f"sensor {number}" for number in range(12)])
    model = LoRAE(rank=2, epochs=2, random_state=0).fit(frame)
    assert list(model.feature_names_in_) == list(frame.columns)
    np.testing.assert_array_equal(model.transform(frame), clone(model).fit(plane).transform(plane))
    with pytest.raises(ValueError, match="feature names"):
        model.transform(frame[frame.columns[::-1]])
    codes = clone(model).set_output(transform="pandas").fit_transform(frame)
    assert list(codes.columns) == list(model.get_feature_names_out()) == ["lorae0", "lorae1"]
    np.testing.assert_array_equal(model.inverse_transform(codes), model.inverse_transform(codes.to_numpy()))


def test_codes_of_images_are_columns_of_frames(images):
    model = LoRAE(rank=2, latent_dim=8, epochs=1, random_state=0).set_output(transform="pandas").fit(images)
    assert list(model.transform(images).columns) == list(model.get_feature_names_out()) == ["lorae0", "lorae1"]


def test_nothing_is_shown_where_there_is_no_terminal(plane, capsys):
    LoRAE(rank=2, epochs=1, verbose=True, random_state=0).fit(plane)
    assert capsys.readouterr() == ("", "")


def test_an_interruption_is_pythons(plane, monkeypatch):
    def stop(self):
        raise Interrupted("continue with `lorae resume memory`")

    monkeypatch.setattr(Trainer, "fit", stop)
    with pytest.raises(KeyboardInterrupt) as caught:
        LoRAE(epochs=1).fit(plane)
    assert caught.type is KeyboardInterrupt


def test_early_stopping_shortens_a_training_that_has_stalled():
    # Noise, which a network can only memorize.
    noise = np.random.default_rng(0).normal(size=(100, 8))
    parameters = {"rank": 3, "epochs": 1000, "lr": 0.01, "noise": 0.0, "random_state": 0}
    stopped, whole = (LoRAE(early_stopping=value, **parameters).fit(noise) for value in (True, False))
    assert stopped.history_[-1]["epoch"] < whole.history_[-1]["epoch"] == round(0.15 * 1000)  # of a trial


def test_history(fitted):
    assert 1 < len(fitted.history_) <= 60
    *epochs, last = (row["epoch"] for row in fitted.history_)
    assert epochs == list(range(epochs[0], last, epochs[0]))
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
        ({"noise": -1.0}, "noise: got -1"),
        ({"rank": None}, "rank: got None"),
        ({"validation_fraction": 0.5}, r"validation_fraction: got 0\.5, expected a number from 0\.001 to 0\.333333"),
        ({"early_stopping": "maybe"}, "early_stopping: got 'maybe', expected true or false"),
        ({"n_components": 0}, "n_components: got 0, expected a positive whole number"),
        ({"n_components": 3, "rank": 2}, "n_components: got 3 and rank=2, expected one of them"),
        ({"rank": 13}, "rank: got 13, expected at most 12"),
        ({"latent_dim": 13}, "latent_dim: got 13, expected at most 12, the number of features"),
        ({"lr": 1e9, "epochs": 5}, "loss: not finite"),
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
    with pytest.raises(ValueError, match="sampler: got 'prior'"):
        fitted.sample(2, sampler="prior")
    with pytest.raises(ValueError, match="n_samples: got 0"):
        fitted.sample(0)
    for same in (np.full((9, 2), 0.1), np.zeros((9, 8, 8), np.uint8)):
        with pytest.raises(ValueError, match="all items are the same"):
            LoRAE().fit(same)


def test_a_share_that_is_not_reached_is_told(plane):
    with pytest.warns(LoraeWarning, match=r"rank: got 0.9999999, so an error of at most .*; raise epochs") as caught:
        LoRAE(rank=0.9999999, latent_dim=2, epochs=5, random_state=0).fit(plane)
    assert caught[0].filename == __file__


def test_a_network_that_learns_nothing_leaves_pca(images):
    model = LoRAE(rank=2, lr=1.0, epochs=40, batch_size=16, random_state=0).fit(images)
    assert not model.curved_
    assert model.score_ == model.pca_score_
    rows = images.reshape(len(images), -1) / 255
    straight = PCA(2, svd_solver="full").fit(rows)
    error = np.square(straight.inverse_transform(straight.transform(rows)) - rows).mean() / rows.var(0).mean()
    assert model.score(images) == pytest.approx(1 - error, abs=1e-5)
