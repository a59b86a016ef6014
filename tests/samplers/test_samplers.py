import json
import re

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture

from lorae.errors import LoraeError
from lorae.samplers import SAMPLERS, Density, Subspace, fit_density

FITTED = [name for name in SAMPLERS if name != "prior"]


def generator(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def latents():
    """A skewed Gaussian off the origin: (400, 5)."""
    rng = np.random.default_rng(1)
    return (rng.normal(size=(400, 5)) @ rng.normal(size=(5, 5)) + rng.normal(size=5)).astype(np.float32)


@pytest.fixture(scope="module")
def flat():
    """Rank 3 in 10 dimensions with a trace of noise: latents, and the basis (10, 3) they lie in."""
    rng = np.random.default_rng(2)
    basis = np.linalg.qr(rng.normal(size=(10, 10)))[0]
    clean = rng.normal(size=(400, 3)) * [3, 2, 1] @ basis[:, :3].T + 2
    return clean + 1e-4 * rng.normal(size=(400, 1)) @ basis[:, 3:4].T, basis[:, :3]


CENTRES = np.array([[0.0, 0, 0], [30, 0, 0], [0, 20, 10]])
SHARES = np.array([0.5, 0.3, 0.2])


@pytest.fixture(scope="module")
def clusters():
    """Three clusters far from each other, of different sizes and shapes: (1000, 3)."""
    rng = np.random.default_rng(3)
    parts = [
        rng.normal(size=(int(1000 * share), 3)) @ rng.normal(size=(3, 3)) + centre
        for share, centre in zip(SHARES, CENTRES, strict=True)
    ]
    return rng.permutation(np.concatenate(parts))


def log_likelihood(density, points):
    """Mean log density of points in a space that the density fills, by SciPy."""
    space = density.subspace
    coordinates = space.project(points)
    each = [
        np.log(weight) + multivariate_normal(mean, factor @ factor.T).logpdf(coordinates)
        for weight, mean, factor in zip(density.weights, density.means, density.factors, strict=True)
    ]
    return logsumexp(each, axis=0).mean() - points.shape[1] * np.log(space.scale)


# What all samplers have in common


@pytest.mark.parametrize("name", SAMPLERS)
def test_samples_are_decided_by_the_generator(latents, name):
    density = fit_density(name, latents, components=3)
    samples = density.sample(50, generator(7))
    assert samples.shape == (50, 5)
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(density.sample(50, generator(7)), samples)
    assert (density.sample(50, generator(8)) != samples).any()
    assert density.sample(0, generator()).shape == (0, 5)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_saved_density_gives_the_same_samples(latents, name, tmp_path):
    density = fit_density(name, latents, components=3)
    path = tmp_path / "samplers" / f"{name}.npz"
    density.save(path)
    loaded = Density.load(path)
    np.testing.assert_array_equal(loaded.sample(50, generator()), density.sample(50, generator()))
    assert loaded.describe() == density.describe()
    assert loaded.sampler == name


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_saved_density_is_plain_arrays(latents, name, tmp_path):
    fit_density(name, latents, components=3).save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as arrays:
        assert {"origin", "basis", "weights", "means", "factors"} <= set(arrays.files)
        assert not any(arrays[key].dtype.hasobject for key in arrays.files)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_fit_is_repeated_to_the_bit(latents, name):
    first, second = (fit_density(name, latents, components=3, seed=4) for _ in range(2))
    np.testing.assert_array_equal(first.sample(20, generator()), second.sample(20, generator()))


@pytest.mark.parametrize("name", SAMPLERS)
def test_description_is_plain_and_says_what_was_fitted(latents, name):
    described = fit_density(name, latents, components=3).describe()
    assert json.loads(json.dumps(described)) == described
    assert described["sampler"] == name
    assert described["components"] == (3 if SAMPLERS[name].takes_components else 1)
    assert described["directions"] == "5 of 5"


@pytest.mark.parametrize("name", FITTED)
def test_samples_have_mean_and_covariance_of_the_latents(latents, name):
    samples = fit_density(name, latents, components=2).sample(200_000, generator())
    deviations = latents.std(axis=0)
    np.testing.assert_allclose(samples.mean(axis=0) / deviations, latents.mean(axis=0) / deviations, atol=0.02)
    scale = np.outer(deviations, deviations)
    ours, theirs = (np.cov(part, rowvar=False) / scale for part in (samples, latents))
    np.testing.assert_allclose(ours, theirs, atol=0.03)


@pytest.mark.parametrize("name", FITTED)
def test_samples_lie_in_the_subspace_of_the_latents(flat, name):
    latents, basis = flat
    density = fit_density(name, latents, components=3)
    beyond = density.sample(500, generator()).astype(np.float64) - latents.mean(axis=0)
    beyond -= beyond @ density.subspace.basis @ density.subspace.basis.T
    assert np.abs(beyond).max() < 1e-5  # float32
    assert density.subspace.basis.shape == (10, 3)
    angles = np.linalg.svd(density.subspace.basis.T @ basis, compute_uv=False)
    np.testing.assert_allclose(angles, 1, atol=1e-6)


@pytest.mark.parametrize("name", FITTED)
def test_what_lies_outside_the_subspace_is_said(flat, name):
    latents, _ = flat
    density = fit_density(name, latents, components=2)
    variances = np.linalg.eigvalsh(np.cov(latents, rowvar=False))[::-1]
    assert 0 < density.subspace.dropped == pytest.approx(variances[3:].sum() / variances.sum(), rel=1e-6)
    assert density.describe()["variance dropped"] == density.subspace.dropped
    assert density.describe()["directions"] == "3 of 10"


@pytest.mark.parametrize("name", FITTED)
def test_latents_that_cannot_be_fitted_are_named(name):
    def fit(latents):
        fit_density(name, latents, components=1)

    for value in (np.nan, np.inf):
        latents = generator().normal(size=(20, 3))
        latents[3, 1] = value
        with pytest.raises(LoraeError, match="not finite"):
            fit(latents)
    for same in (np.zeros((21, 3)), np.full((21, 3), 0.1), np.full((21, 3), 0.1, np.float32)):
        with pytest.raises(LoraeError, match="all are the same"):
            fit(same)
    with pytest.raises(LoraeError, match=r"got shape \(1, 3\)"):
        fit(np.zeros((1, 3)))


def test_unknown_sampler_is_named(latents):
    with pytest.raises(LoraeError, match="got 'flow', expected one of gaussian, mixture, prior"):
        fit_density("flow", latents)


def test_files_that_hold_no_density_are_named(latents, tmp_path):
    path = tmp_path / "gaussian.npz"
    fit_density("gaussian", latents).save(path)
    whole = path.read_bytes()
    np.savez(tmp_path / "other.npz", origin=np.zeros(3))
    np.save(tmp_path / "array.npy", np.zeros(3))
    contents = [whole[: len(whole) // 2], b"", b"text", (tmp_path / "other.npz").read_bytes()]
    contents.append((tmp_path / "array.npy").read_bytes())
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(LoraeError, match=re.escape(f"{path}: not a density that lorae saved")):
            Density.load(path)
    with pytest.raises(LoraeError, match=r"missing\.npz: not a density"):
        Density.load(tmp_path / "missing.npz")


# The subspace


def test_projection_is_undone_on_the_subspace(flat, latents):
    for points, tolerance in ((latents.astype(np.float64), 1e-12), (flat[0], 1e-3)):
        space = Subspace.of(points)
        np.testing.assert_allclose(space.lift(space.project(points)), points, atol=tolerance)
        np.testing.assert_allclose(space.basis.T @ space.basis, np.eye(space.basis.shape[1]), atol=1e-12)


def test_coordinates_are_uncorrelated_and_descend_from_one(latents):
    covariance = np.cov(Subspace.of(latents).project(latents), rowvar=False)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-12)
    variances = np.diag(covariance)
    assert variances[0] == pytest.approx(1)
    assert (np.diff(variances) < 0).all()


@pytest.mark.parametrize(("tolerance", "rank"), [(1e-6, 3), (0.2, 2), (0.9, 1), (1e-12, 4)])
def test_tolerance_is_a_share_of_the_largest_variance(flat, tolerance, rank):
    assert Subspace.of(flat[0], tolerance).basis.shape == (10, rank)


def test_one_dimension_and_two_latents():
    assert Subspace.of(np.array([[1.0], [3.0]])).scale == pytest.approx(np.sqrt(2))
    density = fit_density("gaussian", np.array([[0.0, 0, 0], [1, 1, 1]]))
    assert density.describe()["directions"] == "1 of 3"
    samples = density.sample(9, generator())
    np.testing.assert_allclose(samples, samples[:, :1].repeat(3, axis=1), atol=1e-6)


# One Gaussian


def moments(density):
    """Mean and covariance of a density of one component, in the latent space."""
    space, factor = density.subspace, density.factors[0]
    return space.lift(density.means)[0], space.scale**2 * space.basis @ factor @ factor.T @ space.basis.T


def test_gaussian_has_exactly_the_moments_of_the_latents(latents):
    mean, covariance = moments(fit_density("gaussian", latents))
    np.testing.assert_allclose(mean, latents.mean(axis=0, dtype=np.float64), rtol=1e-9)
    np.testing.assert_allclose(covariance, np.cov(latents, rowvar=False), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_gaussian_follows_a_change_of_scale(latents, scale):
    mean, covariance = moments(fit_density("gaussian", latents))
    scaled_mean, scaled_covariance = moments(fit_density("gaussian", latents * np.float64(scale)))
    np.testing.assert_allclose(scaled_mean / scale, mean, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(scaled_covariance / scale**2, covariance, rtol=1e-9, atol=1e-12)


def test_gaussian_follows_a_rotation_and_a_shift(latents):
    turn, shift = np.linalg.qr(generator(5).normal(size=(5, 5)))[0], np.arange(5.0)
    mean, covariance = moments(fit_density("gaussian", latents))
    turned_mean, turned_covariance = moments(fit_density("gaussian", latents @ turn.T + shift))
    np.testing.assert_allclose(turned_mean, turn @ mean + shift, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(turned_covariance, turn @ covariance @ turn.T, rtol=1e-9, atol=1e-12)


def test_gaussian_has_neither_components_nor_seed(latents):
    first, second = (fit_density("gaussian", latents, components=n, seed=n) for n in (1, 9))
    np.testing.assert_array_equal(first.sample(9, generator()), second.sample(9, generator()))


# The prior


def test_prior_is_the_standard_normal_whatever_the_latents_are(latents):
    density = fit_density("prior", latents * 100)
    np.testing.assert_array_equal(density.subspace.lift(density.means), np.zeros((1, 5)))
    samples = density.sample(100_000, generator())
    np.testing.assert_allclose(samples.mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose(np.cov(samples, rowvar=False), np.eye(5), atol=0.02)
    assert log_likelihood(density, latents) == pytest.approx(multivariate_normal(np.zeros(5)).logpdf(latents).mean())


# The mixture


@pytest.mark.parametrize("seed", [0, 1])
def test_mixture_finds_separated_clusters(clusters, seed):
    density = fit_density("mixture", clusters, components=3, seed=seed)
    order = np.argsort(-density.weights)
    np.testing.assert_allclose(density.weights[order], SHARES, atol=1e-6)
    np.testing.assert_allclose(density.subspace.lift(density.means)[order], CENTRES, atol=0.4)
    assert density.weights.sum() == pytest.approx(1, abs=1e-12)
    assert density.notes["converged"] is True
    assert density.notes["mixture seed"] == seed


def test_samples_of_a_mixture_fall_into_its_clusters(clusters):
    samples = fit_density("mixture", clusters, components=3).sample(20_000, generator())
    nearest = np.linalg.norm(samples[:, None] - CENTRES, axis=2)
    found = np.bincount(nearest.argmin(axis=1), minlength=3) / len(samples)
    np.testing.assert_allclose(found, SHARES, atol=0.02)
    assert nearest.min(axis=1).max() < 15
    for index in range(3):
        own = [part[np.linalg.norm(part[:, None] - CENTRES, axis=2).argmin(1) == index] for part in (samples, clusters)]
        ours, theirs = (np.cov(part, rowvar=False) for part in own)
        np.testing.assert_allclose(ours, theirs, atol=0.1 * np.trace(theirs))


@pytest.mark.parametrize("components", [1, 3])
def test_mixture_is_as_likely_as_that_of_scikit_learn_on_the_latents(clusters, components):
    ours = fit_density("mixture", clusters, components=components)
    found = log_likelihood(ours, clusters)
    floor = 0.01 * np.linalg.eigvalsh(np.cov(clusters, rowvar=False))[0]  # what keeps components from collapsing
    same, free = (GaussianMixture(components, random_state=0, reg_covar=value).fit(clusters) for value in (floor, 1e-6))
    assert found == pytest.approx(same.score(clusters), abs=1e-3)
    assert found == pytest.approx(free.score(clusters), abs=0.1)


def test_mixture_of_one_is_nearly_the_gaussian(latents):
    mixture, gaussian = (fit_density(name, latents, components=1) for name in ("mixture", "gaussian"))
    assert log_likelihood(mixture, latents) == pytest.approx(log_likelihood(gaussian, latents), abs=1e-3)


def test_mixture_is_more_likely_than_one_gaussian_where_there_are_clusters(clusters):
    mixture, gaussian = (fit_density(name, clusters, components=3) for name in ("mixture", "gaussian"))
    assert log_likelihood(mixture, clusters) > log_likelihood(gaussian, clusters) + 1


def test_mixture_of_repeated_latents_does_not_collapse():
    latents = np.repeat(generator().normal(size=(4, 3)), 5, axis=0)
    density = fit_density("mixture", latents, components=10)
    assert np.isfinite(density.sample(50, generator())).all()


def test_mixture_in_a_subspace_keeps_small_directions(flat):
    density = fit_density("mixture", flat[0], components=3)
    samples = density.sample(20_000, generator())
    ours, theirs = (np.linalg.eigvalsh(np.cov(part, rowvar=False))[::-1][:3] for part in (samples, flat[0]))
    np.testing.assert_allclose(ours, theirs, rtol=0.1)


def test_mixture_needs_a_latent_for_each_component():
    latents = generator().normal(size=(6, 2))
    with pytest.raises(LoraeError, match="components: got 7, expected at most the 6 latents"):
        fit_density("mixture", latents, components=7)
    assert np.isfinite(fit_density("mixture", latents, components=6).sample(9, generator())).all()
