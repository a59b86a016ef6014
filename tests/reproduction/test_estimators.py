"""The measurements of the benchmark with known truth: data are as they are said to be, readings too."""

import dataclasses

import numpy as np
import pytest

import lorae
from lorae.errors import DivergedError, LoraeError
from lorae.metrics.intrinsic_dimension import levina_bickel
from lorae.reproduction.dimension import benchmark as dimension
from lorae.reproduction.dimension import estimators as estimates
from lorae.reproduction.dimension.benchmark import SOURCES, Preset, plan

TINY = Preset(60, epochs=1, image_epochs=1, seeds=1, sources=("linear-5", "shapes-2"), weight_factors=(1.0,))


# The data


@pytest.mark.parametrize("name", list(SOURCES))
def test_the_items_are_those_of_the_source(name):
    source = SOURCES[name]
    job = plan(dataclasses.replace(TINY, sources=(name,), n=2000))[0]
    data = job.configuration["data"]
    items = estimates.build_array(data)
    kind, shape = source.kind_and_shape
    assert items.shape == (2000, *shape)
    assert items.dtype == (np.float32 if kind == "vectors" else np.uint8)
    assert not np.array_equal(estimates.build_array(data | {"seed": 1}), items)
    if not source.options.get("noise"):
        # Roughly, as few neighbours at the borders and eight bits of a pixel cost something.
        assert levina_bickel(items.astype(np.float64)) == pytest.approx(source.dimension, rel=0.25)


def test_noise_is_on_top_of_the_same_manifold():
    clean, noisy = (
        estimates.build_array(plan(dataclasses.replace(TINY, sources=(name,)))[0].configuration["data"])
        for name in ("warped-5", "warped-5-noise")
    )
    np.testing.assert_allclose((noisy - clean).std() / clean.std(axis=0).mean(), 0.05, rtol=0.1)


# The measurements


def job_of(estimator, preset=TINY, source="linear-5"):
    jobs = plan(dataclasses.replace(preset, sources=(source,)))
    return next(job for job in jobs if job.configuration["estimator"]["name"] == estimator).configuration


@pytest.mark.parametrize(("estimator", "source"), [("lorae", "linear-5"), ("least-volume", "shapes-2")])
def test_a_rank_is_that_of_a_run_with_these_settings(estimator, source, tmp_path):
    configuration = job_of(estimator, source=source)
    found = estimates.measure(configuration)
    array = estimates.build_array(configuration["data"])
    run = lorae.train(array, out=tmp_path / "run", quiet=True, **configuration["settings"])
    assert found["estimate"] == run.evaluation()["rank"]["rank"] == found["ranks"]["0.001"]
    assert found["ranks"] == run.evaluation()["rank"]["ranks"]
    assert found["test_mse"] == pytest.approx(run.summary()["test_mse"], rel=1e-6)


def test_the_rank_of_lorae_plus_is_that_of_its_matrix(tmp_path):
    configuration = job_of("lorae+", dataclasses.replace(TINY, n=400, epochs=40))
    found = estimates.measure(configuration)
    array = estimates.build_array(configuration["data"])
    run = lorae.train(array, out=tmp_path / "run", quiet=True, **configuration["settings"])
    M = lorae.load(run).bottleneck.matrix().detach().double().numpy()
    assert found["estimate"] == np.linalg.matrix_rank(M, tol=1e-6 * np.linalg.norm(M, 2))
    assert 1 <= found["estimate"] < 32


def test_a_truncated_model_gives_the_smallest_rank_that_does(monkeypatch):
    """The fit itself is replaced by errors that are known: those of cutting a spectrum."""
    energies = np.array([5.0, 3.0, 2.0, 1e-6, 1e-7])
    tried = []

    def fit(array, settings):
        rank = int(settings["bottleneck"]["rank"])
        tried.append(rank)

        class Model:
            def squared_error(self, items):
                return 1e-3 + energies[rank:].sum()

        return Model(), lorae.load_data(array)

    monkeypatch.setattr(estimates, "fit", fit)
    found = estimates.measure(job_of("rrae"))
    assert found["estimate"] == 3
    assert sorted(tried) == sorted(set(tried))
    assert found["errors"] == {str(rank): 1e-3 + energies[rank:].sum() for rank in sorted(tried)}
    assert found["test_mse"] == found["errors"]["3"]


def test_a_truncated_model_is_trained_at_the_rank_that_is_tried(monkeypatch):
    ranks = []
    real = estimates.fit

    def fit(array, settings):
        model, dataset = real(array, settings)
        ranks.append(model.bottleneck.rank)
        assert np.linalg.matrix_rank(model.encode(dataset.test.inputs)) <= model.bottleneck.rank
        return model, dataset

    monkeypatch.setattr(estimates, "fit", fit)
    found = estimates.measure(job_of("rrae", dataclasses.replace(TINY, n=300)))
    assert ranks[0] == 32
    assert set(found["errors"]) == {str(rank) for rank in ranks}


def test_bisection_finds_what_a_search_through_all_ranks_does():
    rng = np.random.default_rng(0)
    for largest in (1, 2, 7, 32):
        for _ in range(30):
            errors = np.sort(rng.lognormal(sigma=1.0, size=largest))[::-1]
            expected = next(rank for rank in range(1, largest + 1) if errors[rank - 1] <= 2 * errors[-1])
            assert estimates.smallest_rank(lambda rank, e=errors: e[rank - 1], largest) == expected


def test_principal_components_are_those_of_a_decomposition():
    points = np.random.default_rng(0).normal(size=(300, 12)) * np.geomspace(1, 0.01, 12) + 7
    energy = np.linalg.svd(points - points.mean(axis=0), compute_uv=False) ** 2
    for share in (0.5, 0.95, 0.99):
        expected = next(k for k in range(1, 13) if energy[:k].sum() >= share * energy.sum())
        assert estimates.pca_rank(points, share) == expected


def test_estimates_without_a_model_see_the_training_items_alone():
    configuration = job_of("pca-99", dataclasses.replace(TINY, n=200))
    array = estimates.build_array(configuration["data"])
    train = lorae.load_data(array, test_fraction=dimension.TEST_FRACTION).train.inputs
    assert len(train) == 160
    assert estimates.measure(configuration) == {"estimate": estimates.pca_rank(train, 0.99)} == {"estimate": 5}
    mle = estimates.measure(configuration | {"estimator": {"name": "mle", "reads": "items"}})
    assert mle == {"estimate": levina_bickel(train)}


def test_a_fit_that_diverges_is_an_answer_and_any_other_error_is_not(monkeypatch):
    def diverge(array, settings):
        raise DivergedError("loss: not finite at step 3 (epoch 1): loss nan; try --lr below 0.001 in a new run")

    monkeypatch.setattr(estimates, "fit", diverge)
    assert estimates.measure(job_of("irmae")) == {
        "estimate": None,
        "diverged": "loss: not finite at step 3 (epoch 1): loss nan",
    }

    def fail(array, settings):
        raise LoraeError("cannot write here")

    monkeypatch.setattr(estimates, "fit", fail)
    with pytest.raises(LoraeError, match="cannot write here"):
        estimates.measure(job_of("irmae"))


def test_an_explosive_rate_really_is_told_as_divergence():
    configuration = job_of("irmae", dataclasses.replace(TINY, n=400, epochs=30))
    configuration["settings"]["lr"] = 1e6
    assert estimates.measure(configuration)["estimate"] is None
